"""What is in Druid, over REST."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from gateway.documents import catalog, models
from gateway.http import problems
from gateway.ports import Services

Name = Annotated[str, Path(description="Name of the datasource.", max_length=128)]


def router(services: Services) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(
        prefix="/api/datasources", tags=["datasources"], responses=problems.RESPONSES
    )

    @routes.get("", response_model=models.Datasources)
    async def datasources() -> models.Datasources:
        """Everything that has rows, by name."""
        found = await services.queries.datasources()
        return models.Datasources(
            datasources=[catalog.datasource(each) for each in found.datasources]
        )

    @routes.get("/{name}", response_model=models.DatasourceDescription)
    async def datasource(name: Name) -> models.DatasourceDescription:
        """One datasource: its size, its columns, and the loads whose rows are in it."""
        return catalog.description(await services.queries.datasource(name))

    @routes.get("/{name}/preview", response_model=models.Preview)
    async def preview(
        name: Name,
        limit: Annotated[int, Query(ge=1, le=1000, description="Most rows to answer.")] = 50,
    ) -> models.Preview:
        """Its newest rows."""
        return catalog.preview(await services.queries.preview(name, limit))

    return routes
