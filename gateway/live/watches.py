"""Shares one WatchTask stream per task and process between all followers of the task.

A call lasts at most WATCH_S and ends by its deadline, never by cancellation. The next call
continues from the next sequence number while the task has followers.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import Any

from prometheus_client import Gauge

from gateway.documents import wire
from gateway.ports import Tasks
from services.common import logs
from services.common.backoff import Backoff
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1.status_pb2 import Task, TaskEvent, WatchTaskResponse

WATCH_S = 120.0
"""Deadline of one WatchTask call."""

KEPT_EVENTS = 256
"""Newest events of a task that are held for late and slow followers."""

RETRY_BUDGET_S = 60.0
"""Seconds of failed retries after which followers get the error."""

RETRY = Backoff(first_s=0.2, longest_s=3.0)

PASSING = frozenset(
    {
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE,
        ErrorReason.ERROR_REASON_DATABASE_TOO_NEW,
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        ErrorReason.ERROR_REASON_CANCELLED,
    }
)
"""Transient failures of a call, which are retried."""


@dataclass(eq=False)
class WatchedEvent:
    """An event and its task, read together. Each is serialized once for all followers."""

    event: TaskEvent
    task: Task

    @cached_property
    def event_json(self) -> str:
        """The event as JSON."""
        return wire.event(self.event).model_dump_json()

    @cached_property
    def task_fields(self) -> dict[str, Any]:
        """The fields of the task's JSON document."""
        return wire.task(self.task).model_dump()


class _Watch:
    """The incoming events of one task. Followers read `kept` instead of having queues."""

    def __init__(self, tasks: Tasks, task_id: str, from_sequence: int) -> None:
        self._tasks = tasks
        self._task_id = task_id
        self._next = from_sequence
        self.kept: deque[WatchedEvent] = deque(maxlen=KEPT_EVENTS)
        self.kept_from = from_sequence
        self.followers = 0
        self.ended = False
        self.failure: SluiceError | None = None
        self.changed = asyncio.Event()

    def at(self, sequence: int) -> WatchedEvent | None:
        """The event with this sequence number, or the first after it; None before it happens."""
        if not self.kept or sequence > self.kept[-1].event.sequence:
            return None
        return self.kept[max(0, sequence - self.kept[0].event.sequence)]

    async def run(self) -> None:
        """Read until the task ends, nobody follows, or the retry budget is used up."""
        pauses, alive_at = RETRY.pauses(), monotonic()
        try:
            while True:
                called_at, first = monotonic(), self._next
                try:
                    if await self._read():
                        return
                except SluiceError as failure:
                    if failure.reason not in PASSING:
                        raise
                    lasted_s = monotonic() - called_at
                    if self._next > first or lasted_s > WATCH_S / 2:
                        pauses, alive_at = RETRY.pauses(), monotonic()
                    if not self.followers:
                        return
                    if monotonic() - alive_at > RETRY_BUDGET_S:
                        raise
                    if lasted_s <= WATCH_S / 2:
                        wait_s = next(pauses)
                        logs.get().warning(
                            "watch.retry", task_id=self._task_id, code=failure.code, wait_s=wait_s
                        )
                        await asyncio.sleep(wait_s)
        except SluiceError as failure:
            self.failure = failure
        except Exception as failure:
            logs.get().error("watch.failed", task_id=self._task_id, exc_info=failure)
            self.failure = error(
                ErrorReason.ERROR_REASON_INTERNAL,
                "Watching the task failed. Read the task instead.",
            )
        finally:
            self.end()

    async def _read(self) -> bool:
        """Make one call. Returns whether the task has ended."""
        first = self._next
        async for item in self._tasks.watch(self._task_id, first, WATCH_S):
            self._keep(item)
        # A stream without events was started after the terminal event.
        if self._next == first or wire.has_ended(self.kept[-1].task):
            return True
        raise unavailable("The status service ended the stream before the task's end.")

    def _keep(self, item: WatchTaskResponse) -> None:
        if len(self.kept) == KEPT_EVENTS:
            self.kept_from = self.kept[1].event.sequence
        self.kept.append(WatchedEvent(item.event, item.task))
        self._next = item.event.sequence + 1
        self._wake()

    def end(self) -> None:
        """Mark the watch as ended."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()


class Watches:
    """The watches of this process."""

    def __init__(self, tasks: Tasks, open_watches: Gauge) -> None:
        self._tasks = tasks
        self._gauge = open_watches
        self._watches: dict[str, _Watch] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._leaving = asyncio.Lock()
        self._closed = False

    async def follow(
        self, task_id: str, from_sequence: int, idle_s: float
    ) -> AsyncGenerator[WatchedEvent | None, None]:
        """The task's events from a sequence number on, without gaps or repeats; None after each
        `idle_s` of silence. Ends after the terminal event, or when the process stops.

        Raises:
            SluiceError: TASK_NOT_FOUND; SERVICE_UNAVAILABLE after the retries.
        """
        if self._closed:
            return
        sequence = max(from_sequence, 1)
        watch = self._watch(task_id, sequence)
        watch.followers += 1
        try:
            while True:
                changed = watch.changed
                if sequence < watch.kept_from:
                    async with aclosing(self._missed(task_id, sequence, watch)) as missed:
                        async for item in missed:
                            sequence = item.event.sequence + 1
                            yield WatchedEvent(item.event, item.task)
                elif (watched := watch.at(sequence)) is not None:
                    sequence = watched.event.sequence + 1
                    yield watched
                elif watch.ended:
                    if watch.failure is not None:
                        raise watch.failure
                    # One at a time, so that closing hundreds of streams does not delay the events
                    # of other tasks.
                    async with self._leaving:
                        await asyncio.sleep(0)
                    return
                elif not await is_set_within(changed, idle_s):
                    yield None
        finally:
            watch.followers -= 1

    async def _missed(
        self, task_id: str, sequence: int, watch: _Watch
    ) -> AsyncGenerator[WatchTaskResponse, None]:
        """The events before those that `watch` holds, read at the follower's pace."""
        first = sequence
        call = self._tasks.watch(task_id, sequence, WATCH_S)
        async with aclosing(call) as items:  # type: ignore[type-var]
            async for item in items:
                sequence = item.event.sequence + 1
                yield item
                if sequence >= watch.kept_from:
                    return
        if sequence == first:
            raise unavailable("The status service ended the stream before the task's end.")

    def _watch(self, task_id: str, sequence: int) -> _Watch:
        """The running watch, or a new one that includes this event."""
        watch = self._watches.get(task_id)
        if watch is None:
            # Starts as early as it can hold, because separate calls for followers that need a few
            # older events would cost more.
            watch = self._watches[task_id] = _Watch(
                self._tasks, task_id, max(1, sequence - KEPT_EVENTS)
            )
            running = asyncio.create_task(self._run(task_id, watch), name="watch")
            self._running.add(running)
            running.add_done_callback(self._running.discard)
        return watch

    async def _run(self, task_id: str, watch: _Watch) -> None:
        self._gauge.inc()
        try:
            await watch.run()
        finally:
            self._gauge.dec()
            if self._watches.get(task_id) is watch:
                del self._watches[task_id]

    async def close(self) -> None:
        """End all streams, at shutdown."""
        self._closed = True
        for running in self._running:
            running.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


async def is_set_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event; returns whether it was set within `seconds`."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
            return True
    return False


def unavailable(text: str, service: str = "status") -> SluiceError:
    """SERVICE_UNAVAILABLE of a stream."""
    reason = ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE
    return error(reason, text, metadata={"service": service})
