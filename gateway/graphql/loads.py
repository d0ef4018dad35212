"""GraphQL: what can be done to a load."""

import strawberry

from gateway.documents import loads as load_documents
from gateway.graphql.tasks import IngestionTaskStatus, status_of
from gateway.graphql.types import JSON, ContextInfo, told


@strawberry.type
class LoadQuery:
    @strawberry.field(
        description="What the load of a task would do that was sent with apply: false, once it is PLANNED: as GET .../plan."
    )  # type: ignore[untyped-decorator]
    async def ingestion_plan(self, info: ContextInfo, task_id: strawberry.ID) -> JSON:
        with told():
            return JSON(
                load_documents.plan(await info.context.services.tasks.plan(task_id)).model_dump()
            )

    @strawberry.field(
        description="What became of every row of the file, once the task has SUCCEEDED: as GET .../receipt."
    )  # type: ignore[untyped-decorator]
    async def ingestion_receipt(self, info: ContextInfo, task_id: strawberry.ID) -> JSON:
        with told():
            return JSON(
                load_documents.receipt(
                    await info.context.services.tasks.receipt(task_id)
                ).model_dump()
            )


@strawberry.type
class LoadMutation:
    @strawberry.mutation(
        description="Begins the load of a PLANNED task, if its plan still holds; else PLAN_STALE. Harmless when repeated."
    )  # type: ignore[untyped-decorator]
    async def apply_ingestion_plan(
        self, info: ContextInfo, task_id: strawberry.ID, plan_hash: str
    ) -> IngestionTaskStatus:
        with told():
            return status_of(await info.context.services.tasks.apply_plan(task_id, plan_hash))

    @strawberry.mutation(
        description="Begins to undo a load that succeeded: loadState is REVERTING, then REVERTED. Harmless when repeated."
    )  # type: ignore[untyped-decorator]
    async def revert_ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus:
        with told():
            return status_of(await info.context.services.tasks.revert(task_id))
