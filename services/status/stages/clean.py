"""CLEANING: ends only when no Druid task of the load runs and no query sees one of its rows."""

import asyncio
from collections.abc import Callable
from time import monotonic

from services.common import errors, logs
from services.status import problems
from services.status.loads import remove_request
from services.status.machine import Move
from services.status.ports import Loads, Records
from services.status.run import Run
from services.status.tasks import Progress
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import RemoveLoadRequest

WAIT_MS = 3000
"""How long one call waits for the rows to disappear."""

PACE_S = 0.5
"""Least seconds between two calls."""

PATIENCE_S = 60.0
"""After so many seconds without success the worker turns to other tasks for a while."""


async def clean(run: Run, loads: Loads, records: Records) -> None:
    """To FAILED, CANCELLED or TIMEOUT, as was decided when it began."""
    await remove_all(run, loads, records)
    target, kept = run.task.clean_target, run.task.problem
    if target is None or kept is None:
        raise RuntimeError("a task is CLEANING without target and problem")
    problem = problems.from_json(kept)
    await run.move(Move(target, problem.message, problem))


async def remove_all(run: Run, loads: Loads, records: Records) -> None:
    """Removes whatever was begun of the task, and brings back what it replaced.

    Raises:
        SluiceError: as `remove`.
    """
    restore = await records.restorable(run.task.task_id)
    try:
        await remove(run, loads, lambda wait_ms: remove_request(run.task, wait_ms, restore=restore))
    except errors.SluiceError as failure:
        if failure.reason != ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE:
            raise
        # Rows of a load that failed must not stay, even where what they replaced can no longer come back.
        logs.get().error("load.not_restorable", reason=failure.problem.message)
        await remove(run, loads, lambda wait_ms: remove_request(run.task, wait_ms))


async def remove(run: Run, loads: Loads, request: Callable[[int], RemoveLoadRequest]) -> None:
    """Removes what the request, made for a wait in milliseconds, names.

    Raises:
        SluiceError: DEADLINE_EXCEEDED when rows were still visible after PATIENCE_S, and whatever the gateway raises.
    """
    until = monotonic() + PATIENCE_S
    while True:
        asked = monotonic()
        left = await loads.remove(request(WAIT_MS))
        if left.removed:
            return
        await run.progress(Progress("What Druid has of the load is being removed.", left.rows_visible, None, "rows"))
        if asked >= until:
            message = f"{left.rows_visible:,} rows of the load are still visible in Druid."
            raise errors.error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, message)
        await asyncio.sleep(max(0.0, PACE_S - (monotonic() - asked)))
