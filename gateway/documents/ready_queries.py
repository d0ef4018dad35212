"""Starter queries of a task, for REST and GraphQL."""

from gateway.documents import catalog, models
from gateway.ports import Services
from services.common import task_states
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState


async def of_task(services: Services, task_id: str) -> list[models.ProposedQuery]:
    """Queries of the task's datasource. Raises STATE_CONFLICT before the task has SUCCEEDED."""
    task = await services.tasks.get(task_id)
    if task.state != TaskState.TASK_STATE_SUCCEEDED:
        state = task_states.name_of(task.state)
        text = f"Starter queries require a SUCCEEDED task; this task is {state}."
        raise error(ErrorReason.ERROR_REASON_STATE_CONFLICT, text, metadata={"state": state})
    return catalog.proposals(await services.queries.proposals(task.datasource))
