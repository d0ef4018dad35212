"""GraphQL: what has been."""

import strawberry

from gateway.documents.history import MAX_HOURS, history_of, statistics_of
from gateway.graphql.types import JSON, ContextInfo, in_range, told


@strawberry.type
class HistoryQuery:
    @strawberry.field(
        description="Figures of all tasks of the last hours, as GET /api/stats tells them."
    )  # type: ignore[untyped-decorator]
    async def ingestion_stats(
        self, info: ContextInfo, hours: int | None = strawberry.UNSET
    ) -> JSON:
        with told():
            wanted = in_range("hours", hours if isinstance(hours, int) else 24, 1, MAX_HOURS)
            return JSON(
                statistics_of(await info.context.services.tasks.statistics(wanted)).model_dump()
            )

    @strawberry.field(
        description="Every stage of a task: attempt, worker, start, end, outcome and error."
    )  # type: ignore[untyped-decorator]
    async def ingestion_history(self, info: ContextInfo, task_id: strawberry.ID) -> JSON:
        with told():
            return JSON(
                history_of(await info.context.services.tasks.history(task_id)).model_dump()["runs"]
            )
