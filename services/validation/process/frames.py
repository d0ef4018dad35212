"""Frames between parent and child over pipes: length (4 bytes), kind (1 byte), message."""

import struct
from enum import IntEnum

HEADER = struct.Struct(">IB")
SIZE = struct.Struct(">Q")
MAX_FRAME_BYTES = 64 * 1024 * 1024


class Kind(IntEnum):
    """The message of a frame."""

    JOB = 1
    """Parent to child: a Job as JSON."""
    RESPONSE = 2
    """A ValidateObjectResponse; the last one of a job has the report."""
    FAILURE = 3
    """An internal error: the exception's type and traceback, without data of the file."""
    EARLY = 4
    """An InspectResponse: a finding or verdict before the report."""
    GROWN = 5
    """Parent to child: the size of the growing source, in eight bytes."""
    COMPLETE = 6
    """Parent to child, once per job: the source is complete; a ValidateObjectRequest."""
    DISK_FULL = 7
    """The disk is full; text as in FAILURE."""
    OUT_OF_MEMORY = 8
    """The file needs more memory than a child may have; text as in FAILURE."""


def pack(kind: Kind, message: bytes) -> bytes:
    """Builds a frame."""
    return HEADER.pack(len(message), kind) + message
