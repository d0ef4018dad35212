"""What can be done to a load, over REST: planning it, applying the plan, its receipt, undoing it,
asking it.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from gateway.documents import loads as load_documents
from gateway.documents import models, ready_queries, wire
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.ports import Services

TaskId = Annotated[str, Path(description="UUID of the task.", max_length=255)]


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(prefix="/api/ingest/tasks", tags=["loads"], responses=problems.RESPONSES)

    @routes.post("/{task_id}/revert", status_code=202, response_model=models.Task)
    async def revert(task_id: TaskId) -> models.Task:
        """Begins to undo a load that succeeded: its rows disappear, and what a replace replaced
        comes back. `load_state` is REVERTING, then REVERTED. Refused with NEWER_LOADS while newer
        loads lie on what it replaced. Where Druid shows that rows of others would go too it becomes
        what it was, and the event says what is in the way. Harmless when repeated.
        """
        return wire.task(await services.tasks.revert(task_id))

    @routes.get("/{task_id}/plan", response_model=models.Plan)
    async def plan(task_id: TaskId) -> models.Plan:
        """What the load of a task would do that was sent with apply=false, once it is PLANNED."""
        return load_documents.plan(await services.tasks.plan(task_id))

    @routes.post(
        "/{task_id}/apply",
        status_code=202,
        response_model=models.Task,
        openapi_extra=openapi_body(models.PlanToApply.model_json_schema()),
    )
    async def apply(task_id: TaskId, request: Request) -> models.Task:
        """Begins the load of a PLANNED task, if its plan still holds; else PLAN_STALE, and GET
        tells the new one. Harmless when repeated.
        """
        wanted = await bodies.model(request, models.PlanToApply)
        return wire.task(await services.tasks.apply_plan(task_id, wanted.plan_hash))

    @routes.get("/{task_id}/receipt", response_model=models.Receipt)
    async def receipt(task_id: TaskId, response: Response) -> models.Receipt:
        """What became of every row of the file, and how that was proven; once the task has
        SUCCEEDED.
        """
        found = load_documents.receipt(await services.tasks.receipt(task_id))
        response.headers["Content-Disposition"] = (
            f'attachment; filename="receipt-{found.task_id}.json"'
        )
        return found

    @routes.get("/{task_id}/queries", response_model=list[models.ProposedQuery])
    async def queries(task_id: TaskId) -> list[models.ProposedQuery]:
        """Three queries to begin with, once the task has SUCCEEDED."""
        return await ready_queries.of_task(services, task_id)

    return routes
