"""Queries to begin with, for a task whose rows are in Druid."""

from gateway.documents import catalog, models
from gateway.ports import Services
from services.common import task_states
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState


async def of_task(services: Services, task_id: str) -> list[models.ProposedQuery]:
    """Raises STATE_CONFLICT for a task that has not SUCCEEDED."""
    task = await services.tasks.get(task_id)
    if task.state != TaskState.TASK_STATE_SUCCEEDED:
        state = task_states.name_of(task.state)
        text = f"There is nothing to ask for yet: the task is {state}."
        raise error(ErrorReason.ERROR_REASON_STATE_CONFLICT, text, metadata={"state": state})
    return catalog.proposals(await services.queries.proposals(task.datasource))
