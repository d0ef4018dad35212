"""Writes chunks of any size as parts of one size, several of them concurrently."""

import asyncio
import hashlib
from time import perf_counter

import crc32c

from services.common import logs
from services.common.errors import SluiceError
from services.common.timing import Timings
from services.upload.ports import ObjectStore
from services.upload.storing.stored import Stored, tail_key

MAX_PARTS = 10_000
"""Maximum number of parts of an S3 object."""

_MIB = 1024 * 1024


def part_size_for(size: int, smallest: int) -> int:
    """Return the part size for a file of up to `size` bytes.

    It is `smallest`, or the number of whole MiB with which 10,000 parts suffice.
    """
    needed = -(-size // MAX_PARTS)
    return max(smallest, -(-needed // _MIB) * _MIB)


class PartWriter:
    """Writes one object, after the bytes that are already stored. Call `start` first.

    At most `in_flight` + 1 buffers of the part size exist, and they are reused. A file smaller than
    a part is written by `complete` with a single request. Tasks of the group passed to `start`
    write the parts, so a part that fails cancels the whole group.
    """

    def __init__(
        self,
        store: ObjectStore,
        uri: str,
        stored: Stored,
        in_flight: int,
        timings: Timings,
        *,
        resumable: bool = False,
    ) -> None:
        self.size = stored.parts_size
        """Bytes received so far, including those of earlier streams."""
        self.multipart_id = stored.multipart_id
        """Id of the multipart upload; empty until the first part is full."""
        self.opened = asyncio.Event()
        """Set when the multipart upload is open."""
        self.completing = False
        """Whether `complete` was called, so that the object may exist."""
        self._store = store
        self._uri = uri
        self._part_size = stored.part_size
        self._resumable = resumable
        self._timings = timings
        self._slots = asyncio.Semaphore(in_flight)
        self._group: asyncio.TaskGroup
        self._opening: asyncio.Task[str] | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._parts = {part.number: part for part in stored.parts}
        self._sent = len(stored.parts)
        self.whole = stored.whole
        """Whether the object already exists."""
        self._tail_size = 0
        self._spare: list[bytearray] = []
        self._buffer = bytearray(self._part_size)
        self._filled = 0
        self._crc32c = 0
        # The SHA-256 can be computed only if this stream has all bytes.
        self._sha256 = hashlib.sha256() if not self.size else None
        self._hashing = asyncio.Lock()

    def start(self, group: asyncio.TaskGroup) -> None:
        """Set the group whose tasks write the parts."""
        self._group = group

    @property
    def parts(self) -> int:
        """Number of stored parts."""
        return len(self._parts)

    async def take_tail(self, tail: bytes) -> None:
        """Write the tail of an earlier stream, before any other byte."""
        await self.write(tail)
        self._tail_size = len(tail)

    async def write(self, data: bytes) -> None:
        """Write the next bytes; wait while the limit of parts in flight is reached."""
        start = 0
        while start < len(data):
            taken = min(len(data) - start, self._part_size - self._filled)
            with memoryview(self._buffer) as room, memoryview(data) as chunk:
                room[self._filled : self._filled + taken] = chunk[start : start + taken]
            self._filled += taken
            self.size += taken
            start += taken
            if self._filled == self._part_size:
                await self._send()

    async def drain(self) -> bytes:
        """Wait until all bytes are hashed and all parts are stored. The object does not exist yet.

        Returns the SHA-256 of the file; empty if an earlier stream received some of it.
        """
        self._buffer = self._buffer[: self._filled]
        if self._sent and self._filled:
            await self._send()
        elif self._filled:
            self._crc32c = await self._digest(self._buffer)
        await self._all_stored()
        return self._sha256.digest() if self._sha256 and not self.whole else b""

    async def suspend(self, task_id: str) -> str:
        """Wait until all parts are stored, and store the rest as a tail. All bytes are then safe.

        Returns the key of the tail; empty if there is none.
        """
        await self._all_stored()
        if not self._filled:
            return ""
        key = tail_key(task_id, self.size - self._filled)
        if self._filled > self._tail_size:
            tail = self._buffer[: self._filled]
            checksum = await asyncio.to_thread(crc32c.crc32c, tail)
            await self._store.put(self._store.uri(key), tail, checksum)
        return key

    async def complete(self) -> None:
        """Create the object. Call `drain` first."""
        self.completing = True
        if self.whole:
            return
        if self._sent:
            await self._store.complete_multipart(
                self._uri,
                self.multipart_id,
                [self._parts[number] for number in sorted(self._parts)],
            )
        else:
            await self._store.put(self._uri, self._buffer, self._crc32c)

    async def discard(self) -> str:
        """Free the buffers after the group has ended.

        Returns the id of the multipart upload that may have to be aborted; empty if there is none.
        """
        self._buffer, self._spare = bytearray(), []
        if self._opening is not None and not self.multipart_id:
            # This request was not cancelled with the others, because only its response has the id.
            try:
                self.multipart_id = await self._opening
            except SluiceError as failure:
                logs.get().info(
                    "multipart.not_opened", uri=self._uri, reason=failure.problem.message
                )
        return self.multipart_id

    async def _all_stored(self) -> None:
        await asyncio.gather(*self._running)

    async def _send(self) -> None:
        if not self.multipart_id:
            self._opening = asyncio.create_task(
                self._store.open_multipart(self._uri, resumable=self._resumable)
            )
            self.multipart_id = await asyncio.shield(self._opening)
            self.opened.set()
        await self._slots.acquire()
        self._sent += 1
        task = self._group.create_task(self._put(self._sent, self._buffer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self._buffer = self._spare.pop() if self._spare else bytearray(self._part_size)
        self._filled = self._tail_size = 0

    async def _put(self, number: int, buffer: bytearray) -> None:
        try:
            # Tasks get the lock in the order of the parts, because asyncio locks are fair.
            async with self._hashing:
                checksum = await self._digest(buffer)
            with self._timings.step("store"):
                self._parts[number] = await self._store.put_part(
                    self._uri, self.multipart_id, number, buffer, checksum
                )
            self._spare.append(buffer)
        finally:
            self._slots.release()

    async def _digest(self, buffer: bytearray) -> int:
        """Add the buffer to the SHA-256 of the file and return its CRC-32C.

        It runs in a thread, because both functions release the GIL.
        """

        def digest() -> tuple[int, float]:
            started = perf_counter()
            if self._sha256:
                self._sha256.update(buffer)
            return crc32c.crc32c(buffer), perf_counter() - started

        checksum, seconds = await asyncio.to_thread(digest)
        self._timings.add("hash", seconds)
        return checksum
