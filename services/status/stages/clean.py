"""CLEANING: ends only when no Druid task of the load runs and no query sees one of its rows."""

import asyncio
from time import monotonic

from services.common import errors
from services.status import problems
from services.status.loads import remove_request
from services.status.machine import Move
from services.status.ports import Loads
from services.status.run import Run
from services.status.tasks import Progress
from sluice.common.v1.errors_pb2 import ErrorReason

WAIT_MS = 3000
"""How long one call waits for the rows to disappear."""

PACE_S = 0.5
"""Least seconds between two calls."""

PATIENCE_S = 60.0
"""After so many seconds without success the worker turns to other tasks for a while."""


async def clean(run: Run, loads: Loads) -> None:
    """To FAILED, CANCELLED or TIMEOUT, as was decided when it began."""
    await remove(run, loads)
    target, kept = run.task.clean_target, run.task.problem
    if target is None or kept is None:
        raise RuntimeError("a task is CLEANING without target and problem")
    problem = problems.from_json(kept)
    await run.move(Move(target, problem.message, problem))


async def remove(run: Run, loads: Loads) -> None:
    """Removes the task's loads.

    Raises:
        SluiceError: DEADLINE_EXCEEDED when rows were still visible after PATIENCE_S, and whatever the gateway raises.
    """
    until = monotonic() + PATIENCE_S
    while True:
        asked = monotonic()
        left = await loads.remove(remove_request(run.task, WAIT_MS))
        if left.removed:
            return
        await run.progress(Progress("What Druid has of the load is being removed.", left.rows_visible, None, "rows"))
        if asked >= until:
            message = f"{left.rows_visible:,} rows of the load are still visible in Druid."
            raise errors.error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, message)
        await asyncio.sleep(max(0.0, PACE_S - (monotonic() - asked)))
