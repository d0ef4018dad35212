"""Fields: list, read, follow, cancel and retry tasks."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import fields
from typing import Annotated, Any

import strawberry

from gateway.documents import models, wire
from gateway.graphql.documents import Document, of_model
from gateway.graphql.types import JSON, ContextInfo, Long, in_range, translating_errors
from gateway.live.event_stream import KEEP_ALIVE_S
from services.common import task_states
from services.common.errors import SluiceError
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1 import status_pb2

MAX_LIST = 500


@strawberry.type(description="A file on its way into a datasource. Times are ISO 8601 in UTC.")
class IngestionTaskStatus:
    task_id: strawberry.ID = strawberry.field(description="UUID of the task.")
    status: str = strawberry.field(description=f"One of {', '.join(task_states.NAMES)}.")
    message: str | None = strawberry.field(
        description="What is happening, or how the task ended: one sentence."
    )
    datasource_name: str | None
    original_filename: str | None
    file_size: Long | None = strawberry.field(description="Bytes of the file.")
    row_count: Long | None = strawberry.field(
        description="Rows that a query counted in Druid; set at SUCCEEDED."
    )
    validation_errors: JSON | None = strawberry.field(
        description="`problems` as a list of {code, message, line, column, value, action, actor}; null where there are none."
    )
    validation_warnings: JSON | None = strawberry.field(
        description="`warnings` in the shape of `validationErrors`; null where there are none.",
        deprecation_reason="Use warnings, which is typed.",
    )
    error_message: str | None = strawberry.field(description="Message of `failure`.")
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
        description="The task that loaded the same file before."
    )
    retry_of: strawberry.ID | None
    repair_of: strawberry.ID | None = strawberry.field(
        description="The task whose rejected rows the file contains, repaired."
    )
    error: JSON | None = strawberry.field(
        description="`failure` as {code, message, line, column, value, action, actor}.",
        deprecation_reason="Use failure, which is typed.",
    )
    queue_position: int | None = strawberry.field(
        description="Position in the queue, from 1; null while the task does not wait, or if 1,000 or more tasks are before it."
    )
    estimated_seconds_left: float | None = strawberry.field(
        description="Estimated seconds until the task ends, from the durations of earlier ones."
    )
    files_deleted_at: str | None = strawberry.field(
        description="When the stored files were deleted; null while they exist."
    )
    timings: JSON | None = strawberry.field(
        description="`stageTimings` as a list of {stage, seconds, started_at, completed_at}.",
        deprecation_reason="Use stageTimings, which is typed.",
    )

    @strawberry.field(
        graphql_type=list[of_model(models.Problem)],  # type: ignore[misc]
        description="Why the file was REJECTED, worst first, at most 100.",
    )  # type: ignore[untyped-decorator]
    def problems(self) -> Any:
        return self.validation_errors or []

    @strawberry.field(
        graphql_type=list[of_model(models.Problem)],  # type: ignore[misc]
        description="Warnings about a file that was not rejected, at most 100.",
    )  # type: ignore[untyped-decorator]
    def warnings(self) -> Any:
        return self.validation_warnings or []

    @strawberry.field(
        graphql_type=of_model(models.Problem) | None,
        description="Why the task did not succeed, and what to do.",
    )  # type: ignore[untyped-decorator]
    def failure(self) -> Any:
        return self.error

    @strawberry.field(
        graphql_type=list[of_model(models.StageTiming)],  # type: ignore[misc]
        description="Duration of each stage, in order.",
    )  # type: ignore[untyped-decorator]
    def stage_timings(self) -> Any:
        return self.timings or []


def status_of(found: status_pb2.Task) -> IngestionTaskStatus:
    return _of_fields(wire.task(found).model_dump())


def _of_fields(task: Document) -> IngestionTaskStatus:
    status = IngestionTaskStatus(
        **{each.name: task[each.name] for each in fields(IngestionTaskStatus) if each.init}
    )
    status.validation_errors, status.validation_warnings = (
        status.validation_errors or None,
        status.validation_warnings or None,
    )
    return status


@strawberry.type
class TaskQuery:
    @strawberry.field(description="The current status of a task; null if it does not exist.")  # type: ignore[untyped-decorator]
    async def get_ingestion_task_status(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus | None:
        with translating_errors():
            try:
                return status_of(await info.context.services.tasks.get(task_id))
            except SluiceError as failure:
                if failure.reason == ErrorReason.ERROR_REASON_TASK_NOT_FOUND:
                    return None
                raise

    @strawberry.field(  # type: ignore[untyped-decorator]
        description="Tasks, newest first: at most `limit` (1 to 500, default 50) after the first `offset`. Filters: one of the states, the "
        "datasource, a text in file name, datasource, message or client, creation from `since` and before `until` (ISO 8601)."
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
        with translating_errors():
            request = status_pb2.ListTasksRequest(
                page_size=in_range("limit", limit if isinstance(limit, int) else 50, 1, MAX_LIST),
                skip=in_range("offset", offset or 0, 0, 1_000_000),
                states=[wire.state_of(name) for name in status or ()],
                datasource=data_source_name or "",
                text=text or "",
                since=wire.timestamp("since", since) if since else None,
                until=wire.timestamp("until", until) if until else None,
            )
            page = await info.context.services.tasks.list(request)
            return [status_of(found) for found in page.tasks]


@strawberry.type
class TaskMutation:
    @strawberry.mutation(
        description="Cancels a task that has not ended, and removes what it loaded into Druid. Idempotent."
    )  # type: ignore[untyped-decorator]
    async def cancel_ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus:
        with translating_errors():
            return status_of(await info.context.services.tasks.cancel(task_id))

    @strawberry.mutation(
        description="Loads the stored file of an ended task again. Returns the new task."
    )  # type: ignore[untyped-decorator]
    async def retry_ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus:
        with translating_errors():
            request = status_pb2.RetryTaskRequest(
                task_id=task_id, request_id=info.context.request_id or ""
            )
            return status_of(await info.context.services.tasks.retry(request))

    @strawberry.mutation(description="Deletes the stored files of an ended task, but not the task.")  # type: ignore[untyped-decorator]
    async def delete_ingestion_task_files(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> IngestionTaskStatus:
        with translating_errors():
            return status_of(await info.context.services.tasks.delete_files(task_id))


@strawberry.type
class TaskSubscription:
    @strawberry.subscription(
        description="The status of a task: now, and after each event. Completes when the task has ended."
    )  # type: ignore[untyped-decorator]
    async def ingestion_task(
        self, info: ContextInfo, task_id: strawberry.ID
    ) -> AsyncGenerator[IngestionTaskStatus | None, None]:
        with translating_errors():
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
        description="The status of every task, or every task of a datasource, after each event from now on. Events can be missed: a client "
        "that reads too slowly gets an error and should list the tasks again."
    )
    async def ingestion_tasks(
        self,
        info: ContextInfo,
        data_source_name: Annotated[
            str | None, strawberry.argument(name="dataSourceName")
        ] = strawberry.UNSET,
    ) -> AsyncGenerator[IngestionTaskStatus, None]:
        with translating_errors():
            async with aclosing(
                info.context.all_watch.follow(data_source_name or "", KEEP_ALIVE_S)
            ) as events:
                async for item in events:
                    if item is not None:
                        yield status_of(item[1])
