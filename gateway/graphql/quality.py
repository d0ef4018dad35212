"""GraphQL: how the files of a datasource are judged, and what was found in them."""

import strawberry

from gateway.documents import options, wire
from gateway.graphql.types import JSON, ContextInfo, in_range, told
from sluice.status.v1.status_pb2 import DatasourceSettings


@strawberry.type
class QualityQuery:
    @strawberry.field(
        description="What was found in the files of a datasource, newest first, as GET /api/datasources/{name}/quality."
    )  # type: ignore[untyped-decorator]
    async def datasource_quality(
        self, info: ContextInfo, name: str, limit: int | None = strawberry.UNSET
    ) -> JSON:
        with told():
            most = in_range("limit", limit if isinstance(limit, int) else 20, 1, 100)
            found = await info.context.services.judging.quality(name, most)
            return JSON([wire.message(each) for each in found.tasks])

    @strawberry.field(
        description="How the files of a datasource are read and judged; null where nothing was set."
    )  # type: ignore[untyped-decorator]
    async def datasource_settings(self, info: ContextInfo, name: str) -> JSON:
        with told():
            return JSON(wire.message(await info.context.services.judging.settings(name)))


@strawberry.type
class QualityMutation:
    @strawberry.mutation(
        description="Replaces these settings, for files that are validated from now on."
    )  # type: ignore[untyped-decorator]
    async def update_datasource_settings(
        self, info: ContextInfo, name: str, settings: JSON
    ) -> JSON:
        with told():
            given = options.message(DatasourceSettings, settings, "settings")
            return JSON(wire.message(await info.context.services.judging.set_settings(name, given)))
