"""CLEANING: removes a load. Ends only when no Druid task of the load runs, no query returns its rows,
and the loads that it replaced are counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import monotonic

from services.common import errors, logs
from services.status.pipeline.recount import settle
from services.status.pipeline.run import Run
from services.status.ports import Loads, PipelineRecords
from services.status.tasks import problems
from services.status.tasks.loads import LoadSegments, remove_request
from services.status.tasks.machine import Move
from services.status.tasks.task import Progress
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import Segment

OnUnused = Callable[[Sequence[Segment]], Awaitable[None]]

WAIT_MS = 3000
"""How long one call waits for the rows to disappear."""

PACE_S = 0.5
"""Minimum seconds between two calls."""

PATIENCE_S = 60.0
"""Seconds without success after which the stage fails with DEADLINE_EXCEEDED, to be retried."""


async def clean(run: Run, loads: Loads, records: PipelineRecords) -> None:
    """Ends the task in its `clean_target`: FAILED, CANCELLED or TIMEOUT."""
    await remove_all(run, loads, records)
    target, stored = run.task.clean_target, run.task.problem
    if target is None or stored is None:
        raise RuntimeError("a task is CLEANING without target and problem")
    problem = problems.from_json(stored)
    move = Move(target, problem.message, problem)
    if run.task.load_mode == "APPEND":
        await run.move(move)
        return
    # The loads that it may have replaced before it failed are restored or lost: count them.
    await settle(run, loads, records, partial(records.end, run.task, run.owner, move))


async def remove_all(run: Run, loads: Loads, records: PipelineRecords) -> None:
    """Removes all loads of the task and restores what they replaced.

    Raises:
        SluiceError: as `remove`.
    """
    task_id = run.task.task_id
    undone = await records.undone_since(task_id)
    segments = LoadSegments(replaced=await records.restorable(task_id), undone=undone)
    try:
        await remove(run, loads, segments)
    except errors.SluiceError as failure:
        if failure.reason != ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE:
            raise
        # Remove the rows of a failed load even if the rows that they replaced cannot be restored.
        logs.get().error("load.not_restorable", reason=failure.problem.message)
        await remove(run, loads, LoadSegments(undone=undone))


async def remove(
    run: Run, loads: Loads, segments: LoadSegments, on_unused: OnUnused | None = None
) -> None:
    """Removes the task's loads. Calls `on_unused` with the segments that it marked unused.

    Raises:
        SluiceError: DEADLINE_EXCEEDED if rows are still visible after PATIENCE_S; errors of Loads.
    """
    until = monotonic() + PATIENCE_S
    while True:
        asked = monotonic()
        left = await loads.remove(remove_request(run.task, WAIT_MS, segments))
        if on_unused is not None:
            await on_unused(left.segments)
        if left.removed:
            return
        await run.progress(
            Progress("The load is being removed from Druid.", left.rows_visible, None, "rows")
        )
        if asked >= until:
            message = f"{left.rows_visible:,} rows of the load are still visible in Druid."
            raise errors.error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, message)
        await asyncio.sleep(max(0.0, PACE_S - (monotonic() - asked)))
