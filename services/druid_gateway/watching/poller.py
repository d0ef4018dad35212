"""Following submitted loads: one poller asks Druid for all watched tasks at once, every watcher
takes the news of its own.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from enum import Enum
from time import monotonic

from services.common import errors, logs
from services.druid_gateway.http.failures import problem_of_task
from services.druid_gateway.loads.load import SubTasks, TaskState, TaskStatus
from services.druid_gateway.ports import Druid
from services.druid_gateway.watching.pacing import pause_s
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

UNKNOWN_POLLS = 5
UNKNOWN_FOR_S = 1.0
"""A task is called unknown when the overlord said so that often, over that many seconds, in a
row.
"""

PROGRESS_S = 2.0
"""Seconds between two questions for what a running task has read and which of its sub-tasks have
ended.
"""

_NO_SUB_TASKS = SubTasks(0, 0)


class Phase(Enum):
    """Where a load is."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Progress:
    """News of a load; the last has phase SUCCEEDED, FAILED (with a problem) or UNKNOWN."""

    phase: Phase
    duration_ms: int = 0
    rows_processed: int | None = None
    problem: Problem | None = None
    sub_tasks: SubTasks = _NO_SUB_TASKS


@dataclass(eq=False)
class _Watch:
    """One watcher. `news` holds the latest answer only: the status, None for a task that the
    overlord does not know, or a failure.
    """

    started: float = field(default_factory=monotonic)
    news: "asyncio.Queue[TaskStatus | errors.SluiceError | None]" = field(
        default_factory=lambda: asyncio.Queue(1)
    )

    def tell(self, news: TaskStatus | errors.SluiceError | None) -> None:
        if self.news.full():
            self.news.get_nowait()
        self.news.put_nowait(news)


class TaskPoller:
    """Asks for the statuses of all watched tasks with one request. `run` belongs into a task of its
    own.

    An outage of Druid is waited for up to `outage_s` seconds; then every watcher gets
    DRUID_UNAVAILABLE.
    """

    def __init__(self, druid: Druid, outage_s: float) -> None:
        self._druid = druid
        self._outage_s = outage_s
        self._watches: defaultdict[str, set[_Watch]] = defaultdict(set)
        self._added = asyncio.Event()

    async def follow(self, task_id: str) -> AsyncGenerator[TaskStatus | None]:
        """The task's status after every poll, None where the overlord does not know it. Ends never
        by itself.
        """
        watch = _Watch()
        self._watches[task_id].add(watch)
        self._added.set()
        try:
            while True:
                news = await watch.news.get()
                if isinstance(news, errors.SluiceError):
                    raise news
                yield news
        finally:
            self._watches[task_id].discard(watch)
            if not self._watches[task_id]:
                del self._watches[task_id]

    async def run(self) -> None:
        """Until cancelled."""
        answered = monotonic()
        while True:
            if not self._watches:
                self._added.clear()
                await self._added.wait()
                answered = monotonic()
            self._added.clear()
            task_ids = sorted(self._watches)
            try:
                statuses = await self._druid.task_statuses(task_ids)
            except Exception as raised:
                failure = _known(raised)
                silent_s = monotonic() - answered
                log = logs.get().bind(silent_s=round(silent_s, 1), tasks=len(task_ids))
                log.warning("druid.poll_failed", reason=str(failure))
                if silent_s >= self._outage_s:
                    self._tell_all(failure)
            else:
                answered = monotonic()
                for task_id in task_ids:
                    for watch in self._watches.get(task_id, ()):
                        watch.tell(statuses.get(task_id))
            await self._pause()

    def _tell_all(self, failure: errors.SluiceError) -> None:
        for watches in self._watches.values():
            for watch in watches:
                watch.tell(failure)

    async def _pause(self) -> None:
        """As long as the youngest watch allows, cut short by a new one."""
        now = monotonic()
        ages = [now - watch.started for watches in self._watches.values() for watch in watches]
        try:
            async with asyncio.timeout(min(map(pause_s, ages), default=0)):
                await self._added.wait()
        except TimeoutError:
            return


def _known(raised: Exception) -> errors.SluiceError:
    """A failure that watchers can be given."""
    if isinstance(raised, errors.SluiceError):
        return raised
    logs.get().error("druid.poll_broke", exc_info=raised)
    message = "Druid's answer for the load's status could not be understood."
    return errors.error(ErrorReason.ERROR_REASON_INTERNAL, message)


async def watch_load(
    druid: Druid, poller: TaskPoller, task_id: str, datasource: str = ""
) -> AsyncGenerator[Progress]:
    """News of a load: at every change of phase, and while it runs every PROGRESS_S seconds with the
    rows read so far and, where the datasource is named, its sub-tasks.

    Raises:
        SluiceError: DRUID_UNAVAILABLE when Druid was away for longer than the poller waits.
    """
    phase: Phase | None = None
    unknown_polls, unknown_since = 0, 0.0
    asked = monotonic()
    async with aclosing(poller.follow(task_id)) as statuses:
        async for status in statuses:
            now = monotonic()
            if status is None:
                unknown_since = unknown_since if unknown_polls else now
                unknown_polls += 1
                if unknown_polls >= UNKNOWN_POLLS and now - unknown_since >= UNKNOWN_FOR_S:
                    yield Progress(Phase.UNKNOWN)
                    return
                continue
            unknown_polls = 0
            match status.state:
                case TaskState.SUCCESS:
                    so_far = await _so_far(druid, task_id)
                    yield Progress(Phase.SUCCEEDED, status.duration_ms, so_far.rows_processed)
                    return
                case TaskState.FAILED:
                    yield Progress(
                        Phase.FAILED,
                        status.duration_ms,
                        problem=await _why_failed(druid, task_id, status),
                    )
                    return
                case TaskState.RUNNING:
                    # The overlord forgets the worker again just before the end.
                    current = (
                        Phase.RUNNING if status.started or phase is Phase.RUNNING else Phase.WAITING
                    )
                    if current is not phase:
                        yield Progress(current)
                    elif current is Phase.RUNNING and now - asked >= PROGRESS_S:
                        yield await _so_far(druid, task_id, datasource)
                        asked = monotonic()
                    phase = current


async def _so_far(druid: Druid, task_id: str, datasource: str = "") -> Progress:
    try:
        report = await druid.task_report(task_id)
        sub_tasks = await druid.sub_tasks(task_id, datasource) if datasource else _NO_SUB_TASKS
    except errors.SluiceError as failure:
        # A figure is not worth a failed watch; the poller decides when Druid is gone, and a count
        # whether all rows are there.
        logs.get().debug("druid.no_progress", reason=str(failure))
        return Progress(Phase.RUNNING)
    return Progress(
        Phase.RUNNING, rows_processed=report.rows_processed if report else None, sub_tasks=sub_tasks
    )


async def _why_failed(druid: Druid, task_id: str, status: TaskStatus) -> Problem:
    """The status has Druid's text cut to 100 characters or so; the report, where there is one, has
    all of it.
    """
    try:
        report = await druid.task_report(task_id)
    except errors.SluiceError as failure:
        if failure.reason != ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE:
            raise
        report = None
    full = report.error if report and len(report.error) > len(status.error) else status.error
    return problem_of_task(full)
