"""A fake Druid: tests set what it knows, and read which calls it received."""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from services.common import errors
from services.druid_gateway.loads.load import (
    Interval,
    SubTasks,
    TaskReport,
    TaskState,
    TaskStatus,
    TaskTarget,
    UnusedSegment,
)
from services.druid_gateway.ports import Value
from sluice.common.v1.errors_pb2 import ErrorReason

AWAY = errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, "Druid cannot be reached.")
RUNNING = TaskStatus(TaskState.RUNNING, True, 0, "")
WAITING = TaskStatus(TaskState.RUNNING, False, 0, "")
SUCCESS = TaskStatus(TaskState.SUCCESS, True, 900, "")


def failed(error: str) -> TaskStatus:
    return TaskStatus(TaskState.FAILED, True, 900, error)


Polled = dict[str, TaskStatus] | errors.SluiceError


@dataclass
class FakeDruid:
    """Implements ports.Druid.

    `polls`: responses of task_statuses in order, the last one repeats. `answers`: responses of sql,
    by its text.
    """

    polls: list[Polled] = field(default_factory=lambda: [{}])
    report: TaskReport | None = None
    target: TaskTarget | None = None
    parallel: SubTasks = field(default_factory=lambda: SubTasks(0, 0))
    used: dict[str, bool] = field(default_factory=dict)
    overshadowed: set[str] = field(default_factory=set)
    unused: list[UnusedSegment] = field(default_factory=list)
    slots: int | None = 4
    known: set[str] = field(default_factory=set)
    percents: list[float | None] = field(default_factory=lambda: [100.0])
    answers: Callable[[str, Sequence[Value]], list[list[Value]]] = lambda sql, parameters: []
    segments: dict[str, int] = field(default_factory=dict)
    """Rows of the queried load, by segment."""
    strangers: dict[str, dict[str, int]] = field(default_factory=dict)
    """Rows of other loads: segment -> load -> rows."""
    core: set[str] = field(default_factory=set)
    writing: list[list[str]] = field(default_factory=lambda: [[]])
    """Responses of rewriting_tasks in order; the last one repeats."""
    lines: Sequence[bytes] = ()

    specs: list[dict[str, Any]] = field(default_factory=list)
    asked_ids: list[list[str]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    brought_back: list[str] = field(default_factory=list)
    marked: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    queries: list[tuple[str, int, int]] = field(default_factory=list)
    lines_read: int = 0
    refreshed: int = 0

    async def submit(self, task: dict[str, Any]) -> bool:
        self.specs.append(task)
        new = task["id"] not in self.known
        self.known.add(task["id"])
        return new

    async def task_statuses(self, task_ids: Sequence[str]) -> dict[str, TaskStatus]:
        self.asked_ids.append(list(task_ids))
        polled = self.polls.pop(0) if len(self.polls) > 1 else self.polls[0]
        if isinstance(polled, errors.SluiceError):
            raise polled
        return {task_id: status for task_id, status in polled.items() if task_id in task_ids}

    async def task_report(self, task_id: str) -> TaskReport | None:
        return self.report

    async def sub_tasks(self, task_id: str, datasource: str) -> SubTasks:
        return self.parallel

    async def task_target(self, task_id: str) -> TaskTarget | None:
        return self.target

    async def used_segments(
        self, datasource: str, interval: Interval, *, refresh: bool = True
    ) -> dict[str, bool]:
        self.refreshed += refresh
        return {
            segment: reached for segment, reached in self.used.items() if segment not in self.marked
        }

    async def published_segments(self, datasource: str, interval: Interval) -> set[str]:
        return {*self.used, *self.overshadowed, *self.brought_back} - set(self.marked)

    async def rows_by_load(
        self, datasource: str, interval: Interval, load_ids: Sequence[str]
    ) -> dict[str, int]:
        seen = await self.loads_in_segments(datasource, list(self.used))
        return {load: rows for load, rows in seen.items() if load in load_ids}

    async def loads_in_segments(
        self, datasource: str, segment_ids: Sequence[str]
    ) -> dict[str, int]:
        found: Counter[str] = Counter()
        for each in segment_ids:
            if each not in self.marked:
                found["load"] += self.segments.get(each, 0)
                found.update(self.strangers.get(each, {}))
        return dict(+found)

    async def core_segments(self, datasource: str, interval: Interval) -> set[str]:
        return self.core

    async def rewriting_tasks(self, datasource: str, chunks: Collection[Interval]) -> list[str]:
        return self.writing.pop(0) if len(self.writing) > 1 else self.writing[0]

    async def unused_segments(self, datasource: str, interval: Interval) -> list[UnusedSegment]:
        return [segment for segment in self.unused if segment.id not in self.brought_back]

    async def mark_used(self, datasource: str, segment_ids: Sequence[str]) -> None:
        self.brought_back.extend(segment_ids)

    async def shut_down(self, task_id: str) -> None:
        self.stopped.append(task_id)

    async def free_slots(self) -> int | None:
        return self.slots

    async def loaded_percent(
        self, datasource: str, interval: Interval, *, refresh: bool
    ) -> float | None:
        return self.percents.pop(0) if len(self.percents) > 1 else self.percents[0]

    async def sql(self, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        return self.answers(sql, parameters)

    async def rows_by_segment(self, datasource: str, load_id: str) -> dict[str, int]:
        return {
            segment: rows for segment, rows in self.segments.items() if segment not in self.marked
        }

    async def mark_unused(self, datasource: str, segment_ids: Sequence[str]) -> None:
        self.marked.extend(segment_ids)

    @asynccontextmanager
    async def query(
        self,
        sql: str,
        query_id: str,
        limit: int,
        timeout_ms: int,
        parameters: Sequence[Value] = (),
        max_subquery_rows: int | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        self.queries.append((sql, limit, timeout_ms))
        yield self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        for line in self.lines:
            self.lines_read += 1
            yield line

    async def cancel_query(self, query_id: str) -> None:
        self.cancelled.append(query_id)
