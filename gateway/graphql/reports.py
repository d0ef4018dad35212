"""Fields: validation reports, and reading a file again."""

import strawberry

from gateway.documents import wire
from gateway.documents.reports import report_attempt, retry_request
from gateway.graphql.documents import Document, as_json, of_message
from gateway.graphql.tasks import IngestionTaskStatus, status_of
from gateway.graphql.types import JSON, ContextInfo, translating_errors
from sluice.validation.v1.validation_pb2 import Report


@strawberry.type
class ReportQuery:
    @strawberry.field(
        graphql_type=of_message(Report.DESCRIPTOR),
        description="The validation report of a task.",
    )  # type: ignore[untyped-decorator]
    async def report(self, info: ContextInfo, task_id: strawberry.ID) -> Document:
        with translating_errors():
            services = info.context.services
            attempt = report_attempt(await services.tasks.get(task_id))
            return wire.message(await services.reports.report(task_id, attempt))

    ingestion_report = as_json(report)


@strawberry.type
class ReportMutation:
    @strawberry.mutation(
        description="Reads the stored file of an ended task again, with other `options` (see ReadOptions), and loads it. Returns the "
        "new task."
    )  # type: ignore[untyped-decorator]
    async def revalidate_ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID, options: JSON
    ) -> IngestionTaskStatus:
        with translating_errors():
            request = retry_request(task_id, options, info.context.request_id or "")
            return status_of(await info.context.services.tasks.retry(request))
