"""POST /api/ingest/import: imports a file from a bucket."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from gateway.documents import imports, models
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.http.clients import client_of
from gateway.intake.destination import request_id
from gateway.ports import Services


class Import(BaseModel):
    """Which file to import, and how to load it."""

    uri: str = Field(
        max_length=1200,
        description="s3://bucket/key, below one of `import_from` in GET /api/limits.",
    )
    datasource_name: str = Field(max_length=1024, description="The Druid datasource.")
    mode: str = Field("append", description="append, replace or replace_all.")
    allow_duplicate: bool = Field(False, description="Load the same bytes again.")
    options: dict[str, Any] | None = Field(
        None, description="How to read the file, see sluice.validation.v1.ReadOptions."
    )


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The route of this module."""
    routes = APIRouter(tags=["ingest"], responses=problems.RESPONSES)

    @routes.post(
        "/api/ingest/import",
        status_code=202,
        response_model=models.Accepted,
        openapi_extra=openapi_body(Import.model_json_schema()),
    )
    async def import_file(
        request: Request,
        response: Response,
        idempotency_key: Annotated[
            str | None,
            Header(description="Repeats with the same key create only one task."),
        ] = None,
    ) -> models.Accepted:
        """Import a file from a bucket. The response is sent once the object store has copied the
        file; validation and loading continue afterwards.
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
        response.headers["Location"] = f"/api/ingest/tasks/{task_id}"
        return models.Accepted(task_id=task_id)

    return routes
