"""REVERTING: a SUCCEEDED load is taken out of Druid again. Not a state of the task: it stays SUCCEEDED, and its load state says what became
of the rows."""

from services.common import errors
from services.status.loads import remove_request, verify_request
from services.status.ports import Loads, Records
from services.status.run import FencedError, Run
from services.status.stages.clean import remove
from services.status.tasks import Task
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

REFUSED = frozenset({ErrorReason.ERROR_REASON_NEWER_LOADS, ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE})
"""Druid shows what the table did not: the load stays as it is."""


async def revert(run: Run, loads: Loads, records: Records) -> None:
    """To REVERTED, or back to the load state before where it cannot be done."""
    task = run.task
    own, restore = await records.own(task.task_id), await records.restorable(task.task_id)
    try:
        await remove(run, loads, lambda wait_ms: remove_request(task, wait_ms, own=own, restore=restore))
    except errors.SluiceError as failure:
        if failure.reason not in REFUSED:
            raise
        await _end(run, records, task.undone_from or "LIVE", f"The load could not be undone: {failure.problem.message}", failure.problem)
        return
    for uncovered in await records.uncovered(task.task_id):
        await recount(uncovered, loads, records)
    rows = f"{task.row_count:,} rows" if task.row_count is not None else "rows"
    await _end(run, records, "REVERTED", f"The load was undone: its {rows} are no longer in {task.datasource_name}.")


async def recount(task: Task, loads: Loads, records: Records) -> int:
    """Says of another load what is left of it, by counting; returns the rows that are missing."""
    expected = task.row_count or 0
    left = (await loads.verify(verify_request(task, wait_ms=0))).rows
    if left == expected:
        await records.set_load_state(task, "LIVE", f"{left:,} rows are in {task.datasource_name} and can be queried.")
    elif left:
        message = f"Other loads replaced {expected - left:,} of its {expected:,} rows."
        await records.set_load_state(task, "PARTLY_REPLACED", message)
    else:
        await records.set_load_state(task, "REPLACED", "Other loads replaced all of its rows.")
    return expected - left


async def _end(run: Run, records: Records, load_state: str, message: str, problem: Problem | None = None) -> None:
    if not await records.end_undo(run.owner, load_state, message, problem):
        raise FencedError
