"""A file as a stream of WriteUpload messages."""

import asyncio
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Callable
from pathlib import Path

from sluice.upload.v1.upload_pb2 import WriteChunk, WriteFinish, WriteHeader, WriteUploadRequest

_crc32c: Callable[[bytes], int] | None
try:
    from crc32c import crc32c as _crc32c
except ImportError:  # It is optional: without it the SHA-256 at the end is the one check.
    _crc32c = None

CHUNK_BYTES = 1024 * 1024
"""Data of one message. Streams are fastest from 512 KiB to 1 MiB."""


async def of_file(path: Path) -> AsyncIterator[bytes]:
    """The file's bytes, read in a thread."""
    file = await asyncio.to_thread(path.open, "rb", buffering=0)
    try:
        while piece := await asyncio.to_thread(file.read, CHUNK_BYTES):
            yield piece
    finally:
        file.close()


async def messages(upload_id: str, pieces: AsyncIterable[bytes]) -> AsyncIterator[WriteUploadRequest]:
    """Header, chunks of at most 1 MiB, finish with the size and SHA-256 of everything that was sent."""
    yield WriteUploadRequest(header=WriteHeader(upload_id=upload_id, offset=0))
    sha256, size = hashlib.sha256(), 0
    async for piece in pieces:
        for start in range(0, len(piece), CHUNK_BYTES):
            data = piece if len(piece) <= CHUNK_BYTES else piece[start : start + CHUNK_BYTES]
            await asyncio.to_thread(sha256.update, data)
            size += len(data)
            yield WriteUploadRequest(chunk=WriteChunk(data=data, crc32c=_crc32c(data) if _crc32c else None))
    yield WriteUploadRequest(finish=WriteFinish(size=size, sha256=sha256.digest()))
