"""What parent and child tell each other through pipes: a length of 4 bytes, a kind of 1 byte, and
the message.
"""

import struct
from enum import IntEnum

HEADER = struct.Struct(">IB")
SIZE = struct.Struct(">Q")
MAX_FRAME_BYTES = 64 * 1024 * 1024


class Kind(IntEnum):
    """What a frame holds."""

    JOB = 1
    """JSON of a Job; parent to child."""
    RESPONSE = 2
    """A ValidateObjectResponse; the last one of a job holds the report."""
    FAILURE = 3
    """A fault of ours: the exception's type and the places it came through, without any data of the
    file.
    """
    EARLY = 4
    """An InspectResponse: something that is known before the report."""
    GROWN = 5
    """Eight bytes: so much of the source is there now; parent to child, while the source
    arrives.
    """
    COMPLETE = 6
    """A ValidateObjectRequest: all of the source is there; parent to child, once a job."""
    DISK_FULL = 7
    """There was no room for what is made of the file; the same text as in FAILURE."""
    OUT_OF_MEMORY = 8
    """The file needs more memory than a child can have; the same text as in FAILURE."""


def pack(kind: Kind, message: bytes) -> bytes:
    """The frame of a message."""
    return HEADER.pack(len(message), kind) + message
