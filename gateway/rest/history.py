"""What has been, over REST: the stages of one task, and figures of all tasks."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gateway.documents.history import MAX_HOURS, History, Statistics, history_of, statistics_of
from gateway.http import problems
from gateway.ports import Services


def router(services: Services) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(tags=["history"], responses=problems.RESPONSES)

    @routes.get("/api/ingest/tasks/{task_id}/history", response_model=History)
    async def history(
        task_id: Annotated[str, Path(description="UUID of the task.", max_length=255)],
    ) -> History:
        """Every time that a worker was at work on a stage of the task."""
        return history_of(await services.tasks.history(task_id))

    @routes.get("/api/stats", response_model=Statistics)
    async def stats(
        hours: Annotated[int, Query(ge=1, le=MAX_HOURS, description="Of how many hours.")] = 24,
    ) -> Statistics:
        """Figures of all tasks."""
        return statistics_of(await services.tasks.statistics(hours))

    return routes
