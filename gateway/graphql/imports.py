"""GraphQL: a file that lies in a bucket already."""

import uuid
from typing import Annotated

import strawberry

from gateway.documents import imports
from gateway.graphql.tasks import IngestionTaskStatus, status_of
from gateway.graphql.types import JSON, ContextInfo, told


@strawberry.type
class ImportMutation:
    @strawberry.mutation(
        description="Takes a file from where it lies, as s3://bucket/key. Answers once it is copied; follow the task."
    )  # type: ignore[untyped-decorator]
    async def import_object(
        self,
        info: ContextInfo,
        uri: str,
        data_source_name: Annotated[str, strawberry.argument(name="dataSourceName")],
        mode: str = "append",
        allow_duplicate: bool = False,
        options: JSON | None = strawberry.UNSET,
    ) -> IngestionTaskStatus:
        context = info.context
        with told():
            task_id = await imports.begin(
                context.services.uploads,
                context.request_id or str(uuid.uuid4()),
                context.client,
                uri,
                data_source_name,
                mode,
                options or None,
                allow_duplicate=allow_duplicate,
            )
            return status_of(await context.services.tasks.get(task_id))
