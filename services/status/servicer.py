"""StatusService: translates messages to the domain and back."""

from collections.abc import AsyncIterator
from datetime import UTC
from typing import Any, TypeAlias

from google.protobuf.message import DecodeError
from grpc import aio

from services.common import errors, logs, trace
from services.common.serving.interceptors import check
from services.status.db.history import History
from services.status.db.load_records import LoadRecords
from services.status.db.quality import QualityRecords
from services.status.db.queue import Queue
from services.status.db.store import Store
from services.status.db.stored_files import RetryRequest, StoredFiles
from services.status.db.webhook_records import Webhooks
from services.status.tasks import pages, receipts, reverting
from services.status.tasks.commands import Commands, canonical
from services.status.tasks.event_feed import Watch
from services.status.tasks.messages import (
    NOT_QUEUED,
    event_message,
    state_of,
    task_message,
)
from services.status.tasks.pages import Filter
from services.status.tasks.plans import Plans
from services.status.tasks.task import NewTask
from sluice.common.v1 import task_pb2
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1 import status_pb2
from sluice.status.v1.status_pb2_grpc import StatusServiceServicer
from sluice.validation.v1.validation_pb2 import ReadOptions

PAGE_SIZE = 50
"""Default page size of ListTasks and ListWebhookDeliveries."""

HOURS = 24
"""Default hours of GetStatistics."""

Context: TypeAlias = "aio.ServicerContext[Any, Any]"


class StatusServicer(StatusServiceServicer):
    """Implements protos/sluice/status/v1/status.proto."""

    def __init__(
        self,
        commands: Commands,
        files: StoredFiles,
        queue: Queue,
        history: History,
        webhooks: Webhooks,
        quality: QualityRecords,
        store: Store,
        records: LoadRecords,
        plans: Plans,
        watch: Watch,
    ) -> None:
        self._commands = commands
        self._files = files
        self._queue = queue
        self._history = history
        self._webhooks = webhooks
        self._quality = quality
        self._store = store
        self._records = records
        self._plans = plans
        self._watch = watch

    async def CreateTask(
        self, request: status_pb2.CreateTaskRequest, context: Context
    ) -> status_pb2.CreateTaskResponse:
        logs.bind(task_id=request.task_id)
        new = NewTask(
            task_id=canonical(request.task_id),
            request_id=request.request_id,
            datasource_name=request.datasource,
            original_filename=request.filename,
            file_uri=request.file_uri,
            file_size=request.file_size if request.HasField("file_size") else None,
            sha256=request.sha256,
            upload_mode=task_pb2.UploadMode.Name(request.upload_mode).removeprefix("UPLOAD_MODE_"),
            load_mode=task_pb2.LoadMode.Name(request.load_mode).removeprefix("LOAD_MODE_"),
            allow_duplicate=request.allow_duplicate,
            client_metadata=request.client_metadata,
            trace_id=trace.current(),
            client=request.client,
            options=_options(request.options),
            plan_first=request.plan_first,
            replace_start_millis=request.replace.start_millis
            if request.HasField("replace")
            else None,
            replace_end_millis=request.replace.end_millis if request.HasField("replace") else None,
        )
        task, created = await self._commands.create(new)
        return status_pb2.CreateTaskResponse(task=task_message(task), created=created)

    async def ReportReceiving(
        self, request: status_pb2.ReportReceivingRequest, context: Context
    ) -> status_pb2.ReportReceivingResponse:
        logs.bind(task_id=request.task_id)
        if request.begin:
            task = await self._commands.begin_receiving(
                request.task_id, request.received_size, request.multipart_id, request.writer
            )
            policy, options = (
                (None, None) if request.received_size else await self._quality.expected(task)
            )
            return status_pb2.ReportReceivingResponse(
                task=task_message(task), policy=policy, options=options
            )
        task = await self._commands.receive(
            request.task_id,
            request.received_size,
            request.multipart_id,
            request.writer,
            request.bytes_per_second,
            request.findings,
        )
        return status_pb2.ReportReceivingResponse(task=task_message(task))

    async def CompleteUpload(
        self, request: status_pb2.CompleteUploadRequest, context: Context
    ) -> status_pb2.CompleteUploadResponse:
        logs.bind(task_id=request.task_id)
        task = await self._commands.complete(
            request.task_id, request.file_size, request.sha256, request.writer
        )
        return status_pb2.CompleteUploadResponse(task=task_message(task))

    async def EndUpload(
        self, request: status_pb2.EndUploadRequest, context: Context
    ) -> status_pb2.EndUploadResponse:
        logs.bind(task_id=request.task_id)
        task = await self._commands.end_upload(
            request.task_id,
            state_of(request.state),
            request.problem,
            request.writer,
            unless_begun=request.unless_begun,
        )
        return status_pb2.EndUploadResponse(task=task_message(task))

    async def GetTask(
        self, request: status_pb2.GetTaskRequest, context: Context
    ) -> status_pb2.GetTaskResponse:
        task = await self._commands.get(request.task_id)
        positions = await self._queue.positions([task])
        return status_pb2.GetTaskResponse(
            task=task_message(task, positions.get(task.task_id, NOT_QUEUED))
        )

    async def GetTasks(
        self, request: status_pb2.GetTasksRequest, context: Context
    ) -> status_pb2.GetTasksResponse:
        requested = {canonical(task_id): task_id for task_id in request.task_ids}
        found = await self._store.get_all(list(requested))
        positions = await self._queue.positions(list(found.values()))
        messages = {
            requested[task_id]: task_message(task, positions.get(task_id, NOT_QUEUED))
            for task_id, task in found.items()
        }
        return status_pb2.GetTasksResponse(tasks=messages)

    async def ListTasks(
        self, request: status_pb2.ListTasksRequest, context: Context
    ) -> status_pb2.ListTasksResponse:
        size = request.page_size or PAGE_SIZE
        wanted = Filter(
            datasource=request.datasource,
            states=[state_of(state) for state in request.states if state],
            idle_s=request.idle_seconds,
            before=pages.position_of(request.page_token) if request.page_token else None,
            skip=request.skip,
            text=request.text,
            since=request.since.ToDatetime(UTC) if request.HasField("since") else None,
            until=request.until.ToDatetime(UTC) if request.HasField("until") else None,
        )
        tasks = await self._store.page(wanted, size + 1)
        token = pages.token_after(tasks[size - 1]) if len(tasks) > size else ""
        positions = await self._queue.positions(tasks[:size])
        messages = [
            task_message(task, positions.get(task.task_id, NOT_QUEUED)) for task in tasks[:size]
        ]
        return status_pb2.ListTasksResponse(tasks=messages, next_page_token=token)

    async def CancelTask(
        self, request: status_pb2.CancelTaskRequest, context: Context
    ) -> status_pb2.CancelTaskResponse:
        logs.bind(task_id=request.task_id)
        return status_pb2.CancelTaskResponse(
            task=task_message(await self._commands.cancel(request.task_id))
        )

    async def RetryTask(
        self, request: status_pb2.RetryTaskRequest, context: Context
    ) -> status_pb2.RetryTaskResponse:
        logs.bind(task_id=request.task_id)
        retry = RetryRequest(
            request_id=request.request_id,
            options=_options(request.options) if request.HasField("options") else None,
            allow_duplicate=request.allow_duplicate
            if request.HasField("allow_duplicate")
            else None,
            client=request.client,
        )
        task_id, created = await self._files.retry(canonical(request.task_id), retry)
        return status_pb2.RetryTaskResponse(
            task=task_message(await self._commands.get(task_id)), created=created
        )

    async def DeleteTaskFiles(
        self, request: status_pb2.DeleteTaskFilesRequest, context: Context
    ) -> status_pb2.DeleteTaskFilesResponse:
        logs.bind(task_id=request.task_id)
        await self._files.delete(canonical(request.task_id))
        return status_pb2.DeleteTaskFilesResponse(
            task=task_message(await self._commands.get(request.task_id))
        )

    async def GetHistory(
        self, request: status_pb2.GetHistoryRequest, context: Context
    ) -> status_pb2.GetHistoryResponse:
        return status_pb2.GetHistoryResponse(
            runs=await self._history.runs(canonical(request.task_id))
        )

    async def GetStatistics(
        self, request: status_pb2.GetStatisticsRequest, context: Context
    ) -> status_pb2.GetStatisticsResponse:
        return await self._history.statistics(request.hours or HOURS)

    async def RevertLoad(
        self, request: status_pb2.RevertLoadRequest, context: Context
    ) -> status_pb2.RevertLoadResponse:
        logs.bind(task_id=request.task_id)
        return status_pb2.RevertLoadResponse(
            task=task_message(
                await reverting.revert(self._commands, self._records, request.task_id)
            )
        )

    async def GetPlan(
        self, request: status_pb2.GetPlanRequest, context: Context
    ) -> status_pb2.GetPlanResponse:
        return await self._plans.get(request.task_id)

    async def ApplyPlan(
        self, request: status_pb2.ApplyPlanRequest, context: Context
    ) -> status_pb2.ApplyPlanResponse:
        logs.bind(task_id=request.task_id)
        return status_pb2.ApplyPlanResponse(
            task=task_message(await self._plans.apply(request.task_id, request.plan_hash))
        )

    async def GetReceipt(
        self, request: status_pb2.GetReceiptRequest, context: Context
    ) -> status_pb2.GetReceiptResponse:
        return await receipts.receipt(self._commands, self._records, request.task_id)

    async def SetWebhook(
        self, request: status_pb2.SetWebhookRequest, context: Context
    ) -> status_pb2.SetWebhookResponse:
        webhook, secret = await self._webhooks.put(request.datasource, request.url, request.secret)
        return status_pb2.SetWebhookResponse(webhook=webhook, secret=secret)

    async def GetWebhook(
        self, request: status_pb2.GetWebhookRequest, context: Context
    ) -> status_pb2.GetWebhookResponse:
        return status_pb2.GetWebhookResponse(webhook=await self._webhooks.get(request.datasource))

    async def DeleteWebhook(
        self, request: status_pb2.DeleteWebhookRequest, context: Context
    ) -> status_pb2.DeleteWebhookResponse:
        await self._webhooks.delete(request.datasource)
        return status_pb2.DeleteWebhookResponse()

    async def ListWebhookDeliveries(
        self, request: status_pb2.ListWebhookDeliveriesRequest, context: Context
    ) -> status_pb2.ListWebhookDeliveriesResponse:
        found = await self._webhooks.deliveries(request.datasource, request.page_size or PAGE_SIZE)
        return status_pb2.ListWebhookDeliveriesResponse(deliveries=found)

    async def GetDatasourceSettings(
        self, request: status_pb2.GetDatasourceSettingsRequest, context: Context
    ) -> status_pb2.GetDatasourceSettingsResponse:
        return status_pb2.GetDatasourceSettingsResponse(
            settings=await self._quality.settings(request.datasource)
        )

    async def SetDatasourceSettings(
        self, request: status_pb2.SetDatasourceSettingsRequest, context: Context
    ) -> status_pb2.SetDatasourceSettingsResponse:
        settings = await self._quality.set_settings(request.datasource, request.settings)
        return status_pb2.SetDatasourceSettingsResponse(settings=settings)

    async def ListQuality(
        self, request: status_pb2.ListQualityRequest, context: Context
    ) -> status_pb2.ListQualityResponse:
        return status_pb2.ListQualityResponse(
            tasks=await self._quality.history(request.datasource, request.limit)
        )

    async def WatchTask(
        self, request: status_pb2.WatchTaskRequest, context: Context
    ) -> AsyncIterator[status_pb2.WatchTaskResponse]:
        async for event, task in self._watch.task(
            canonical(request.task_id), request.from_sequence
        ):
            yield status_pb2.WatchTaskResponse(event=event_message(event), task=task_message(task))

    async def WatchTasks(
        self, request: status_pb2.WatchTasksRequest, context: Context
    ) -> AsyncIterator[status_pb2.WatchTasksResponse]:
        async for event, task in self._watch.all(request.from_position, request.datasource):
            yield status_pb2.WatchTasksResponse(event=event_message(event), task=task_message(task))


def _options(serialized: bytes) -> bytes:
    """Returns a serialized ReadOptions after checking its rules.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    try:
        check(ReadOptions.FromString(serialized))
    except DecodeError:
        raise errors.error(
            ErrorReason.ERROR_REASON_REQUEST_INVALID,
            "options are not a ReadOptions message.",
            column="options",
        ) from None
    return serialized
