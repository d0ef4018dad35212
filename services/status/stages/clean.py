"""CLEANING: ends only when no Druid task of the load runs and no query sees one of its rows, and
when it is known what is left of the loads that it replaced.
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
from services.status.tasks.loads import Left, remove_request
from services.status.tasks.machine import Move
from services.status.tasks.task import Progress
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import Segment

Taken = Callable[[Sequence[Segment]], Awaitable[None]]

WAIT_MS = 3000
"""How long one call waits for the rows to disappear."""

PACE_S = 0.5
"""Least seconds between two calls."""

PATIENCE_S = 60.0
"""After so many seconds without success the worker turns to other tasks for a while."""


async def clean(run: Run, loads: Loads, records: PipelineRecords) -> None:
    """To FAILED, CANCELLED or TIMEOUT, as was decided when it began."""
    await remove_all(run, loads, records)
    target, kept = run.task.clean_target, run.task.problem
    if target is None or kept is None:
        raise RuntimeError("a task is CLEANING without target and problem")
    problem = problems.from_json(kept)
    move = Move(target, problem.message, problem)
    if run.task.load_mode == "APPEND":
        await run.move(move)
        return
    # What it may have replaced before it failed is back, or is gone with it.
    await settle(run, loads, records, partial(records.end, run.task, run.owner, move))


async def remove_all(run: Run, loads: Loads, records: PipelineRecords) -> None:
    """Removes whatever was begun of the task, and brings back what it replaced.

    Raises:
        SluiceError: as `remove`.
    """
    task_id = run.task.task_id
    undone = await records.undone_since(task_id)
    left = Left(replaced=await records.restorable(task_id), undone=undone)
    try:
        await remove(run, loads, left)
    except errors.SluiceError as failure:
        if failure.reason != ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE:
            raise
        # Rows of a load that failed must not stay, even where what they replaced can no longer come
        # back.
        logs.get().error("load.not_restorable", reason=failure.problem.message)
        await remove(run, loads, Left(undone=undone))


async def remove(run: Run, loads: Loads, segments: Left, taken: Taken | None = None) -> None:
    """Removes the task's loads. `taken` is called with the segments that were taken out of use.

    Raises:
        SluiceError: DEADLINE_EXCEEDED when rows were still visible after PATIENCE_S, and whatever
        the gateway raises.
    """
    until = monotonic() + PATIENCE_S
    while True:
        asked = monotonic()
        left = await loads.remove(remove_request(run.task, WAIT_MS, segments))
        if taken is not None:
            await taken(left.segments)
        if left.removed:
            return
        await run.progress(
            Progress(
                "What Druid has of the load is being removed.", left.rows_visible, None, "rows"
            )
        )
        if asked >= until:
            message = f"{left.rows_visible:,} rows of the load are still visible in Druid."
            raise errors.error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, message)
        await asyncio.sleep(max(0.0, PACE_S - (monotonic() - asked)))
