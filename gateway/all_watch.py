"""Who watches all tasks shares one stream with everybody else who does: one WatchTasks call per process, fanned out in memory.

It is a hint of what to read again, not the truth: it tells what happens from about now on, and whoever reads too slowly is told to begin
anew. A single task is followed without gap by watches.py.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator

from gateway.ports import Tasks
from gateway.watches import PASSING, RETRY_FIRST_S, RETRY_MOST_S, WATCH_S, within
from services.common import logs
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1.status_pb2 import Task, TaskEvent, WatchTasksRequest, WatchTasksResponse

KEPT_EVENTS = 2048
"""Newest events of all tasks that are held for those who read slowly."""


class AllWatch:
    """The stream of this process; it runs while anybody follows."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._kept: deque[WatchTasksResponse] = deque(maxlen=KEPT_EVENTS)
        self._count = 0
        """Events that ever came; the newest kept one is number `_count`."""
        self._followers = 0
        self._running: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._closed = False

    async def follow(self, datasource: str, idle_s: float) -> AsyncGenerator[tuple[TaskEvent, Task] | None, None]:
        """What happens to the tasks of a datasource, or to all where it is empty; None whenever nothing came for `idle_s`. Ends when the
        process stops.

        Raises:
            SluiceError: SERVICE_UNAVAILABLE when the follower has missed something: read the list again, then follow anew.
        """
        seen = self._count
        self._followers += 1
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run(), name="watch all")
        try:
            while not self._closed:
                changed = self._changed
                if self._count - seen > len(self._kept):
                    text = "More happened than could be told; read the list of tasks again."
                    raise error(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, text, metadata={"service": "gateway"})
                if seen < self._count:
                    item = self._kept[seen - self._count]
                    seen += 1
                    if datasource in ("", item.task.datasource):
                        yield item.event, item.task
                elif not await within(changed, idle_s):
                    yield None
        finally:
            self._followers -= 1

    async def close(self) -> None:
        """Ends every stream: the process stops."""
        self._closed = True
        self._wake()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def _run(self) -> None:
        position, wait_s = 0, RETRY_FIRST_S
        while self._followers and not self._closed:
            try:
                async for item in self._tasks.watch_all(WatchTasksRequest(from_position=position), WATCH_S):
                    position, wait_s = item.event.position + 1, RETRY_FIRST_S
                    self._kept.append(item)
                    self._count += 1
                    self._wake()
            except SluiceError as failure:
                if failure.reason == ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED:
                    continue
                log = logs.get().warning if failure.reason in PASSING else logs.get().error
                log("watch_all.retry", code=failure.code, wait_s=wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RETRY_MOST_S)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
