"""GraphQL: reading, following, cancelling and repeating tasks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

import strawberry

from gateway.documents import wire
from gateway.graphql.types import JSON, ContextInfo, Long, in_range, told
from gateway.live.event_stream import KEEP_ALIVE_S
from services.common.errors import SluiceError
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1 import status_pb2

MAX_LIST = 500


@strawberry.type(description="A file on its way into a datasource. Times are ISO 8601 in UTC.")
class IngestionTaskStatus:
    task_id: strawberry.ID = strawberry.field(description="UUID of the task.")
    status: str = strawberry.field(
        description="PENDING, UPLOADED, VALIDATING, PLANNED, INGESTING, VERIFYING, CLEANING; at the end SUCCEEDED, REJECTED, FAILED, "
        "CANCELLED or TIMEOUT."
    )
    message: str | None = strawberry.field(
        description="What is happening or how it ended, one sentence."
    )
    datasource_name: str | None
    original_filename: str | None
    file_size: Long | None = strawberry.field(description="Bytes of the file.")
    row_count: Long | None = strawberry.field(
        description="Rows that a query counted in Druid; set at SUCCEEDED."
    )
    validation_errors: JSON | None = strawberry.field(
        description="Why the file was REJECTED: a list of {code, message, line, column, value, action, actor}; else null."
    )
    validation_warnings: JSON | None = strawberry.field(
        description="What was noticed in a file that was not rejected, in the same shape; null where nothing was."
    )
    error_message: str | None = strawberry.field(description="Why it ended badly.")
    created_at: str | None
    updated_at: str | None
    started_at: str | None
    completed_at: str | None
    rows_read: Long | None = strawberry.field(description="read = loaded + rejected + skipped.")
    rows_rejected: Long | None
    rows_skipped: Long | None
    received_size: Long | None = strawberry.field(description="Bytes received so far.")
    load_state: str | None = strawberry.field(
        description="LIVE, PARTLY_REPLACED, REPLACED, REVERTING or REVERTED, once SUCCEEDED."
    )
    mode: str | None = strawberry.field(
        description="append, replace, replace_interval or replace_all."
    )
    replaced_interval: str | None = strawberry.field(
        description="What replace_interval replaces: start/end in ISO 8601, UTC."
    )
    druid_task_id: str | None
    duplicate_of: strawberry.ID | None = strawberry.field(
        description="The task that loaded the same bytes before."
    )
    retry_of: strawberry.ID | None
    repair_of: strawberry.ID | None = strawberry.field(
        description="The task whose refused rows its file holds, repaired."
    )
    error: JSON | None = strawberry.field(
        description="Why it ended badly: {code, message, line, column, value, action, actor}."
    )
    queue_position: int | None = strawberry.field(
        description="Its place among the tasks that wait, from 1; null while it does not wait, and while 1,000 or more wait before it."
    )
    estimated_seconds_left: float | None = strawberry.field(
        description="Seconds until it should have ended, as earlier ones did."
    )
    files_deleted_at: str | None = strawberry.field(
        description="When its stored files were deleted; null while they are there."
    )
    timings: JSON | None = strawberry.field(
        description="How long each stage took: a list of {stage, seconds, started_at, completed_at}."
    )


def status_of(found: status_pb2.Task) -> IngestionTaskStatus:
    return _of_fields(wire.task(found).model_dump())


def _of_fields(task: dict[str, Any]) -> IngestionTaskStatus:
    status = IngestionTaskStatus(
        **{name: task[name] for name in IngestionTaskStatus.__annotations__}
    )
    status.validation_errors, status.validation_warnings = (
        status.validation_errors or None,
        status.validation_warnings or None,
    )
    return status


@strawberry.type
class TaskQuery:
    @strawberry.field(description="One task as it stands; null where there is none of this id.")  # type: ignore[untyped-decorator]
    async def get_ingestion_task_status(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus | None:
        with told():
            try:
                return status_of(await info.context.services.tasks.get(task_id))
            except SluiceError as failure:
                if failure.reason == ErrorReason.ERROR_REASON_TASK_NOT_FOUND:
                    return None
                raise

    @strawberry.field(  # type: ignore[untyped-decorator]
        description="Tasks, newest first: `limit` of them (1 to 500, default 50) after leaving out `offset`; only those in one of the "
        "states, of the datasource, with the text, made from `since` on and before `until` (ISO 8601), where these are given."
    )
    async def list_ingestion_tasks(
        self,
        info: ContextInfo,
        limit: int | None = strawberry.UNSET,
        offset: int | None = strawberry.UNSET,
        status: list[str] | None = strawberry.UNSET,
        data_source_name: Annotated[
            str | None, strawberry.argument(name="dataSourceName")
        ] = strawberry.UNSET,
        text: str | None = strawberry.UNSET,
        since: str | None = strawberry.UNSET,
        until: str | None = strawberry.UNSET,
    ) -> list[IngestionTaskStatus | None] | None:
        with told():
            wanted = status_pb2.ListTasksRequest(
                page_size=in_range("limit", limit if isinstance(limit, int) else 50, 1, MAX_LIST),
                skip=in_range("offset", offset or 0, 0, 1_000_000),
                states=[wire.state_of(name) for name in status or ()],
                datasource=data_source_name or "",
                text=text or "",
                since=wire.timestamp("since", since) if since else None,
                until=wire.timestamp("until", until) if until else None,
            )
            page = await info.context.services.tasks.list(wanted)
            return [status_of(found) for found in page.tasks]


@strawberry.type
class TaskMutation:
    @strawberry.mutation(
        description="Cancels a task that has not ended; what Druid holds of it is removed first. Harmless when repeated."
    )  # type: ignore[untyped-decorator]
    async def cancel_ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus:
        with told():
            return status_of(await info.context.services.tasks.cancel(task_id))

    @strawberry.mutation(
        description="Loads the stored file of a task that has ended again; the new task."
    )  # type: ignore[untyped-decorator]
    async def retry_ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus:
        with told():
            request = status_pb2.RetryTaskRequest(
                task_id=task_id, request_id=info.context.request_id or ""
            )
            return status_of(await info.context.services.tasks.retry(request))

    @strawberry.mutation(
        description="Has the stored files of a task that has ended deleted; the task itself stays."
    )  # type: ignore[untyped-decorator]
    async def delete_ingestion_task_files(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus:
        with told():
            return status_of(await info.context.services.tasks.delete_files(task_id))


@strawberry.type
class TaskSubscription:
    @strawberry.subscription(
        description="The task as it stands, then again after each of its events; completes after its end."
    )  # type: ignore[untyped-decorator]
    async def ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> AsyncGenerator[IngestionTaskStatus | None, None]:
        with told():
            context = info.context
            found = await context.services.tasks.get(task_id)
            yield status_of(found)
            if wire.has_ended(found):
                return
            async with aclosing(
                context.watches.follow(task_id, found.last_sequence + 1, KEEP_ALIVE_S)
            ) as events:
                async for item in events:
                    if item is not None:
                        yield _of_fields(item.task_fields)

    @strawberry.subscription(  # type: ignore[untyped-decorator]
        description="Every task, or every one of a datasource, as it stands after each event from about now on. A hint of what to read "
        "again: whoever reads too slowly gets an error and should list the tasks again."
    )
    async def ingestion_tasks(
        self,
        info: ContextInfo,
        data_source_name: Annotated[
            str | None, strawberry.argument(name="dataSourceName")
        ] = strawberry.UNSET,
    ) -> AsyncGenerator[IngestionTaskStatus, None]:
        with told():
            async with aclosing(
                info.context.all_watch.follow(data_source_name or "", KEEP_ALIVE_S)
            ) as events:
                async for item in events:
                    if item is not None:
                        yield status_of(item[1])
