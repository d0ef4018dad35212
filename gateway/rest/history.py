"""History of a task, and statistics of all tasks."""

from typing import Annotated

from fastapi import APIRouter, Query

from gateway.documents.history import MAX_HOURS, History, Statistics, history_of, statistics_of
from gateway.http import problems
from gateway.ports import Services
from gateway.rest.tasks import TaskId


def router(services: Services) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(tags=["history"], responses=problems.RESPONSES)

    @routes.get("/api/ingest/tasks/{task_id}/history", response_model=History)
    async def read_history(task_id: TaskId) -> History:
        """List the runs of the task's stages."""
        return history_of(await services.tasks.history(task_id))

    @routes.get("/api/stats", response_model=Statistics)
    async def read_statistics(
        hours: Annotated[int, Query(ge=1, le=MAX_HOURS, description="Number of hours.")] = 24,
    ) -> Statistics:
        """Compute statistics of all tasks."""
        return statistics_of(await services.tasks.statistics(hours))

    return routes
