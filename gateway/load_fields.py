"""GraphQL: what can be done to a load that is in Druid."""

import strawberry

from gateway.graphql_types import ContextInfo, told
from gateway.task_fields import IngestionTaskStatus, status_of


@strawberry.type
class LoadMutation:
    @strawberry.mutation(description="Begins to undo a load that succeeded: loadState is REVERTING, then REVERTED. Harmless when repeated.")  # type: ignore[untyped-decorator]
    async def revert_ingestion_task(self, info: ContextInfo, task_id: strawberry.ID) -> IngestionTaskStatus:
        with told():
            return status_of(await info.context.services.tasks.revert(task_id))
