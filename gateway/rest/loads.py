"""Loads: plan, apply, receipt, revert, starter queries."""

from fastapi import APIRouter, Request, Response

from gateway.documents import loads as load_documents
from gateway.documents import models, ready_queries, wire
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.ports import Services
from gateway.rest.tasks import TaskId


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(prefix="/api/ingest/tasks", tags=["loads"], responses=problems.RESPONSES)

    @routes.post("/{task_id}/revert", status_code=202, response_model=models.Task)
    async def revert_load(task_id: TaskId) -> models.Task:
        """Start to revert a SUCCEEDED load: its rows are removed, and rows that it replaced are
        restored. `load_state` becomes REVERTING, then REVERTED. Fails with NEWER_LOADS while newer
        loads cover the time chunks that it replaced. If Druid shows that rows of other loads would
        be removed too, `load_state` goes back, and an event gives the reason. Idempotent.
        """
        return wire.task(await services.tasks.revert(task_id))

    @routes.get("/{task_id}/plan", response_model=models.Plan)
    async def read_plan(task_id: TaskId) -> models.Plan:
        """Read the plan of a PLANNED task, which was uploaded with apply=false."""
        return load_documents.plan(await services.tasks.plan(task_id))

    @routes.post(
        "/{task_id}/apply",
        status_code=202,
        response_model=models.Task,
        openapi_extra=openapi_body(models.PlanToApply.model_json_schema()),
    )
    async def apply_plan(task_id: TaskId, request: Request) -> models.Task:
        """Start the load of a PLANNED task. Fails with PLAN_STALE if the plan has changed; GET
        returns the new plan. Idempotent.
        """
        wanted = await bodies.model(request, models.PlanToApply)
        return wire.task(await services.tasks.apply_plan(task_id, wanted.plan_hash))

    @routes.get("/{task_id}/receipt", response_model=models.Receipt)
    async def read_receipt(task_id: TaskId, response: Response) -> models.Receipt:
        """Read the receipt of a SUCCEEDED task: what happened to every row, and the evidence."""
        found = load_documents.receipt(await services.tasks.receipt(task_id))
        response.headers["Content-Disposition"] = (
            f'attachment; filename="receipt-{found.task_id}.json"'
        )
        return found

    @routes.get("/{task_id}/queries", response_model=list[models.ProposedQuery])
    async def propose_queries(task_id: TaskId) -> list[models.ProposedQuery]:
        """Propose starter queries for a SUCCEEDED task."""
        return await ready_queries.of_task(services, task_id)

    return routes
