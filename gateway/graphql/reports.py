"""GraphQL: what validation found."""

import strawberry

from gateway.documents import wire
from gateway.documents.reports import report_attempt, retry_request
from gateway.graphql.tasks import IngestionTaskStatus, status_of
from gateway.graphql.types import JSON, ContextInfo, told


@strawberry.type
class ReportQuery:
    @strawberry.field(
        description="The validation report of a task, as GET /api/ingest/tasks/{id}/report gives it."
    )  # type: ignore[untyped-decorator]
    async def ingestion_report(self, info: ContextInfo, task_id: strawberry.ID) -> JSON:
        with told():
            services = info.context.services
            attempt = report_attempt(await services.tasks.get(task_id))
            return JSON(wire.message(await services.reports.report(task_id, attempt)))


@strawberry.type
class ReportMutation:
    @strawberry.mutation(  # type: ignore[untyped-decorator]
        description="Reads the stored file of a task that has ended again, as `options` (see ReadOptions) say, and loads it; the new task."
    )
    async def revalidate_ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID, options: JSON
    ) -> IngestionTaskStatus:
        with told():
            request = retry_request(task_id, options, info.context.request_id or "")
            return status_of(await info.context.services.tasks.retry(request))
