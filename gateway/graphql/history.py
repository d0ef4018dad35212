"""Fields: the history of a task, and statistics of all tasks."""

import strawberry

from gateway.documents.history import MAX_HOURS, StageRun, Statistics, history_of, statistics_of
from gateway.graphql.documents import Document, as_json, of_model
from gateway.graphql.types import ContextInfo, in_range, translating_errors


@strawberry.type
class HistoryQuery:
    @strawberry.field(
        graphql_type=of_model(Statistics),
        description="Statistics of all tasks of the last `hours` (1 to 8,760, default 24).",
    )  # type: ignore[untyped-decorator]
    async def statistics(self, info: ContextInfo, hours: int | None = strawberry.UNSET) -> Document:
        with translating_errors():
            period = in_range("hours", hours if isinstance(hours, int) else 24, 1, MAX_HOURS)
            found = await info.context.services.tasks.statistics(period)
            return statistics_of(found).model_dump()

    @strawberry.field(
        graphql_type=list[of_model(StageRun)],  # type: ignore[misc]
        description="Every run of a stage of the task, in order of start.",
    )  # type: ignore[untyped-decorator]
    async def history(self, info: ContextInfo, task_id: strawberry.ID) -> list[Document]:
        with translating_errors():
            found = await info.context.services.tasks.history(task_id)
            return [run.model_dump() for run in history_of(found).runs]

    ingestion_stats = as_json(statistics)
    ingestion_history = as_json(history)
