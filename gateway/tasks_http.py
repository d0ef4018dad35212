"""Reading, following and cancelling tasks over REST."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from gateway import event_stream, models, problems, wire
from gateway.ports import Services
from gateway.streams import begun
from gateway.watches import Watches
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason

TaskId = Annotated[str, Path(description="UUID of the task.", max_length=255)]


def router(services: Services, watches: Watches) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(prefix="/api/ingest/tasks", tags=["tasks"], responses=problems.RESPONSES)

    @routes.get("", response_model=models.TaskPage)
    async def tasks(
        limit: Annotated[int, Query(ge=1, le=500, description="Tasks on a page.")] = 50,
        offset: Annotated[int, Query(ge=0, le=1_000_000, description="Tasks to leave out first.")] = 0,
        page_token: Annotated[str, Query(description="next_page_token of the page before.")] = "",
        status: Annotated[list[models.StatusName] | None, Query(description="Only these; may be repeated.")] = None,
        datasource_name: Annotated[str, Query(description="Only this datasource.")] = "",
    ) -> models.TaskPage:
        """Tasks, newest first."""
        found = await services.tasks.list(
            limit=limit,
            offset=offset,
            page_token=page_token,
            datasource=datasource_name,
            states=[wire.state_of(name) for name in status or ()],
        )
        return models.TaskPage(tasks=[wire.task(each) for each in found.tasks], next_page_token=found.next_page_token or None)

    @routes.get("/{task_id}", response_model=models.Task)
    async def task(task_id: TaskId) -> models.Task:
        """One task as it stands."""
        return wire.task(await services.tasks.get(task_id))

    @routes.post("/{task_id}/cancel", response_model=models.Task)
    async def cancel(task_id: TaskId) -> models.Task:
        """Cancels a task that has not ended. What Druid holds of it is removed first. Harmless when repeated."""
        return wire.task(await services.tasks.cancel(task_id))

    @routes.get("/{task_id}/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
    async def events(
        task_id: TaskId,
        last_event_id: Annotated[int, Header(ge=0, description="Number of the last event that was seen; 0 for all of them.")] = 0,
    ) -> Response:
        """What happens to the task, as server-sent events: `id` is the sequence number, `data` a TaskEvent. Ends after the final status;
        204 where nothing can come any more, which keeps browsers from asking again."""
        found = await services.tasks.get(task_id)
        if found.state in wire.TERMINAL and last_event_id >= found.last_sequence:
            return Response(status_code=204)
        return event_stream.response(watches, task_id, last_event_id + 1)

    @routes.get("/{task_id}/report", responses={200: {"description": "The validation report, see sluice.validation.v1.Report."}})
    async def report(task_id: TaskId) -> dict[str, Any]:
        """Everything that validation found: verdict, rules, columns with their types and evidence, rows, the first rejects."""
        return wire.message(await services.reports.report(task_id, await _attempt(task_id)))

    @routes.get("/{task_id}/rejects", response_class=StreamingResponse, responses={200: {"content": {"text/csv": {}}}})
    async def rejects(request: Request, task_id: TaskId) -> Response:
        """The refused rows as a CSV file: line, column, value, reason and action, then the row itself."""
        pieces = await begun(request, services.reports.rejects(task_id, await _attempt(task_id)), 1)
        headers = {"Content-Disposition": f'attachment; filename="rejects-{task_id[:8]}.csv"'}
        return StreamingResponse(pieces, media_type="text/csv; charset=utf-8", headers=headers)

    async def _attempt(task_id: str) -> int:
        found = await services.tasks.get(task_id)
        if not found.report_attempt:
            text = f"There is no report: the task is {wire.state_name(found.state)}."
            raise error(ErrorReason.ERROR_REASON_REPORT_NOT_FOUND, text)
        return found.report_attempt

    return routes
