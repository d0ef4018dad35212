"""What the domain needs from outside."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from services.druid_gateway.loads.load import (
    Interval,
    Part,
    SubTasks,
    TaskReport,
    TaskStatus,
    TaskTarget,
    UnusedSegment,
)

Value = str | int | float | bool | None


class Druid(Protocol):
    """Druid, as far as it is asked here. Every method raises SluiceError DRUID_UNAVAILABLE when it
    does not answer, after its retries.
    """

    async def submit(self, task: dict[str, Any]) -> bool:
        """Posts a task with a fixed id. False where Druid knew it already. Raises
        DRUID_SPEC_REFUSED, DRUID_NO_CAPACITY.
        """
        ...

    async def task_statuses(self, task_ids: Sequence[str]) -> dict[str, TaskStatus]:
        """The tasks that the overlord knows."""
        ...

    async def task_report(self, task_id: str) -> TaskReport | None:
        """The task's report; None where there is none (yet)."""
        ...

    async def sub_tasks(self, task_id: str, datasource: str) -> SubTasks:
        """The sub-tasks of a task that loads into the datasource."""
        ...

    async def task_target(self, task_id: str) -> TaskTarget | None:
        """Where the task writes; None where the overlord does not know the task."""
        ...

    async def shut_down(self, task_id: str) -> None:
        """Stops a task; nothing happens where it has ended or never was."""
        ...

    async def free_slots(self) -> int | None:
        """Tasks that could start now; None where Druid does not tell."""
        ...

    async def loaded_percent(
        self, datasource: str, interval: Interval, *, refresh: bool
    ) -> float | None:
        """Share of the interval's used segments that are loaded; None where Druid knows none.

        `refresh` makes the coordinator read its database first; else it speaks of the segments that
        it knew at its last turn.
        """
        ...

    async def sql(self, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        """The rows of a small answer. Raises QUERY_INVALID where Druid does not know a table or
        column (yet).
        """
        ...

    async def rows_by_segment(self, datasource: str, load_id: str) -> dict[str, int]:
        """The segments that queries reach and that hold rows of the load, with their number."""
        ...

    async def rows_by_load(
        self, datasource: str, interval: Interval, load_ids: Sequence[str]
    ) -> dict[str, int]:
        """Those of the loads that have rows in the interval that queries see, with their number."""
        ...

    async def loads_in_segments(
        self, datasource: str, segment_ids: Sequence[str]
    ) -> dict[str, int]:
        """The loads whose rows are in segments that queries reach, with their number. Rows that
        came another way are those of the load with the empty id.
        """
        ...

    async def used_segments(
        self, datasource: str, interval: Interval, *, refresh: bool = True
    ) -> dict[str, bool]:
        """The published segments that overlap the interval and are not replaced by others, and
        whether the broker reaches them. `refresh` makes the coordinator read its database first.
        """
        ...

    async def core_segments(self, datasource: str, interval: Interval) -> set[str]:
        """Those used segments without which queries see nothing of their chunk's version: others
        may have been appended to them.
        """
        ...

    async def rewriting_tasks(self, datasource: str, chunks: Collection[Interval]) -> list[str]:
        """Tasks that are not loads of Sluice and may replace segments of the chunks, such as
        compactions."""
        ...

    async def published_segments(self, datasource: str, interval: Interval) -> set[str]:
        """The used segments that overlap the interval, those that others have replaced among
        them.
        """
        ...

    async def unused_segments(self, datasource: str, interval: Interval) -> list[UnusedSegment]:
        """The unused segments inside the interval."""
        ...

    async def mark_used(self, datasource: str, segment_ids: Sequence[str]) -> None:
        """Brings unused segments back, a little later. Whether it worked shows in unused_segments
        only.
        """
        ...

    async def mark_unused(self, datasource: str, segment_ids: Sequence[str]) -> None:
        """Makes the segments disappear from queries, a little later."""
        ...

    def query(
        self,
        sql: str,
        query_id: str,
        limit: int,
        timeout_ms: int,
        parameters: Sequence[Value] = (),
        max_subquery_rows: int | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """A user's query, asked once. The answer's lines: column names, native types, SQL types,
        then rows, each a JSON array. `max_subquery_rows`: most rows of a subquery that the broker
        may hold; None for Druid's own limit.

        Raises QUERY_INVALID, QUERY_FORBIDDEN, QUERY_TIMEOUT, QUERY_TOO_LARGE, QUERY_TOO_EXPENSIVE;
        QUERY_FAILED where Druid fails or breaks off while it answers.
        """
        ...

    async def cancel_query(self, query_id: str) -> None:
        """Ends a running query. Never raises."""
        ...


class InputSource(Protocol):
    """How Druid reads the parts."""

    async def of(self, parts: Sequence[Part], lifetime_s: int) -> dict[str, Any]:
        """The spec's `inputSource`, usable for `lifetime_s` from now."""
        ...
