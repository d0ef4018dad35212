"""The messages of a WriteUpload stream."""

from dataclasses import dataclass

from sluice.common.v1.errors_pb2 import Problem


@dataclass(frozen=True)
class Header:
    """The upload, and the offset of the first byte of this stream."""

    upload_id: str
    offset: int


@dataclass(frozen=True)
class Chunk:
    """The next bytes, and their CRC-32C if the sender computed it."""

    data: bytes
    crc32c: int | None


@dataclass(frozen=True)
class Finish:
    """The end of the file, with its size and SHA-256 if the sender knows them."""

    size: int | None
    sha256: bytes


@dataclass(frozen=True)
class Pause:
    """The end of this stream; another one will continue the file."""


@dataclass(frozen=True)
class Abort:
    """The sender ends the upload with a problem."""

    problem: Problem


Step = Header | Chunk | Finish | Pause | Abort
