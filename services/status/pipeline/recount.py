"""Counts what is left of other loads after one replaced them, failed or was reverted."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from services.common import errors
from services.status.pipeline.run import FencedError, Run
from services.status.ports import Loads, PipelineRecords
from services.status.tasks.load_states import (
    LOADS_AT_ONCE,
    STATES,
    Counted,
    OtherLoad,
    Outcome,
    Recount,
)
from services.status.tasks.loads import count_request
from services.status.tasks.task import Progress, Task
from sluice.common.v1.errors_pb2 import ErrorReason

WAIT_MS = 3000
"""How long one call waits for unavailable segments."""

PACE_S = 0.5
"""Minimum seconds between two counts."""

PATIENCE_S = 60.0
"""Seconds without a count after which the stage fails with DEADLINE_EXCEEDED, to be retried."""


@dataclass(frozen=True)
class Away:
    """The loads cannot be counted: not all `published` segments are `available`."""

    published: int
    available: int

    @property
    def message(self) -> str:
        """The reason as a sentence."""
        return f"Other loads there cannot be counted yet: of {self.published:,} segments {self.available:,} are available."


async def recount(
    task: Task, loads: Loads, records: PipelineRecords, states: Sequence[str] = STATES
) -> Recount | Away:
    """Counts the other loads in one of the load states that the task's load may have changed, with
    a query per LOADS_AT_ONCE loads.
    """
    where = await records.touched(task.task_id)
    counted: list[Counted] = []
    after: OtherLoad | None = None
    while where.start_millis is not None:
        page = await records.others(task, where, states, after)
        if page:
            found = await rows_of(page, task.datasource_name, loads)
            if isinstance(found, Away):
                return found
            counted += [Counted(each, found.get(each.task_id, 0)) for each in page]
        if len(page) < LOADS_AT_ONCE:
            break
        after = page[-1]
    return Recount(where.since, counted)


async def rows_of(
    others: Sequence[OtherLoad], datasource: str, loads: Loads
) -> Mapping[str, int] | Away:
    """PipelineStore that a query sees, by task; tasks without rows are left out."""
    seen = await loads.count(count_request(datasource, others, WAIT_MS))
    if not seen.complete:
        return Away(seen.segments_published, seen.segments_available)
    return {each.task_id: each.rows for each in seen.loads}


async def settle(
    run: Run, loads: Loads, records: PipelineRecords, end: Callable[[Recount], Awaitable[Outcome]]
) -> None:
    """Counts the other loads and ends the stage with the counts.

    Raises:
        FencedError: nothing was written.
        SluiceError: DEADLINE_EXCEEDED if they cannot be counted within PATIENCE_S; errors of Loads.
    """
    until = monotonic() + PATIENCE_S
    while True:
        asked = monotonic()
        counted = await recount(run.task, loads, records)
        if isinstance(counted, Recount):
            outcome = await end(counted)
            if outcome is Outcome.WRITTEN:
                return
            if outcome is Outcome.FENCED:
                raise FencedError
            message = "Other loads of the datasource change while they are counted."
        else:
            message = counted.message
            await run.progress(Progress(message, counted.available, counted.published, "segments"))
        if asked >= until:
            raise errors.error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, message)
        await asyncio.sleep(max(0.0, PACE_S - (monotonic() - asked)))
