"""REVERTING: removes a SUCCEEDED load from Druid. It is not a task state: the task stays SUCCEEDED,
and only its load state changes.
"""

from functools import partial

from services.common import errors, logs
from services.status.pipeline.recount import Away, rows_of, settle
from services.status.pipeline.run import FencedError, Run
from services.status.ports import Loads, PipelineRecords
from services.status.stages.clean import remove
from services.status.tasks.load_states import Counted, OtherLoad, Outcome, Recount
from services.status.tasks.loads import LoadSegments
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

REFUSED = frozenset(
    {
        ErrorReason.ERROR_REASON_NEWER_LOADS,
        ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE,
        ErrorReason.ERROR_REASON_SHARED_SEGMENTS,
        ErrorReason.ERROR_REASON_DRUID_LOCKED,
    }
)
"""Reasons found only in Druid for which a load cannot be reverted."""

MAX_NAMED = 10
"""Maximum number of tasks that the message names."""


async def revert(run: Run, loads: Loads, records: PipelineRecords) -> None:
    """Reverts the load: to REVERTED or, if that is refused, back to its former load state."""
    task = run.task
    segments = LoadSegments(
        own=await records.own(task.task_id),
        replaced=await records.restorable(task.task_id),
        undone=await records.undone_since(task.task_id),
    )
    try:
        # Compacted segments of the load are its own, too: no other revert may restore them.
        await remove(run, loads, segments, partial(records.add, run.owner, "OWN"))
    except errors.SluiceError as failure:
        if failure.reason not in REFUSED:
            raise
        await _refused(run, loads, records, failure.problem)
        return
    await settle(run, loads, records, partial(_reverted, run, records))


async def _refused(run: Run, loads: Loads, records: PipelineRecords, problem: Problem) -> None:
    """Ends the revert with the load state that a query shows."""
    task = run.task
    this = OtherLoad.of(task)
    found = await rows_of([this], task.datasource_name, loads)
    if isinstance(found, Away):
        raise errors.error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, found.message)
    left = Counted(this, found.get(task.task_id, 0))
    message = f"The load could not be undone: {problem.message}"
    outcome = await records.end_undo(
        task, run.owner, left.load_state, message, Recount(task.now), problem
    )
    if outcome is not Outcome.WRITTEN:
        raise FencedError


async def _reverted(run: Run, records: PipelineRecords, counted: Recount) -> Outcome:
    """Ends the revert. Other loads in its interval that have lost rows are a problem."""
    task = run.task
    rows = f"{task.row_count:,} rows" if task.row_count is not None else "rows"
    message = f"The load was undone: its {rows} are no longer in {task.datasource_name}."
    lost = [each for each in counted.loads if each.load.load_state == "LIVE" and each.missing]
    problem = _lost(task.datasource_name, lost) if lost else None
    if problem is not None:
        message += f" {problem.message}"
    return await records.end_undo(task, run.owner, "REVERTED", message, counted, problem)


def _lost(datasource: str, lost: list[Counted]) -> Problem:
    ids = [each.load.task_id for each in lost]
    logs.get().error("load.others_lack_rows", datasource=datasource, tasks=ids[:MAX_NAMED])
    missing = sum(each.missing for each in lost)
    more = f" and {len(ids) - MAX_NAMED} more" if len(ids) > MAX_NAMED else ""
    return errors.problem(
        ErrorReason.ERROR_REASON_LOAD_MISMATCH,
        f"{missing:,} rows of other loads are missing: of tasks {', '.join(ids[:MAX_NAMED])}{more}.",
        value=missing,
        action="Check what was changed in Druid directly; retry these tasks.",
    )
