"""GraphQL: a file that lies in a bucket already."""

import uuid
from typing import Annotated

import strawberry

from gateway import wire
from gateway.graphql_types import JSON, ContextInfo, told
from gateway.options import read_options
from gateway.task_fields import IngestionTaskStatus, status_of
from sluice.upload.v1.upload_pb2 import ImportObjectRequest


@strawberry.type
class ImportMutation:
    @strawberry.mutation(description="Takes a file from where it lies, as s3://bucket/key. Answers once it is copied; follow the task.")  # type: ignore[untyped-decorator]
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
            taken = await context.services.uploads.import_object(
                ImportObjectRequest(
                    request_id=context.request_id or str(uuid.uuid4()),
                    uri=uri,
                    datasource=data_source_name,
                    load_mode=wire.load_mode(mode),
                    allow_duplicate=allow_duplicate,
                    options=read_options(options or None),
                    client=context.client,
                )
            )
            return status_of(await context.services.tasks.get(taken.upload_id))
