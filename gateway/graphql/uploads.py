"""GraphQL: taking files in."""

import uuid
from typing import Annotated

import strawberry

from gateway.documents import wire
from gateway.documents.options import read_options
from gateway.graphql.tasks import IngestionTaskStatus, status_of
from gateway.graphql.types import JSON, ContextInfo, Upload, parse_upload, told
from gateway.intake.destination import replaced
from gateway.intake.receiving import Destination, receive
from services.common import logs
from services.common.errors import SluiceError
from sluice.status.v1 import status_pb2


@strawberry.type
class UploadMutation:
    @strawberry.mutation(  # type: ignore[untyped-decorator]
        description="Takes a file in. `mode` is append (default), replace, replace_interval with `interval` as start/end, or replace_all; "
        "`apply: false` stops at the plan. Answers once it is stored; follow the task to its end."
    )
    async def upload_sales_data(
        self,
        info: ContextInfo,
        file: Upload,
        data_source_name: Annotated[str, strawberry.argument(name="dataSourceName")],
        options: JSON | None = strawberry.UNSET,
        mode: str | None = strawberry.UNSET,
        interval: str | None = strawberry.UNSET,
        apply: bool | None = strawberry.UNSET,
        allow_duplicate: bool = False,
    ) -> IngestionTaskStatus | None:
        context = info.context
        incoming = parse_upload(file)
        with told():
            try:
                load_mode = wire.load_mode(mode or "append")
                destination = Destination(
                    request_id=context.request_id or str(uuid.uuid4()),
                    datasource=data_source_name,
                    mode=load_mode,
                    replace=replaced(load_mode, interval or ""),
                    plan_first=apply is False,
                    allow_duplicate=allow_duplicate,
                    options=read_options(options or None),
                    client=context.client,
                )
                upload = await receive(context.services.uploads, incoming, destination)
            except SluiceError as refused:
                context.metrics.refused.labels(refused.code).inc()
                raise
            try:
                return status_of(await context.services.tasks.get(upload.upload_id))
            except SluiceError as failure:
                # The file is stored: saying otherwise would make the client send it again.
                logs.get().warning(
                    "upload.status_unknown", code=failure.code, reason=failure.problem.message
                )
                known = status_pb2.Task(
                    task_id=upload.upload_id,
                    state=upload.state,
                    message="The file is stored; its status cannot be read at the moment.",
                    datasource=data_source_name,
                    filename=incoming.filename,
                    file_size=upload.committed_size,
                    received_size=upload.committed_size,
                )
                return status_of(known)
