"""Settings of a datasource, and the quality of its files."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from gateway.documents import options, wire
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.ports import Services
from gateway.rest.datasources import Name
from sluice.status.v1.status_pb2 import DatasourceSettings


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(
        prefix="/api/datasources/{name}", tags=["datasources"], responses=problems.RESPONSES
    )

    @routes.get(
        "/quality",
        responses={200: {"description": "A list of sluice.status.v1.TaskQuality, newest first."}},
    )
    async def list_quality(
        name: Name, limit: Annotated[int, Query(ge=1, le=100, description="Maximum files.")] = 20
    ) -> list[dict[str, Any]]:
        """List the quality of the datasource's files, newest first: rows, columns, and drift from
        the previous load.
        """
        return [wire.message(each) for each in (await services.quality.quality(name, limit)).tasks]

    @routes.get(
        "/settings", responses={200: {"description": "See sluice.status.v1.DatasourceSettings."}}
    )
    async def read_settings(name: Name) -> dict[str, Any]:
        """Read the policy and the read options of the datasource; null where nothing is set."""
        return wire.message(await services.quality.settings(name))

    @routes.put(
        "/settings",
        responses={200: {"description": "See sluice.status.v1.DatasourceSettings."}},
        openapi_extra=openapi_body({"type": "object"}),
    )
    async def replace_settings(name: Name, request: Request) -> dict[str, Any]:
        """Replace the settings for future validations: `policy` with its rules and contract, and
        `options`.
        """
        given = options.message(DatasourceSettings, await bodies.read(request), "settings")
        return wire.message(await services.quality.set_settings(name, given))

    return routes
