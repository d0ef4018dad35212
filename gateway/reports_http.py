"""What validation found, over REST: the report, and the refused rows."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from gateway import problems, wire
from gateway.ports import Services
from gateway.streams import begun
from gateway.tasks_http import TaskId
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1.status_pb2 import Task
from sluice.validation.v1.validation_pb2 import RejectsFormat

_FORMATS = {
    "csv": (RejectsFormat.REJECTS_FORMAT_CSV, "text/csv; charset=utf-8"),
    "xlsx": (RejectsFormat.REJECTS_FORMAT_XLSX, "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
}


def router(services: Services) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(prefix="/api/ingest/tasks/{task_id}", tags=["reports"], responses=problems.RESPONSES)

    @routes.get("/report", responses={200: {"description": "The validation report, see sluice.validation.v1.Report."}})
    async def report(task_id: TaskId) -> dict[str, Any]:
        """Everything that validation found: verdict, rules, columns with their types and evidence, rows, the first rejects."""
        return wire.message(await services.reports.report(task_id, report_attempt(await services.tasks.get(task_id))))

    @routes.get("/rejects", response_class=StreamingResponse, responses={200: {"content": {kind: {} for _, kind in _FORMATS.values()}}})
    async def rejects(
        request: Request,
        task_id: TaskId,
        format: Annotated[Literal["csv", "xlsx"], Query(description="xlsx: a workbook with the cells at fault coloured.")] = "csv",
    ) -> Response:
        """The refused rows as a file: five guide columns (line, column, value, reason, repair), then your own. Repair the rows and send the
        file to the same datasource: the guide columns are taken off again. Empty where no row was refused."""
        wanted, media_type = _FORMATS[format]
        attempt = report_attempt(await services.tasks.get(task_id))
        pieces = await begun(request, services.reports.rejects(task_id, attempt, wanted), 1)
        headers = {"Content-Disposition": f'attachment; filename="rejects-{task_id[:8]}.{format}"'}
        return StreamingResponse(pieces, media_type=media_type, headers=headers)

    return routes


def report_attempt(task: Task) -> int:
    """The attempt whose report there is.

    Raises:
        SluiceError: REPORT_NOT_FOUND.
    """
    if not task.report_attempt:
        text = f"There is no report: the task is {wire.state_name(task.state)}."
        raise error(ErrorReason.ERROR_REASON_REPORT_NOT_FOUND, text)
    return task.report_attempt
