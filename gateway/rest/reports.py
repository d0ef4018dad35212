"""Report, rejects and revalidation of a task."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from gateway.documents import models, wire
from gateway.documents.reports import report_attempt, retry_request
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.http.streams import prefetch
from gateway.ports import Services
from gateway.rest.tasks import IdempotencyKey, TaskId
from sluice.validation.v1.validation_pb2 import RejectsFormat

_FORMATS = {
    "csv": (RejectsFormat.REJECTS_FORMAT_CSV, "text/csv; charset=utf-8"),
    "xlsx": (
        RejectsFormat.REJECTS_FORMAT_XLSX,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
}


class Revalidation(BaseModel):
    """How to read the file again."""

    options: dict[str, Any] = Field(
        description="How to read the file, instead of the earlier options: see ReadOptions."
    )


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(
        prefix="/api/ingest/tasks/{task_id}", tags=["reports"], responses=problems.RESPONSES
    )

    @routes.get(
        "/report",
        responses={200: {"description": "The validation report, see sluice.validation.v1.Report."}},
    )
    async def read_report(task_id: TaskId) -> dict[str, Any]:
        """Read the validation report: verdict, rules, columns with types and evidence, row counts,
        the first rejects.
        """
        attempt = report_attempt(await services.tasks.get(task_id))
        return wire.message(await services.reports.report(task_id, attempt))

    @routes.get(
        "/rejects",
        response_class=StreamingResponse,
        responses={200: {"content": {kind: {} for _, kind in _FORMATS.values()}}},
    )
    async def download_rejects(
        request: Request,
        task_id: TaskId,
        format: Annotated[
            Literal["csv", "xlsx"],
            Query(description="xlsx: a workbook with the invalid cells highlighted."),
        ] = "csv",
    ) -> Response:
        """Download the rejects file: five guide columns (line, column, value, reason, repair), then
        the file's columns. Repair the rows and upload the file to the same datasource; Sluice
        removes the guide columns. Empty if no row was rejected.
        """
        wanted, media_type = _FORMATS[format]
        task = await services.tasks.get(task_id)
        attempt = report_attempt(task)
        found = services.reports.rejects(task_id, attempt, wanted)
        _, pieces = await prefetch(request, found, lambda first: len(first) == 1)
        headers = {
            "Content-Disposition": f'attachment; filename="rejects-{task.task_id[:8]}.{format}"'
        }
        return StreamingResponse(pieces, media_type=media_type, headers=headers)

    @routes.post(
        "/revalidate",
        response_model=models.Retried,
        status_code=202,
        openapi_extra=openapi_body(Revalidation.model_json_schema()),
    )
    async def revalidate(
        request: Request,
        task_id: TaskId,
        response: Response,
        idempotency_key: IdempotencyKey = "",
    ) -> models.Retried:
        """Create a task that reads the stored file of an ended task again, with new `options`, and
        loads it.
        """
        wanted = await bodies.model(request, Revalidation)
        retry = await services.tasks.retry(retry_request(task_id, wanted.options, idempotency_key))
        response.headers["Location"] = f"/api/ingest/tasks/{retry.task_id}"
        return models.Retried(task_id=retry.task_id, retry_of=retry.retry_of)

    return routes
