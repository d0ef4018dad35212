"""Fields: uploads and imports."""

import uuid
from typing import Annotated

import strawberry

from gateway.documents import imports, wire
from gateway.documents.options import read_options
from gateway.graphql.tasks import IngestionTaskStatus, status_of
from gateway.graphql.types import JSON, ContextInfo, Upload, parse_upload, translating_errors
from gateway.intake.destination import replaced
from gateway.intake.receiving import Destination, receive
from services.common import logs
from services.common.errors import SluiceError
from sluice.status.v1 import status_pb2


@strawberry.type
class UploadMutation:
    @strawberry.mutation(
        description="Uploads a file. `mode`: append (default), replace, replace_interval with `interval` as start/end, or replace_all. "
        "`apply: false` stops at the plan. Responds once the file is stored; then follow the task."
    )  # type: ignore[untyped-decorator]
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
        with translating_errors():
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
                # The file is stored: an error would make the client send it again.
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

    @strawberry.mutation(
        description="Imports an object of a bucket, given as s3://bucket/key. Responds once it is copied; then follow the task."
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
        with translating_errors():
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
