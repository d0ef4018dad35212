"""Decides whether a load may be reverted. The pipeline then does it (stages/revert.py)."""

from services.common import errors
from services.status.ports import LoadRecords
from services.status.tasks.commands import Commands
from services.status.tasks.machine import State
from services.status.tasks.problems import conflict
from services.status.tasks.task import Task
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_NAMED = 10
"""Maximum number of newer loads in the message; the metadata has all of them."""


async def revert(commands: Commands, records: LoadRecords, task_id: str) -> Task:
    """Starts the revert of the task's load. Idempotent.

    Raises:
        SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, NEWER_LOADS, DATABASE_UNAVAILABLE.
    """
    task = await commands.get(task_id)
    if task.status is not State.SUCCEEDED:
        raise conflict(task, "has no load to undo")
    newer = await records.begin_undo(task, "The load is being undone.")
    if newer:
        names = ", ".join(f"{each.filename} (task {each.task_id})" for each in newer[:MAX_NAMED])
        more = f" and {len(newer) - MAX_NAMED} more" if len(newer) > MAX_NAMED else ""
        raise errors.error(
            ErrorReason.ERROR_REASON_NEWER_LOADS,
            f"Newer loads have rows in the same time chunks of {task.datasource_name}: {names}{more}.",
            value=newer[0].task_id,
            metadata={"tasks": ",".join(each.task_id for each in newer)},
        )
    return await commands.get(task_id)
