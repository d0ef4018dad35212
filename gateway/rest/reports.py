"""What validation found, over REST: the report, the refused rows, and reading the file again
another way.
"""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse

from gateway.documents import models, wire
from gateway.documents.reports import report_attempt, retry_request
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.http.streams import prefetch
from gateway.ports import Services
from gateway.rest.tasks import TaskId
from sluice.validation.v1.validation_pb2 import RejectsFormat

_FORMATS = {
    "csv": (RejectsFormat.REJECTS_FORMAT_CSV, "text/csv; charset=utf-8"),
    "xlsx": (
        RejectsFormat.REJECTS_FORMAT_XLSX,
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ),
}


class Revalidation(BaseModel):
    """What is to be read otherwise."""

    options: dict[str, Any] = Field(
        description="How the file is to be read, instead of what was said before: see ReadOptions."
    )


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(
        prefix="/api/ingest/tasks/{task_id}", tags=["reports"], responses=problems.RESPONSES
    )

    @routes.get(
        "/report",
        responses={200: {"description": "The validation report, see sluice.validation.v1.Report."}},
    )
    async def report(task_id: TaskId) -> dict[str, Any]:
        """Everything that validation found: verdict, rules, columns with their types and evidence,
        rows, the first rejects.
        """
        return wire.message(
            await services.reports.report(
                task_id, report_attempt(await services.tasks.get(task_id))
            )
        )

    @routes.get(
        "/rejects",
        response_class=StreamingResponse,
        responses={200: {"content": {kind: {} for _, kind in _FORMATS.values()}}},
    )
    async def rejects(
        request: Request,
        task_id: TaskId,
        format: Annotated[
            Literal["csv", "xlsx"],
            Query(description="xlsx: a workbook with the cells at fault coloured."),
        ] = "csv",
    ) -> Response:
        """The refused rows as a file: five guide columns (line, column, value, reason, repair),
        then your own. Repair the rows and send the file to the same datasource: the guide columns
        are taken off again. Empty where no row was refused.
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
        idempotency_key: Annotated[
            str, Header(max_length=128, description="Repeats with the same key give the same task.")
        ] = "",
    ) -> models.Retried:
        """Reads the stored file of a task that has ended again, as `options` say, and loads it, as
        a new task.
        """
        wanted = await bodies.model(request, Revalidation)
        made = await services.tasks.retry(retry_request(task_id, wanted.options, idempotency_key))
        response.headers["Location"] = f"/api/ingest/tasks/{made.task_id}"
        return models.Retried(task_id=made.task_id, retry_of=made.retry_of)

    return routes
