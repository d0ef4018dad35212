"""Who watches all tasks shares one stream with everybody else who does: one WatchTasks call per
process, fanned out in memory.

It is a hint of what to read again, not the truth: it tells what happens from about now on. Whoever
reads too slowly, and everybody where events were lost or the stream ended badly, gets an error and
should read the list again. A single task is followed without gap by watches.py.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from time import monotonic

from gateway.live.watches import (
    PASSING,
    RETRY,
    RETRY_BUDGET_S,
    WATCH_S,
    within,
)
from gateway.ports import Tasks
from services.common import logs
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1.status_pb2 import Task, TaskEvent, WatchTasksRequest, WatchTasksResponse

KEPT_EVENTS = 2048
"""Newest events of all tasks that are held for those who read slowly."""


class _Stream:
    """The events as they come in, until nobody follows or it fails. Followers read `kept`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._position = 0
        self.kept: deque[WatchTasksResponse] = deque(maxlen=KEPT_EVENTS)
        self.count = 0
        """Events that ever came; the newest kept one is number `count`."""
        self.followers = 0
        self.ended = False
        self.failure: SluiceError | None = None
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Reads until nobody follows; sets `failure` where it ends otherwise."""
        try:
            await self._run()
        except SluiceError as failure:
            self.failure = failure
        except Exception as bug:
            logs.get().error("watch_all.broke", exc_info=bug)
            text = "Watching the tasks failed on our side; read the list of tasks again."
            self.failure = error(ErrorReason.ERROR_REASON_INTERNAL, text)
        finally:
            # A call that was cancelled under us, too, is not silence.
            self.failure = self.failure or _away("The stream of all tasks was cancelled.")
            self.ended = True
            self._wake()

    async def _run(self) -> None:
        pauses, alive_at = RETRY.pauses(), monotonic()
        while self.followers:
            first, called_at = self._position, monotonic()
            try:
                await self._read()
            except SluiceError as failure:
                if failure.reason not in PASSING:
                    raise
                if self._position > first or monotonic() - called_at > WATCH_S / 2:
                    pauses, alive_at = RETRY.pauses(), monotonic()
                if failure.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED:
                    continue
                # Without a position to go on from, what happens meanwhile would be lost unnoticed.
                if not self._position or monotonic() - alive_at > RETRY_BUDGET_S:
                    raise
                wait_s = next(pauses)
                logs.get().warning("watch_all.retry", code=failure.code, wait_s=wait_s)
                await asyncio.sleep(wait_s)

    async def _read(self) -> None:
        """One call.

        Raises:
            SluiceError: how it ended; it never ends well.
        """
        request = WatchTasksRequest(from_position=self._position)
        async for item in self._tasks.watch_all(request, WATCH_S):
            self._position = item.event.position + 1
            self.kept.append(item)
            self.count += 1
            self._wake()
        raise _away("The status service ended the stream of all tasks.")

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class AllWatch:
    """The stream of this process; it runs while anybody follows."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._stream: _Stream | None = None
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def follow(
        self, datasource: str, idle_s: float
    ) -> AsyncGenerator[tuple[TaskEvent, Task] | None, None]:
        """What happens to the tasks of a datasource, or to all where it is empty; None whenever
        nothing came for `idle_s`. Ends when the process stops.

        Raises:
            SluiceError: SERVICE_UNAVAILABLE, or what the status service refused: the follower has
                missed something. Read the list again, then follow again.
        """
        if self._closed:
            return
        stream = self._current()
        seen = stream.count
        stream.followers += 1
        try:
            while not self._closed:
                changed = stream.changed
                if stream.count - seen > len(stream.kept):
                    text = "More happened than could be told; read the list of tasks again."
                    raise _away(text, "gateway")
                if seen < stream.count:
                    item = stream.kept[seen - stream.count]
                    seen += 1
                    if datasource in ("", item.task.datasource):
                        yield item.event, item.task
                elif stream.failure is not None:
                    raise stream.failure
                elif not await within(changed, idle_s):
                    yield None
        finally:
            stream.followers -= 1

    def _current(self) -> _Stream:
        """The stream that runs, or a new one."""
        if self._stream is None or self._stream.ended:
            self._stream = _Stream(self._tasks)
            self._running = asyncio.create_task(self._stream.run(), name="watch all")
        return self._stream

    async def close(self) -> None:
        """Ends every stream: the process stops."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)


def _away(text: str, service: str = "status") -> SluiceError:
    reason = ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE
    return error(reason, text, metadata={"service": service})
