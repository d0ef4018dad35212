"""GraphQL: what validation found."""

import strawberry

from gateway import wire
from gateway.graphql_types import JSON, ContextInfo, told
from gateway.reports_http import report_attempt


@strawberry.type
class ReportQuery:
    @strawberry.field(description="The validation report of a task, as GET /api/ingest/tasks/{id}/report gives it.")  # type: ignore[untyped-decorator]
    async def ingestion_report(self, info: ContextInfo, task_id: strawberry.ID) -> JSON:
        with told():
            services = info.context.services
            attempt = report_attempt(await services.tasks.get(task_id))
            return JSON(wire.message(await services.reports.report(task_id, attempt)))
