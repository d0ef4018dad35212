"""Fields: settings of a datasource and the quality of its files."""

import strawberry

from gateway.documents import options, wire
from gateway.graphql.documents import Document, as_json, of_message
from gateway.graphql.types import JSON, ContextInfo, in_range, translating_errors
from sluice.status.v1.status_pb2 import DatasourceSettings, TaskQuality


@strawberry.type
class QualityQuery:
    @strawberry.field(
        graphql_type=list[of_message(TaskQuality.DESCRIPTOR)],  # type: ignore[misc]
        description="The quality of the latest files of a datasource, newest first, at most `limit` (1 to 100, default 20).",
    )  # type: ignore[untyped-decorator]
    async def quality(
        self, info: ContextInfo, name: str, limit: int | None = strawberry.UNSET
    ) -> list[Document]:
        with translating_errors():
            most = in_range("limit", limit if isinstance(limit, int) else 20, 1, 100)
            found = await info.context.services.quality.quality(name, most)
            return [wire.message(each) for each in found.tasks]

    @strawberry.field(
        graphql_type=of_message(DatasourceSettings.DESCRIPTOR),
        description="How files of a datasource are read and validated; null where nothing is set.",
    )  # type: ignore[untyped-decorator]
    async def settings(self, info: ContextInfo, name: str) -> Document:
        with translating_errors():
            return wire.message(await info.context.services.quality.settings(name))

    datasource_quality = as_json(quality)
    datasource_settings = as_json(settings)


@strawberry.type
class QualityMutation:
    @strawberry.mutation(
        graphql_type=of_message(DatasourceSettings.DESCRIPTOR),
        description="Replaces all settings of a datasource, for files that are validated from now on.",
    )  # type: ignore[untyped-decorator]
    async def set_datasource_settings(
        self, info: ContextInfo, name: str, settings: JSON
    ) -> Document:
        with translating_errors():
            wanted = options.message(DatasourceSettings, settings, "settings")
            return wire.message(await info.context.services.quality.set_settings(name, wanted))

    update_datasource_settings = as_json(set_datasource_settings)
