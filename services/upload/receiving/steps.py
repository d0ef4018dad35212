"""What a stream of WriteUpload consists of."""

from dataclasses import dataclass

from sluice.common.v1.errors_pb2 import Problem


@dataclass(frozen=True)
class Header:
    """Which upload, from which byte."""

    upload_id: str
    offset: int


@dataclass(frozen=True)
class Chunk:
    """The next bytes, and their CRC-32C where the sender made one."""

    data: bytes
    crc32c: int | None


@dataclass(frozen=True)
class Finish:
    """The end of the file, with its size and SHA-256 where the sender knows them."""

    size: int | None
    sha256: bytes


@dataclass(frozen=True)
class Pause:
    """The end of the stream; more of the file will come on another one."""


@dataclass(frozen=True)
class Abort:
    """The sender found the request to be wrong."""

    problem: Problem


Step = Header | Chunk | Finish | Pause | Abort
