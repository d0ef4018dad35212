"""GraphQL: what is in Druid."""

import strawberry

from gateway.documents import catalog
from gateway.documents.ready_queries import of_task
from gateway.graphql.types import JSON, ContextInfo, in_range, told


@strawberry.type
class DatasourceQuery:
    @strawberry.field(
        description="The datasources that have rows: a list of {name, rows, bytes, segments, start, end}."
    )  # type: ignore[untyped-decorator]
    async def datasources(self, info: ContextInfo) -> JSON:
        with told():
            found = await info.context.services.queries.datasources()
            return JSON([catalog.datasource(each).model_dump() for each in found.datasources])

    @strawberry.field(
        description="One datasource: {name, rows, bytes, segments, start, end, columns, loads}."
    )  # type: ignore[untyped-decorator]
    async def datasource(self, info: ContextInfo, name: str) -> JSON:
        with told():
            return JSON(
                catalog.description(
                    await info.context.services.queries.datasource(name)
                ).model_dump()
            )

    @strawberry.field(
        description="The newest rows of a datasource, at most `limit` (1 to 1,000, default 50): {columns, rows, row_count}."
    )  # type: ignore[untyped-decorator]
    async def preview_rows(
        self, info: ContextInfo, name: str, limit: int | None = strawberry.UNSET
    ) -> JSON:
        with told():
            most = in_range("limit", limit if isinstance(limit, int) else 50, 1, 1000)
            return JSON(
                catalog.preview(
                    await info.context.services.queries.preview(name, most)
                ).model_dump()
            )

    @strawberry.field(
        description="Three queries to begin with, once a task has SUCCEEDED: a list of {title, sql, chart}."
    )  # type: ignore[untyped-decorator]
    async def ready_queries(self, info: ContextInfo, task_id: strawberry.ID) -> JSON:
        with told():
            return JSON(
                [each.model_dump() for each in await of_task(info.context.services, task_id)]
            )
