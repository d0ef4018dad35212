"""A file as a stream of WriteUpload messages."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

from sluice.upload.v1.upload_pb2 import WriteFinish, WriteHeader, WriteUploadRequest

_crc32c: Callable[[bytes], int] | None
try:
    from crc32c import crc32c as _crc32c
except ImportError:  # Optional: without it, only the SHA-256 at the end protects the file.
    _crc32c = None

CHUNK_BYTES = 1024 * 1024
"""Maximum data of one message. Streams are fastest with 512 KiB to 1 MiB."""


class Digest:
    """SHA-256 of a file that is sent in several streams. Bytes that are resent count once."""

    def __init__(self) -> None:
        self.size = 0
        """Number of bytes hashed, from the start of the file."""
        self._sha256 = hashlib.sha256()

    async def add(self, start: int, data: bytes) -> None:
        """Add the bytes at offset `start`, except those already hashed.

        Raises:
            ValueError: `start` leaves a gap.
        """
        if start > self.size:
            raise ValueError(f"bytes {self.size} to {start} are missing")
        if start + len(data) > self.size:
            await asyncio.to_thread(self._sha256.update, memoryview(data)[self.size - start :])
            self.size = start + len(data)

    def digest(self) -> bytes:
        """Return the SHA-256 of the bytes added so far."""
        return self._sha256.digest()


async def read_file(path: Path, start: int = 0) -> AsyncGenerator[bytes, None]:
    """Yield the file's bytes from `start`, read in a thread."""
    file = await asyncio.to_thread(path.open, "rb", buffering=0)
    try:
        file.seek(start)
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece
    finally:
        file.close()


async def messages(
    upload_id: str, pieces: AsyncIterable[bytes], offset: int = 0, digest: Digest | None = None
) -> AsyncIterator[WriteUploadRequest]:
    """Yield the header, chunks of at most 1 MiB, and the finish with the file's size and SHA-256.

    `pieces` start at `offset`; `digest` covers all bytes before it.
    """
    digest = digest or Digest()
    yield WriteUploadRequest(header=WriteHeader(upload_id=upload_id, offset=offset))
    async for piece in pieces:
        for start in range(0, len(piece), CHUNK_BYTES):
            data = piece if len(piece) <= CHUNK_BYTES else piece[start : start + CHUNK_BYTES]
            await digest.add(offset, data)
            offset += len(data)
            message = WriteUploadRequest()
            # A WriteChunk passed to the constructor would be copied twice more.
            message.chunk.data = data
            if _crc32c:
                message.chunk.crc32c = _crc32c(data)
            yield message
    yield WriteUploadRequest(finish=WriteFinish(size=offset, sha256=digest.digest()))


async def catch_up(digest: Digest, path: Path, offset: int) -> None:
    """Hash the bytes before `offset` that are not in the digest: an earlier process sent them."""
    if digest.size >= offset:
        return
    start = digest.size
    async with aclosing(read_file(path, start)) as pieces:
        async for piece in pieces:
            await digest.add(start, piece[: offset - start])
            start += len(piece)
            if start >= offset:
                return
