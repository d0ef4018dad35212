"""POST /api/ingest/import: a file that lies in a bucket already."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field
from starlette.responses import JSONResponse, Response

from gateway.documents import imports, models
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.http.clients import client_of
from gateway.intake.destination import request_id
from gateway.ports import Services


class Import(BaseModel):
    """What to load, and how."""

    uri: str = Field(
        max_length=1200,
        description="s3://bucket/key, below one of the places in `import_from` of GET /api/limits.",
    )
    datasource_name: str = Field(max_length=1024, description="The Druid datasource.")
    mode: str = Field("append", description="append, replace or replace_all.")
    allow_duplicate: bool = Field(False, description="Load the same bytes again.")
    options: dict[str, Any] | None = Field(
        None, description="How the file is to be read: see sluice.validation.v1.ReadOptions."
    )


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The route, on the given services."""
    routes = APIRouter(tags=["ingest"], responses=problems.RESPONSES)

    @routes.post(
        "/api/ingest/import",
        status_code=202,
        response_model=models.Accepted,
        openapi_extra=openapi_body(Import.model_json_schema()),
    )
    async def import_object(
        request: Request,
        idempotency_key: Annotated[
            str | None,
            Header(description="Your own id of this request; twice with it makes one task."),
        ] = None,
    ) -> Response:
        """Takes a file from where it lies. Answers once the object store has copied it; validation
        and loading go on afterwards.
        """
        wanted = await bodies.model(request, Import)
        task_id = await imports.begin(
            services.uploads,
            request_id(idempotency_key),
            client_of(request),
            wanted.uri,
            wanted.datasource_name,
            wanted.mode,
            wanted.options,
            allow_duplicate=wanted.allow_duplicate,
        )
        accepted = models.Accepted(task_id=task_id)
        return JSONResponse(
            accepted.model_dump(),
            status_code=202,
            headers={"Location": f"/api/ingest/tasks/{task_id}"},
        )

    return routes
