"""Deciding whether a load may be undone. The pipeline then does it (stages/revert.py)."""

from services.common import errors
from services.status.ports import LoadRecords
from services.status.tasks.commands import Commands
from services.status.tasks.machine import State
from services.status.tasks.task import Task
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_NAMED = 10
"""Newer loads that the message names; the metadata has all of them."""


async def revert(commands: Commands, records: LoadRecords, task_id: str) -> Task:
    """Begins to undo the task's load; harmless when repeated.

    Raises:
        SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, NEWER_LOADS, DATABASE_UNAVAILABLE.
    """
    task = await commands.get(task_id)
    if task.status is not State.SUCCEEDED:
        message = f"Only a load that succeeded can be undone; the task is {task.status}."
        raise errors.error(
            ErrorReason.ERROR_REASON_STATE_CONFLICT, message, metadata={"state": str(task.status)}
        )
    newer = await records.begin_undo(task, "The load is being undone.")
    if newer:
        names = ", ".join(f"{each.filename} (task {each.task_id})" for each in newer[:MAX_NAMED])
        more = f" and {len(newer) - MAX_NAMED} more" if len(newer) > MAX_NAMED else ""
        message = f"Newer loads lie on the same stretches of {task.datasource_name}: {names}{more}."
        tasks = ",".join(each.task_id for each in newer)
        raise errors.error(
            ErrorReason.ERROR_REASON_NEWER_LOADS,
            message,
            value=newer[0].task_id,
            metadata={"tasks": tasks},
        )
    return await commands.get(task_id)
