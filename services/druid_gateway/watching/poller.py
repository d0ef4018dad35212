"""Follows submitted loads: one poller asks Druid for the statuses of all watched tasks at once."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
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
"""A task is unknown if the overlord does not know it in this many polls in a row, over at least
this many seconds.
"""

PROGRESS_S = 2.0
"""Seconds between progress reports of a running task."""

_NO_SUB_TASKS = SubTasks(0, 0)


class Phase(Enum):
    """State of a load's Druid task."""

    UNKNOWN = "unknown"
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True)
class Progress:
    """Progress of a load; the last one has phase SUCCEEDED, FAILED (with a problem) or UNKNOWN."""

    phase: Phase
    duration_ms: int = 0
    rows_processed: int | None = None
    problem: Problem | None = None
    sub_tasks: SubTasks = _NO_SUB_TASKS


@dataclass(eq=False)
class _Watch:
    """One watcher. `updates` only holds the latest one: the status, None if the overlord does not
    know the task, or a failure.
    """

    started: float = field(default_factory=monotonic)
    updates: "asyncio.Queue[TaskStatus | errors.SluiceError | None]" = field(
        default_factory=lambda: asyncio.Queue(1)
    )

    def notify(self, update: TaskStatus | errors.SluiceError | None) -> None:
        if self.updates.full():
            self.updates.get_nowait()
        self.updates.put_nowait(update)


class TaskPoller:
    """Polls the statuses of all watched tasks with one request. `run` needs its own asyncio task.

    After an outage of Druid of `outage_s` seconds, every watcher gets DRUID_UNAVAILABLE.
    """

    def __init__(self, druid: Druid, outage_s: float) -> None:
        self._druid = druid
        self._outage_s = outage_s
        self._watches: defaultdict[str, set[_Watch]] = defaultdict(set)
        self._added = asyncio.Event()

    async def follow(self, task_id: str) -> AsyncGenerator[TaskStatus | None]:
        """Yield the task's status after every poll, None if the overlord does not know it. Never
        ends by itself.
        """
        watch = _Watch()
        self._watches[task_id].add(watch)
        self._added.set()
        try:
            while True:
                update = await watch.updates.get()
                if isinstance(update, errors.SluiceError):
                    raise update
                yield update
        finally:
            self._watches[task_id].discard(watch)
            if not self._watches[task_id]:
                del self._watches[task_id]

    async def run(self) -> None:
        """Poll until cancelled."""
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
                failure = _as_sluice_error(raised)
                silent_s = monotonic() - answered
                log = logs.get().bind(silent_s=round(silent_s, 1), tasks=len(task_ids))
                log.warning("druid.poll_failed", reason=str(failure))
                if silent_s >= self._outage_s:
                    for watches in self._watches.values():
                        for watch in watches:
                            watch.notify(failure)
            else:
                answered = monotonic()
                for task_id in task_ids:
                    for watch in self._watches.get(task_id, ()):
                        watch.notify(statuses.get(task_id))
            await self._pause()

    async def _pause(self) -> None:
        """Sleep until the next poll of the youngest watch, or until a watch is added."""
        now = monotonic()
        ages = [now - watch.started for watches in self._watches.values() for watch in watches]
        with suppress(TimeoutError):
            async with asyncio.timeout(min(map(pause_s, ages), default=0)):
                await self._added.wait()


def _as_sluice_error(raised: Exception) -> errors.SluiceError:
    if isinstance(raised, errors.SluiceError):
        return raised
    logs.get().error("druid.poll_broke", exc_info=raised)
    return errors.error(
        ErrorReason.ERROR_REASON_INTERNAL,
        "Druid's response about the load's status could not be parsed.",
    )


async def watch_load(
    druid: Druid, poller: TaskPoller, task_id: str, datasource: str = ""
) -> AsyncGenerator[Progress]:
    """Yield the progress of a load at every change of phase, and every PROGRESS_S seconds while it
    runs, with the rows read so far and, if the datasource is given, the sub-tasks.

    Raises:
        SluiceError: DRUID_UNAVAILABLE after an outage of Druid, as in TaskPoller.
    """
    phase: Phase | None = None
    unknown_polls, unknown_since = 0, 0.0
    reported = monotonic()
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
                    final = await _running_progress(druid, task_id)
                    yield Progress(Phase.SUCCEEDED, status.duration_ms, final.rows_processed)
                    return
                case TaskState.FAILED:
                    problem = await _failure(druid, task_id, status)
                    yield Progress(Phase.FAILED, status.duration_ms, problem=problem)
                    return
                case TaskState.RUNNING:
                    # Just before the end, the overlord no longer knows the worker.
                    current = (
                        Phase.RUNNING if status.started or phase is Phase.RUNNING else Phase.WAITING
                    )
                    if current is not phase:
                        yield Progress(current)
                    elif current is Phase.RUNNING and now - reported >= PROGRESS_S:
                        yield await _running_progress(druid, task_id, datasource)
                        reported = monotonic()
                    phase = current


async def _running_progress(druid: Druid, task_id: str, datasource: str = "") -> Progress:
    try:
        report = await druid.task_report(task_id)
        sub_tasks = await druid.sub_tasks(task_id, datasource) if datasource else _NO_SUB_TASKS
    except errors.SluiceError as failure:
        # Progress is optional: the poller detects outages of Druid, and verification counts rows.
        logs.get().debug("druid.no_progress", reason=str(failure))
        return Progress(Phase.RUNNING)
    return Progress(
        Phase.RUNNING, rows_processed=report.rows_processed if report else None, sub_tasks=sub_tasks
    )


async def _failure(druid: Druid, task_id: str, status: TaskStatus) -> Problem:
    """Return why the task failed. The status has only about 100 characters of Druid's text; the
    report, if there is one, has all of it.
    """
    try:
        report = await druid.task_report(task_id)
    except errors.SluiceError as failure:
        if failure.reason != ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE:
            raise
        report = None
    full = report.error if report and len(report.error) > len(status.error) else status.error
    return problem_of_task(full)
