"""What can be done to a load that is in Druid, over REST: undoing it, asking it."""

from typing import Annotated

from fastapi import APIRouter, Path

from gateway import models, problems, ready_queries, wire
from gateway.ports import Services

TaskId = Annotated[str, Path(description="UUID of the task.", max_length=255)]


def router(services: Services) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(prefix="/api/ingest/tasks", tags=["loads"], responses=problems.RESPONSES)

    @routes.post("/{task_id}/revert", status_code=202, response_model=models.Task)
    async def revert(task_id: TaskId) -> models.Task:
        """Begins to undo a load that succeeded: its rows disappear, and what a replace replaced comes back. `load_state` is REVERTING, then
        REVERTED. Refused with NEWER_LOADS while newer loads lie on what it replaced. Harmless when repeated."""
        return wire.task(await services.tasks.revert(task_id))

    @routes.get("/{task_id}/queries", response_model=list[models.ProposedQuery])
    async def queries(task_id: TaskId) -> list[models.ProposedQuery]:
        """Three queries to begin with, once the task has SUCCEEDED."""
        return await ready_queries.of_task(services, task_id)

    return routes
