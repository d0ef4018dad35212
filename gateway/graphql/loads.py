"""Fields: plans, receipts and reverts of loads."""

import strawberry

from gateway.documents import loads as load_documents
from gateway.documents import models
from gateway.graphql.documents import Document, as_json, of_model
from gateway.graphql.tasks import IngestionTaskStatus, status_of
from gateway.graphql.types import ContextInfo, translating_errors


@strawberry.type
class LoadQuery:
    @strawberry.field(
        graphql_type=of_model(models.Plan),
        description="What the load of a PLANNED task would do. A task that was sent with `apply: false` is PLANNED after validation.",
    )  # type: ignore[untyped-decorator]
    async def plan(self, info: ContextInfo, task_id: strawberry.ID) -> Document:
        with translating_errors():
            found = await info.context.services.tasks.plan(task_id)
            return load_documents.plan(found).model_dump()

    @strawberry.field(
        graphql_type=of_model(models.Receipt),
        description="The account of every row of a SUCCEEDED task, with its evidence.",
    )  # type: ignore[untyped-decorator]
    async def receipt(self, info: ContextInfo, task_id: strawberry.ID) -> Document:
        with translating_errors():
            found = await info.context.services.tasks.receipt(task_id)
            return load_documents.receipt(found).model_dump()

    ingestion_plan = as_json(plan)
    ingestion_receipt = as_json(receipt)


@strawberry.type
class LoadMutation:
    @strawberry.mutation(
        description="Starts the load of a PLANNED task if its plan is still current; otherwise PLAN_STALE. Idempotent."
    )  # type: ignore[untyped-decorator]
    async def apply_ingestion_plan(
        self, info: ContextInfo, task_id: strawberry.ID, plan_hash: str
    ) -> IngestionTaskStatus:
        with translating_errors():
            return status_of(await info.context.services.tasks.apply_plan(task_id, plan_hash))

    @strawberry.mutation(
        description="Starts to revert a load that succeeded: loadState becomes REVERTING, then REVERTED. Idempotent."
    )  # type: ignore[untyped-decorator]
    async def revert_ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus:
        with translating_errors():
            return status_of(await info.context.services.tasks.revert(task_id))
