"""VERIFYING: the task succeeds only after a query has counted its rows."""

import asyncio
from time import monotonic

from services.common import errors
from services.status.pipeline.recount import Away, recount
from services.status.pipeline.run import FencedError, Run
from services.status.ports import Loads, PipelineRecords
from services.status.stages.standstill import Standstill
from services.status.tasks.load_states import Outcome
from services.status.tasks.loads import verify_request
from services.status.tasks.machine import Move, State, fail
from services.status.tasks.task import Progress
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import VerifyLoadResponse

WAIT_MS = 3000
"""How long one call waits for the expected rows and sums."""

PACE_S = 0.5
"""Minimum seconds between two calls."""


async def verify(run: Run, loads: Loads, records: PipelineRecords, settle_s: float) -> None:
    """Moves the task to SUCCEEDED, or to CLEANING if the numbers stay wrong for `settle_s` seconds
    with all segments loaded, or until the deadline.
    """
    wrong_since: float | None = None
    standstill = Standstill()
    while True:
        asked = monotonic()
        seen = await loads.verify(verify_request(run.task, WAIT_MS))
        if seen.verified:
            if await _succeeded(run, loads, records, seen):
                return
            wrong_since = None
        else:
            message = standstill.describe(seen)
            await run.progress(Progress(message, seen.rows, run.task.rows_loadable, "rows"))
            if seen.segments_loaded_percent < 100:
                wrong_since = None
            elif wrong_since is None:
                wrong_since = asked
        settled = wrong_since is not None and monotonic() - wrong_since >= settle_s
        if settled or run.remaining_s <= WAIT_MS / 1000:
            await _failed(run, seen)
            return
        await asyncio.sleep(max(0.0, PACE_S - (monotonic() - asked)))


async def _succeeded(
    run: Run, loads: Loads, records: PipelineRecords, seen: VerifyLoadResponse
) -> bool:
    """Ends the stage. Returns False if the loads that it replaced cannot be counted yet."""
    task = run.task
    await records.add(run.owner, "OWN", seen.segments)
    message = f"{seen.rows:,} rows are in {task.datasource_name} and can be queried."
    counted = dict(zip(task.expected_sums, seen.sums, strict=True))
    columns = {"row_count": seen.rows, "load_state": "LIVE", "counted_sums": counted}
    move = Move(State.SUCCEEDED, message, columns=columns)
    if task.load_mode == "APPEND":
        await run.move(move)
        return True
    # REPLACED loads cannot change by another replace.
    left = await recount(task, loads, records, ("LIVE", "PARTLY_REPLACED"))
    if isinstance(left, Away):
        await run.progress(Progress(left.message, left.available, left.published, "segments"))
        return False
    outcome = await records.end(task, run.owner, move, left)
    if outcome is Outcome.FENCED:
        raise FencedError
    return outcome is Outcome.WRITTEN


async def _failed(run: Run, seen: VerifyLoadResponse) -> None:
    expected = run.task.rows_loadable
    reason = ErrorReason.ERROR_REASON_LOAD_MISMATCH
    if seen.segments_loaded_percent < 100 or seen.verified:
        reason = ErrorReason.ERROR_REASON_LOAD_NOT_VISIBLE
    if seen.segments_loaded_percent < 100:
        message = f"Only {seen.rows:,} of {expected:,} rows could be queried in time; Druid has not loaded all segments."
    elif seen.verified:
        message = f"All {seen.rows:,} rows can be queried, but not all loads that they replace: Druid has not loaded all segments."
    elif seen.rows != expected:
        message = f"Druid shows {seen.rows:,} rows, but {expected:,} were loaded."
    else:
        names = ", ".join(run.task.expected_sums)
        message = f"Druid shows all {seen.rows:,} rows, but a different sum of at least one of the columns {names}."
    await run.move(fail(run.task.status, State.FAILED, errors.problem(reason, message)))
