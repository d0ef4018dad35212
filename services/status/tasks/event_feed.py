"""Watch streams: the history first, then every event as it is committed, without gaps or repeats.

All watchers of a process share one reader. After each notification, and at least every POLL_S, it
reads the new events of all watched tasks with two statements and caches the newest events of each.
A watcher whose next event is not in the cache reads pages from the table, so a slow watcher does
not delay the others.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress

from services.common import errors, logs
from services.status.ports import Store
from services.status.tasks import problems
from services.status.tasks.machine import TERMINAL
from services.status.tasks.pages import EVENTS_PAGE
from services.status.tasks.task import Event, Task
from sluice.common.v1.errors_pb2 import ErrorReason

POLL_S = 1.0
"""Seconds until an event is read if its notification was lost."""

CACHED_EVENTS = 256
"""Number of cached events per watched task."""

Change = tuple[Event, Task]
"""An event, and its task as read after it."""


class _Feed:
    """The cached events of a watched task."""

    def __init__(self, last: int) -> None:
        self.watchers = 0
        self.last = last
        self.changes: deque[Change] = deque(maxlen=CACHED_EVENTS)
        self.grew = asyncio.Event()

    def extend(self, changes: list[Change]) -> None:
        self.changes.extend(changes)
        self.last = changes[-1][0].sequence
        self.grew.set()
        self.grew = asyncio.Event()

    def since(self, sequence: int) -> list[Change] | None:
        """Returns the changes from `sequence` on, empty if there are none yet; None if they are
        older than the cache.
        """
        if sequence > self.last:
            return []
        if not self.changes or self.changes[0][0].sequence > sequence:
            return None
        return [change for change in self.changes if change[0].sequence >= sequence]


class Watch:
    """The watch streams of a process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._feeds: dict[str, _Feed] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._anything = asyncio.Event()
        self._closed = asyncio.Event()

    def notify(self, task_id: str = "") -> None:
        """Announces a new event of a task; without an id, possible events of all tasks."""
        if dirty := {task_id} & self._feeds.keys() if task_id else set(self._feeds):
            self._dirty |= dirty
            self._wake.set()
        self._anything.set()
        self._anything = asyncio.Event()

    async def close(self) -> None:
        """Ends all streams. Clients resume at another replica, or here after the restart."""
        self._closed.set()
        for feed in self._feeds.values():
            feed.grew.set()
        self._anything.set()

    async def run(self) -> None:
        """Runs the shared reader until cancelled."""
        while True:
            await _wait(self._wake)
            if not self._wake.is_set():
                self._dirty.update(self._feeds)
            self._wake.clear()
            dirty, self._dirty = self._dirty, set()
            try:
                await self._read(dirty)
            except errors.SluiceError as failure:
                logs.get().warning("watch.read_failed", code=failure.code)
                self._dirty |= dirty

    async def task(self, task_id: str, from_sequence: int) -> AsyncIterator[Change]:
        """Yields the task's events from a sequence number on; ends after the terminal one.

        Raises:
            SluiceError: TASK_NOT_FOUND, DATABASE_UNAVAILABLE, SERVICE_UNAVAILABLE during shutdown.
        """
        task = await self._store.get(task_id)
        if task is None:
            raise problems.task_not_found(task_id)
        wanted = max(from_sequence, 1)
        if wanted > task.last_sequence and task.completed_at is not None:
            return
        with self._feed(task) as feed:
            while True:
                self._check_open()
                grew = feed.grew
                changes = feed.since(wanted)
                if changes is None:
                    changes = await self._page(task, wanted)
                for event, read in changes:
                    yield event, read
                    wanted = event.sequence + 1
                    # Events of a revert follow the terminal one: yield those that exist.
                    if event.ends_the_task or (
                        event.state in TERMINAL and event.sequence >= read.last_sequence
                    ):
                        return
                if not changes:
                    await grew.wait()

    async def all(self, from_position: int, datasource: str) -> AsyncIterator[Change]:
        """Yields the events of all tasks, or of one datasource's, from a position on (0: from now
        on), without end.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE, SERVICE_UNAVAILABLE during shutdown.
        """
        wanted = from_position or await self._store.last_position() + 1
        while True:
            self._check_open()
            anything = self._anything
            events = await self._store.events_from(wanted)
            tasks = await self._store.get_all(list({event.task_id for event in events}))
            for event in events:
                if datasource in ("", tasks[event.task_id].datasource_name):
                    yield event, tasks[event.task_id]
                wanted = event.position + 1
            if len(events) < EVENTS_PAGE:
                await _wait(anything)

    @contextmanager
    def _feed(self, task: Task) -> Iterator[_Feed]:
        feed = self._feeds.setdefault(task.task_id, _Feed(task.last_sequence))
        feed.watchers += 1
        self._dirty.add(task.task_id)
        self._wake.set()
        try:
            yield feed
        finally:
            feed.watchers -= 1
            if feed.watchers == 0:
                self._feeds.pop(task.task_id)

    async def _read(self, dirty: set[str]) -> None:
        feeds = {task_id: self._feeds[task_id] for task_id in dirty if task_id in self._feeds}
        if not feeds:
            return
        found: dict[str, list[Event]] = {}
        for event in await self._store.newer_events(
            {task_id: feed.last for task_id, feed in feeds.items()}
        ):
            found.setdefault(event.task_id, []).append(event)
        if not found:
            return
        tasks = await self._store.get_all(list(found))
        for task_id, events in found.items():
            feeds[task_id].extend([(event, tasks[task_id]) for event in events])
            if len(events) == EVENTS_PAGE:
                self._dirty.add(task_id)
                self._wake.set()

    async def _page(self, task: Task, wanted: int) -> list[Change]:
        events = await self._store.events(task.task_id, wanted)
        if events and events[-1].sequence > task.last_sequence:
            task = (await self._store.get_all([task.task_id]))[task.task_id]
        return [(event, task) for event in events]

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise errors.error(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "The status service is restarting; resume after the last event.",
                metadata={"service": "status"},
            )


async def _wait(event: asyncio.Event) -> None:
    """Waits until the event is set, at most POLL_S."""
    with suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), POLL_S)
