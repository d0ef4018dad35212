"""POST /api/ingest/upload: uploads a file in a streamed multipart form."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from multipart import MultipartSegment
from starlette.responses import RedirectResponse, Response

from gateway.documents import models
from gateway.http import problems
from gateway.http.clients import client_of
from gateway.intake.destination import FIELDS, destination
from gateway.intake.form import Body, Form, IncomingFile, Limits, refuse_announced
from gateway.intake.receiving import receive
from gateway.metrics import Metrics
from gateway.ports import Services
from services.common import file_names
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason

FILE_FIELD = "file"
_FORM: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["datasource_name", "file"],
                    "properties": {
                        "datasource_name": {
                            "type": "string",
                            "description": "The Druid datasource. Must come before the file.",
                        },
                        "mode": {
                            "type": "string",
                            "enum": ["append", "replace", "replace_interval", "replace_all"],
                            "default": "append",
                        },
                        "interval": {
                            "type": "string",
                            "description": "The interval of replace_interval, full hours in UTC: "
                            "start/end in ISO 8601, such as 2024-01-01/2024-02-01.",
                        },
                        "apply": {
                            "type": "boolean",
                            "default": True,
                            "description": "false: stop in PLANNED until the plan is applied.",
                        },
                        "allow_duplicate": {
                            "type": "boolean",
                            "default": False,
                            "description": "Load the same bytes again.",
                        },
                        "options": {
                            "type": "string",
                            "description": "How to read the file, a JSON object: see "
                            "sluice.validation.v1.ReadOptions.",
                        },
                        "file": {
                            "type": "string",
                            "format": "binary",
                            "description": f"A {file_names.words()} file. Must be the last field.",
                        },
                    },
                }
            }
        },
    },
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "maxLength": 128},
            "description": "Repeats with the same key create only one task.",
        }
    ],
}


def router(services: Services, limits: Limits, metrics: Metrics) -> APIRouter:
    """The route of this module."""
    routes = APIRouter(tags=["ingest"], responses=problems.RESPONSES)

    @routes.post(
        "/api/ingest/upload", status_code=202, response_model=models.Accepted, openapi_extra=_FORM
    )
    async def upload_file(
        request: Request,
        response: Response,
        datasource_name: Annotated[
            str | None, Query(description="The Druid datasource; the form has precedence.")
        ] = None,
        mode: Annotated[
            str | None,
            Query(description="What to do with existing rows; the form has precedence."),
        ] = None,
        interval: Annotated[
            str | None,
            Query(description="The interval of replace_interval; the form has precedence."),
        ] = None,
        apply: Annotated[
            str | None, Query(description="false: stop in PLANNED; the form has precedence.")
        ] = None,
        allow_duplicate: Annotated[
            str | None, Query(description="true or false; the form has precedence.")
        ] = None,
        options: Annotated[
            str | None,
            Query(description="How to read the file, a JSON object; the form has precedence."),
        ] = None,
    ) -> Response | models.Accepted:
        """Upload a file. The response is sent once the file is stored; validation and loading
        continue afterwards, see the Location header.
        """
        parameters = {
            "datasource_name": datasource_name,
            "mode": mode,
            "interval": interval,
            "apply": apply,
            "allow_duplicate": allow_duplicate,
            "options": options,
        }
        try:
            refuse_announced(request, limits)
            form = Form(
                Body(request.receive, limits), request.headers.get("content-type", ""), limits
            )
            given = {name: value for name, value in parameters.items() if value is not None}
            async with form.before_file():
                fields, file = await read_fields(form, given)
            stored = await receive(
                services.uploads,
                file,
                destination(fields, request.headers.get("idempotency-key"), client_of(request)),
            )
        except SluiceError as failure:
            metrics.refused.labels(failure.code).inc()
            raise
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse(f"/?task={stored.upload_id}", status_code=303)
        response.headers["Location"] = f"/api/ingest/tasks/{stored.upload_id}"
        return models.Accepted(task_id=stored.upload_id)

    return routes


async def read_fields(form: Form, given: dict[str, str]) -> tuple[dict[str, str], IncomingFile]:
    """Read the form up to its file. Returns the fields, which override `given`, and the file, whose
    bytes are still unread.

    Raises:
        SluiceError: FIELD_ORDER, FIELD_MISSING, REQUEST_INVALID; see Form.next.
    """
    fields = dict(given)
    while isinstance(part := await form.next(), MultipartSegment):
        name = part.name or ""
        if part.filename is not None or name == FILE_FIELD:
            return _complete(fields), _file(form, part, name)
        if name not in FIELDS:
            text = (
                f"Unknown form field {name[:100] or '(no name)'}. "
                f"Known fields: {', '.join(FIELDS)}, {FILE_FIELD}."
            )
            raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column=name)
        fields[name] = await form.field(part)
    text = "The form has no file."
    raise error(ErrorReason.ERROR_REASON_FIELD_MISSING, text, column=FILE_FIELD)


def _complete(fields: dict[str, str]) -> dict[str, str]:
    if "datasource_name" not in fields:
        text = "datasource_name is missing, or came after the file."
        raise error(ErrorReason.ERROR_REASON_FIELD_ORDER, text, column="datasource_name")
    return fields


def _file(form: Form, part: MultipartSegment, name: str) -> IncomingFile:
    if name != FILE_FIELD:
        text = f"The file came in the field {name[:100] or '(no name)'}, not in `{FILE_FIELD}`."
        raise error(ErrorReason.ERROR_REASON_FIELD_MISSING, text, column=FILE_FIELD)
    if not part.filename:
        text = "The field `file` has no file name: no file was chosen."
        raise error(ErrorReason.ERROR_REASON_FIELD_MISSING, text, column=FILE_FIELD)
    return IncomingFile(form, part.filename)
