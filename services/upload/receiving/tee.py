"""Sends the bytes of a stream to validation as they arrive, so that it reports findings early.

The upload never waits for it. If validation is slow, full or unavailable, or if the connection is
so fast that reading would slow it down, the tee ends, and validation reads the object later.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import aclosing
from time import monotonic

from services.common import logs
from services.common.errors import SluiceError
from services.common.serving.cancelling import cancel
from services.upload.ports import Expected, Validation
from sluice.common.v1.errors_pb2 import Problem
from sluice.status.v1.status_pb2 import Task
from sluice.validation.v1.validation_pb2 import (
    InspectChunk,
    InspectFinish,
    InspectHeader,
    InspectRequest,
)

FROM_BYTES = 2 * 1024 * 1024
"""Bytes after which the inspection starts. Smaller files are validated soon enough without it."""

WAITING_BYTES = 8 * 1024 * 1024
"""Maximum bytes of a stream that wait to be sent. If there are more, validation is too slow."""

FASTEST_BYTES_PER_S = 25_000_000
"""Rate above which a file arrives faster than it can be read. Doing both at once would then take
longer than one after the other.
"""

RATED_FROM_BYTES = 8 * 1024 * 1024
"""Bytes after which the rate is measured: the first ones come from buffers, at a higher rate."""


class Tee:
    """The tee of one stream. It does nothing without a validation service.

    `running` has its asyncio task while it runs.
    """

    def __init__(
        self,
        validation: Validation | None,
        header: InspectHeader,
        running: "set[asyncio.Task[None]]",
    ) -> None:
        self.findings: list[Problem] = []
        """Problems found so far."""
        self._validation = validation
        self._header = header
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = self._size = 0
        self._began = monotonic()
        self._finished = False
        self._over = False
        self._changed = asyncio.Event()
        self._all_running = running
        self._running: asyncio.Task[None] | None = None

    def send(self, data: bytes) -> None:
        """Queue the next bytes for validation."""
        if self._over or self._validation is None:
            return
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self._size += len(data)
        if self._waiting_bytes > WAITING_BYTES:
            logs.get().info("tee.too_slow", bytes=self._size)
            self.end()
        elif self._size > max(RATED_FROM_BYTES, (monotonic() - self._began) * FASTEST_BYTES_PER_S):
            logs.get().info("tee.line_is_fast", bytes=self._size)
            self.end()
        elif self._running is not None:
            self._changed.set()
        elif self._size >= FROM_BYTES:
            self._running = asyncio.create_task(self._run(self._validation), name="tee")
            self._all_running.add(self._running)
            self._running.add_done_callback(self._all_running.discard)

    def finish(self) -> None:
        """Mark the file as complete and stored. Bytes that wait are still sent."""
        if self._running is None:
            self.end()
        self._finished = True
        self._changed.set()

    def end(self) -> None:
        """Stop sending. Validation discards what it has unless it has the whole file."""
        self._over = True
        self._waiting.clear()
        if self._running is not None:
            self._running.cancel()

    def end_unless_finished(self) -> None:
        """End the tee unless the file is complete."""
        if not self._finished:
            self.end()

    async def _run(self, validation: Validation) -> None:
        try:
            async with aclosing(validation.inspect(self._messages())) as answers:
                async for answer in answers:
                    if answer.WhichOneof("step") == "finding":
                        self.findings.append(answer.finding.problem)
        except SluiceError as failure:
            logs.get().info(
                "tee.ended", code=failure.code, reason=failure.problem.message, bytes=self._size
            )
        finally:
            self._over = True
            self._waiting.clear()

    async def _messages(self) -> AsyncIterator[InspectRequest]:
        yield InspectRequest(header=self._header)
        while True:
            while self._waiting:
                data = self._waiting.popleft()
                yield InspectRequest(chunk=InspectChunk(data=data))
                self._waiting_bytes -= len(data)
            if self._finished:
                yield InspectRequest(finish=InspectFinish(file_size=self._size))
                return
            self._changed.clear()
            await self._changed.wait()


class Tees:
    """Creates the tees of this process, and ends them."""

    def __init__(self, validation: Validation | None) -> None:
        self._validation = validation
        self._running: set[asyncio.Task[None]] = set()

    def begin(self, task: Task, expected: Expected) -> Tee:
        """Create the tee of a stream that starts with the first byte of the file."""
        header = InspectHeader(
            task_id=task.task_id,
            filename=task.filename,
            file_size=task.file_size if task.HasField("file_size") else None,
            policy=expected.policy,
            options=expected.options,
        )
        return Tee(self._validation, header, self._running)

    async def close(self) -> None:
        """End all tees."""
        await cancel(*self._running)
