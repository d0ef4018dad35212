"""Datasources: list, describe, preview."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gateway.documents import catalog, models
from gateway.http import problems
from gateway.ports import Services

Name = Annotated[str, Path(description="Name of the datasource.", max_length=128)]


def router(services: Services) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(
        prefix="/api/datasources", tags=["datasources"], responses=problems.RESPONSES
    )

    @routes.get("", response_model=models.Datasources)
    async def list_datasources() -> models.Datasources:
        """List the datasources that have rows, by name."""
        found = await services.queries.datasources()
        return models.Datasources(
            datasources=[catalog.datasource(each) for each in found.datasources]
        )

    @routes.get("/{name}", response_model=models.DatasourceDescription)
    async def describe_datasource(name: Name) -> models.DatasourceDescription:
        """Describe a datasource: its size, columns and loads."""
        return catalog.description(await services.queries.datasource(name))

    @routes.get("/{name}/preview", response_model=models.Preview)
    async def preview_datasource(
        name: Name,
        limit: Annotated[int, Query(ge=1, le=1000, description="Maximum rows.")] = 50,
    ) -> models.Preview:
        """Read the newest rows."""
        return catalog.preview(await services.queries.preview(name, limit))

    return routes
