"""How the files of a datasource are judged, and what was found in them, over REST."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request

from gateway.documents import options, wire
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.ports import Services
from sluice.status.v1.status_pb2 import DatasourceSettings

Name = Annotated[str, Path(description="The Druid datasource.", min_length=1, max_length=128)]


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(
        prefix="/api/datasources/{name}", tags=["datasources"], responses=problems.RESPONSES
    )

    @routes.get(
        "/quality",
        responses={200: {"description": "A list of sluice.status.v1.TaskQuality, newest first."}},
    )
    async def quality(
        name: Name, limit: Annotated[int, Query(ge=1, le=100, description="Files at most.")] = 20
    ) -> list[dict[str, Any]]:
        """What was found in the files of the datasource, newest first: rows, columns, and how each
        differed from the load before it.
        """
        return [wire.message(each) for each in (await services.quality.quality(name, limit)).tasks]

    @routes.get(
        "/settings", responses={200: {"description": "See sluice.status.v1.DatasourceSettings."}}
    )
    async def settings(name: Name) -> dict[str, Any]:
        """How the files of the datasource are read and judged; null where nothing was set."""
        return wire.message(await services.quality.settings(name))

    @routes.put(
        "/settings",
        responses={200: {"description": "See sluice.status.v1.DatasourceSettings."}},
        openapi_extra=openapi_body({"type": "object"}),
    )
    async def set_settings(name: Name, request: Request) -> dict[str, Any]:
        """Replaces them, for files that are validated from now on: `policy` with its rules and its
        contract, and `options`.
        """
        given = options.message(DatasourceSettings, await bodies.read(request), "settings")
        return wire.message(await services.quality.set_settings(name, given))

    return routes
