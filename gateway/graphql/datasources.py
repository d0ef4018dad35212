"""Fields: datasources, their rows, and starter queries."""

import strawberry

from gateway.documents import catalog, models
from gateway.documents.ready_queries import of_task
from gateway.graphql.documents import Document, as_json, of_model
from gateway.graphql.types import ContextInfo, in_range, translating_errors


@strawberry.type
class DatasourceQuery:
    @strawberry.field(
        graphql_type=list[of_model(models.Datasource)],  # type: ignore[misc]
        description="The datasources that have rows.",
    )  # type: ignore[untyped-decorator]
    async def list_datasources(self, info: ContextInfo) -> list[Document]:
        with translating_errors():
            found = await info.context.services.queries.datasources()
            return [catalog.datasource(each).model_dump() for each in found.datasources]

    @strawberry.field(
        graphql_type=of_model(models.DatasourceDescription),
        description="One datasource with its columns and loads.",
    )  # type: ignore[untyped-decorator]
    async def describe_datasource(self, info: ContextInfo, name: str) -> Document:
        with translating_errors():
            found = await info.context.services.queries.datasource(name)
            return catalog.description(found).model_dump()

    @strawberry.field(
        graphql_type=of_model(models.Preview),
        description="The newest rows of a datasource, at most `limit` (1 to 1,000, default 50).",
    )  # type: ignore[untyped-decorator]
    async def preview(
        self, info: ContextInfo, name: str, limit: int | None = strawberry.UNSET
    ) -> Document:
        with translating_errors():
            most = in_range("limit", limit if isinstance(limit, int) else 50, 1, 1000)
            found = await info.context.services.queries.preview(name, most)
            return catalog.preview(found).model_dump()

    @strawberry.field(
        graphql_type=list[of_model(models.ProposedQuery)],  # type: ignore[misc]
        description="Three starter queries for the rows of a SUCCEEDED task.",
    )  # type: ignore[untyped-decorator]
    async def starter_queries(self, info: ContextInfo, task_id: strawberry.ID) -> list[Document]:
        with translating_errors():
            return [each.model_dump() for each in await of_task(info.context.services, task_id)]

    datasources = as_json(list_datasources)
    datasource = as_json(describe_datasource)
    preview_rows = as_json(preview)
    ready_queries = as_json(starter_queries)
