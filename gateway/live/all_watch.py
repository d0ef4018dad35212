"""Shares one WatchTasks stream per process between all followers of all tasks.

It only hints at what to read again: it starts at about the current time. A follower that reads too
slowly, and every follower if events were lost or the stream failed, gets an error and should read
the list again. watches.py follows a single task without gaps.
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
    is_set_within,
    unavailable,
)
from gateway.ports import Tasks
from services.common import logs
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1.status_pb2 import Task, TaskEvent, WatchTasksRequest, WatchTasksResponse

KEPT_EVENTS = 2048
"""Newest events of all tasks that are held for slow followers."""


class _Stream:
    """The incoming events, until nobody follows or the stream fails. Followers read `kept`."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._position = 0
        self.kept: deque[WatchTasksResponse] = deque(maxlen=KEPT_EVENTS)
        self.count = 0
        """Events received so far; the newest in `kept` has this number."""
        self.followers = 0
        self.ended = False
        self.failure: SluiceError | None = None
        self.changed = asyncio.Event()

    async def run(self) -> None:
        """Read until nobody follows; sets `failure` if it ends for another reason."""
        try:
            await self._run()
        except SluiceError as failure:
            self.failure = failure
        except Exception as bug:
            logs.get().error("watch_all.broke", exc_info=bug)
            text = "Watching the tasks failed. Read the list of tasks again."
            self.failure = error(ErrorReason.ERROR_REASON_INTERNAL, text)
        finally:
            # Followers must not mistake a cancelled call for silence.
            self.failure = self.failure or unavailable("The stream of all tasks was cancelled.")
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
                # Without a position to continue from, a retry would silently lose events.
                if not self._position or monotonic() - alive_at > RETRY_BUDGET_S:
                    raise
                wait_s = next(pauses)
                logs.get().warning("watch_all.retry", code=failure.code, wait_s=wait_s)
                await asyncio.sleep(wait_s)

    async def _read(self) -> None:
        """Make one call, which always ends with an error.

        Raises:
            SluiceError: how the call ended.
        """
        request = WatchTasksRequest(from_position=self._position)
        async for item in self._tasks.watch_all(request, WATCH_S):
            self._position = item.event.position + 1
            self.kept.append(item)
            self.count += 1
            self._wake()
        raise unavailable("The status service ended the stream of all tasks.")

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class AllWatch:
    """The stream of this process, which runs while it has followers."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._stream: _Stream | None = None
        self._running: asyncio.Task[None] | None = None
        self._closed = False

    async def follow(
        self, datasource: str, idle_s: float
    ) -> AsyncGenerator[tuple[TaskEvent, Task] | None, None]:
        """Events of the tasks of a datasource, or of all tasks if it is empty; None after each
        `idle_s` of silence. Ends when the process stops.

        Raises:
            SluiceError: SERVICE_UNAVAILABLE, or an error of the status service: the follower
                missed events. Read the list again, then follow again.
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
                    text = (
                        "Events were lost because of a slow reader. Read the list of tasks again."
                    )
                    raise unavailable(text, "gateway")
                if seen < stream.count:
                    item = stream.kept[seen - stream.count]
                    seen += 1
                    if datasource in ("", item.task.datasource):
                        yield item.event, item.task
                elif stream.failure is not None:
                    raise stream.failure
                elif not await is_set_within(changed, idle_s):
                    yield None
        finally:
            stream.followers -= 1

    def _current(self) -> _Stream:
        """The running stream, or a new one."""
        if self._stream is None or self._stream.ended:
            self._stream = _Stream(self._tasks)
            self._running = asyncio.create_task(self._stream.run(), name="watch all")
        return self._stream

    async def close(self) -> None:
        """End the stream, at shutdown."""
        self._closed = True
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
