"""What the domain requires from outside."""

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
    """Druid. Every method raises SluiceError DRUID_UNAVAILABLE if Druid still does not respond after
    retries.
    """

    async def submit(self, task: dict[str, Any]) -> bool:
        """Submit a task with a fixed id. False if Druid already knew it. Raises
        DRUID_SPEC_REFUSED, DRUID_NO_CAPACITY.
        """

    async def task_statuses(self, task_ids: Sequence[str]) -> dict[str, TaskStatus]:
        """Return the statuses of those tasks that the overlord knows."""

    async def task_report(self, task_id: str) -> TaskReport | None:
        """Return the task's report; None if there is none yet."""

    async def sub_tasks(self, task_id: str, datasource: str) -> SubTasks:
        """Count the sub-tasks of a task that loads into the datasource."""

    async def task_target(self, task_id: str) -> TaskTarget | None:
        """Return where the task writes; None if the overlord does not know the task."""

    async def shut_down(self, task_id: str) -> None:
        """Stop a task, if it is running."""

    async def free_slots(self) -> int | None:
        """Return the number of tasks that could start now; None if Druid does not report it."""

    async def loaded_percent(
        self, datasource: str, interval: Interval, *, refresh: bool
    ) -> float | None:
        """Return the percentage of the interval's used segments that are loaded; None if there are
        none.

        `refresh` makes the coordinator read its database first; otherwise it counts the segments
        that it knew at its last run.
        """

    async def sql(self, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        """Return the rows of a small result. Raises QUERY_INVALID if Druid does not know a table or
        column yet.
        """

    async def rows_by_segment(self, datasource: str, load_id: str) -> dict[str, int]:
        """Count the load's rows in each available segment that has any."""

    async def rows_by_load(
        self, datasource: str, interval: Interval, load_ids: Sequence[str]
    ) -> dict[str, int]:
        """Count the rows in the interval of each load that has any."""

    async def loads_in_segments(
        self, datasource: str, segment_ids: Sequence[str]
    ) -> dict[str, int]:
        """Count the rows of each load in those of the segments that are available. Rows of other
        programs count for the load with the empty id.
        """

    async def used_segments(
        self, datasource: str, interval: Interval, *, refresh: bool = True
    ) -> dict[str, bool]:
        """Return the published segments that overlap the interval and are not replaced by others,
        and whether they are available to the broker. `refresh` makes the coordinator read its
        database first.
        """

    async def core_segments(self, datasource: str, interval: Interval) -> set[str]:
        """Return the used segments without which queries see nothing of their time chunk's version,
        including segments appended to it.
        """

    async def rewriting_tasks(self, datasource: str, chunks: Collection[Interval]) -> list[str]:
        """List tasks of other programs that may replace segments of the time chunks, such as
        compactions."""

    async def published_segments(self, datasource: str, interval: Interval) -> set[str]:
        """Return the used segments that overlap the interval, including those that others have
        replaced.
        """

    async def unused_segments(self, datasource: str, interval: Interval) -> list[UnusedSegment]:
        """List the unused segments inside the interval."""

    async def mark_used(self, datasource: str, segment_ids: Sequence[str]) -> None:
        """Mark unused segments as used. Takes effect a little later; only unused_segments shows
        whether it worked.
        """

    async def mark_unused(self, datasource: str, segment_ids: Sequence[str]) -> None:
        """Mark the segments as unused. A little later, queries no longer see them."""

    def query(
        self,
        sql: str,
        query_id: str,
        limit: int,
        timeout_ms: int,
        parameters: Sequence[Value] = (),
        max_subquery_rows: int | None = None,
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Run a user's query, without retries. Yields lines: column names, native types, SQL types,
        then rows, each a JSON array. `max_subquery_rows`: rows of a subquery that the broker may
        hold; None for Druid's own limit.

        Raises QUERY_INVALID, QUERY_FORBIDDEN, QUERY_TIMEOUT, QUERY_TOO_LARGE, QUERY_TOO_EXPENSIVE;
        QUERY_FAILED if Druid fails or closes the connection during the response.
        """

    async def cancel_query(self, query_id: str) -> None:
        """Cancel a running query. Never raises."""


class InputSource(Protocol):
    """How Druid reads the parts."""

    async def of(self, parts: Sequence[Part], lifetime_s: int) -> dict[str, Any]:
        """Return the spec's `inputSource`, valid for `lifetime_s` from now."""
