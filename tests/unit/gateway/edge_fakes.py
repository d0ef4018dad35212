"""Fakes of the gateway's ports, and request bodies of clients."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import pairwise
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.types import ASGIApp, Message, Receive

from gateway.app import http_app
from gateway.documents.models import Readiness
from gateway.intake.form import Body, Form, Limits
from gateway.live.all_watch import AllWatch
from gateway.live.watches import Watches
from gateway.metrics import Metrics
from gateway.ports import Parameter, Services
from gateway.settings import Settings
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, LoadState, TaskState, TimeRange
from sluice.druid.v1.druid_pb2 import (
    ColumnChange,
    Datasource,
    DescribeDatasourceResponse,
    Interval,
    ListDatasourcesResponse,
    LoadInDatasource,
    PlanIngestionResponse,
    PlannedChunk,
    PlannedColumn,
    PreviewRowsResponse,
    ProposedQuery,
    ProposeQueriesResponse,
    QueryColumn,
    QueryResponse,
    Segment,
)
from sluice.status.v1.status_pb2 import (
    DatasourceSettings,
    ErrorCount,
    GetHistoryResponse,
    GetPlanResponse,
    GetReceiptResponse,
    GetStatisticsResponse,
    ListQualityResponse,
    ListTasksRequest,
    ListTasksResponse,
    ProvenSum,
    RetryTaskRequest,
    SetWebhookRequest,
    SetWebhookResponse,
    StageOutcome,
    StageRun,
    StageStatistics,
    StatisticsBucket,
    Task,
    TaskQuality,
    WatchTaskResponse,
    WatchTasksRequest,
    WatchTasksResponse,
    Webhook,
    WebhookDelivery,
)
from sluice.upload.v1.upload_pb2 import (
    CreateUploadRequest,
    CreateUploadResponse,
    GetLimitsResponse,
    ImportObjectRequest,
    Upload,
    WriteUploadRequest,
)
from sluice.validation.v1.validation_pb2 import Quality, RejectsFormat, Report

BOUNDARY = "frontier"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"
LIMITS = Limits(file_bytes=4096, field_bytes=256, part_header_bytes=256, idle_s=5)
TASK_ID = "11111111-1111-4111-8111-111111111111"


def part(name: str, value: bytes, filename: str | None = None) -> bytes:
    """One part of a form, with its leading boundary."""
    file = "" if filename is None else f'; filename="{filename}"'
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode()
        + value
        + b"\r\n"
    )


END = f"--{BOUNDARY}--\r\n".encode()


def receiving(pieces: Iterable[bytes], *, gone: bool = False) -> Receive:
    """A client that sends these pieces, then ends the body or disconnects."""
    messages: list[Message] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    messages.append(
        {"type": "http.disconnect"}
        if gone
        else {"type": "http.request", "body": b"", "more_body": False}
    )
    waiting = iter(messages)

    async def receive() -> Message:
        return next(waiting)

    return receive


def form(*pieces: bytes, limits: Limits = LIMITS, gone: bool = False) -> Form:
    """A form that arrives in these pieces."""
    return Form(Body(receiving(pieces, gone=gone), limits), CONTENT_TYPE, limits)


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """The body, cut at these positions."""
    edges = [0, *sorted({place % (len(body) + 1) for place in places}), len(body)]
    return [body[a:b] for a, b in pairwise(edges)]


class FakeUploads:
    """Records messages. Fails after `refuse_after` bytes; waits for `blocked` if it is set."""

    def __init__(self) -> None:
        self.requests: list[CreateUploadRequest] = []
        self.messages: list[WriteUploadRequest] = []
        self.existing: Upload | None = None
        self.refuse_after: int | None = None
        self.blocked: asyncio.Event | None = None
        self.cancelled = False
        self.imports: list[ImportObjectRequest] = []

    async def import_object(self, request: ImportObjectRequest) -> Upload:
        self.imports.append(request)
        return Upload(upload_id=TASK_ID, state=TaskState.TASK_STATE_UPLOADED)

    async def limits(self) -> GetLimitsResponse:
        return GetLimitsResponse(
            max_file_bytes=1 << 40, extensions=[".csv"], idle_timeout_s=1e9, import_from=["s3://b/"]
        )

    async def create(self, request: CreateUploadRequest) -> CreateUploadResponse:
        self.requests.append(request)
        if self.existing is not None:
            return CreateUploadResponse(upload=self.existing, created=False)
        return CreateUploadResponse(
            upload=Upload(upload_id=TASK_ID, state=TaskState.TASK_STATE_PENDING), created=True
        )

    async def write(self, messages: AsyncIterator[WriteUploadRequest]) -> Upload:
        size = 0
        try:
            async for message in messages:
                self.messages.append(message)
                if self.blocked is not None:
                    await self.blocked.wait()
                size += len(message.chunk.data)
                if self.refuse_after is not None and size > self.refuse_after:
                    raise error(ErrorReason.ERROR_REASON_FILE_TOO_LARGE, "Too long.")
                if message.HasField("abort"):
                    raise SluiceError(message.abort.problem)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return Upload(upload_id=TASK_ID, state=TaskState.TASK_STATE_UPLOADED, committed_size=size)

    async def get(self, upload_id: str) -> Upload:
        return self.existing or Upload(upload_id=upload_id, state=TaskState.TASK_STATE_PENDING)

    async def abort(self, upload_id: str) -> Upload:
        return Upload(upload_id=upload_id, state=TaskState.TASK_STATE_CANCELLED)

    @property
    def steps(self) -> list[str | None]:
        """Kinds of the messages, in order."""
        return [message.WhichOneof("step") for message in self.messages]

    @property
    def data(self) -> bytes:
        """All received bytes."""
        return b"".join(message.chunk.data for message in self.messages)


class FakeTasks:
    """One task, and scripted event streams: each call of `watch` plays the next script, then waits
    or ends.
    """

    def __init__(self, *scripts: list[WatchTaskResponse | SluiceError | None]) -> None:
        self.scripts = list(scripts)
        self.watched_from: list[int] = []
        self.task = Task(task_id=TASK_ID, state=TaskState.TASK_STATE_PENDING)
        self.failure: SluiceError | None = None
        self.listed: list[ListTasksRequest] = []
        self.retried: list[RetryTaskRequest] = []
        self.applied: list[tuple[str, str]] = []
        self.all: asyncio.Queue[WatchTasksResponse] = asyncio.Queue()

    async def get(self, task_id: str) -> Task:
        if self.failure is not None:
            raise self.failure
        return self.task

    async def list(self, request: ListTasksRequest) -> ListTasksResponse:
        if self.failure is not None:
            raise self.failure
        self.listed.append(request)
        return ListTasksResponse(tasks=[self.task])

    async def cancel(self, task_id: str) -> Task:
        return self.task

    async def retry(self, request: RetryTaskRequest) -> Task:
        self.retried.append(request)
        return Task(
            task_id="22222222-2222-4222-8222-222222222222",
            state=TaskState.TASK_STATE_UPLOADED,
            retry_of=request.task_id,
        )

    async def plan(self, task_id: str) -> GetPlanResponse:
        if self.failure is not None:
            raise self.failure
        return GetPlanResponse(
            task_id=task_id,
            plan_hash="h",
            create_time=Timestamp(seconds=1),
            datasource="sales",
            load_mode=LoadMode.LOAD_MODE_REPLACE_ALL,
            plan=PlanIngestionResponse(
                interval=Interval(start_millis=0, end_millis=86_400_000),
                segment_granularity="DAY",
                replaced=[
                    Segment(id="s", interval=Interval(start_millis=0, end_millis=86_400_000))
                ],
                columns=[
                    PlannedColumn(
                        name="n",
                        change=ColumnChange.COLUMN_CHANGE_CHANGED,
                        type="DOUBLE",
                        existing_type="BIGINT",
                    )
                ],
                chunks=[
                    PlannedChunk(
                        interval=Interval(start_millis=0, end_millis=86_400_000),
                        rows_added=3,
                        rows_replaced=2,
                    )
                ],
                rows_added=3,
                rows_replaced=2,
                parts=1,
                sub_tasks=1,
                estimated_seconds=1.26,
            ),
        )

    async def apply_plan(self, task_id: str, plan_hash: str) -> Task:
        self.applied.append((task_id, plan_hash))
        return self.task

    async def receipt(self, task_id: str) -> GetReceiptResponse:
        return GetReceiptResponse(
            task_id=task_id,
            state=TaskState.TASK_STATE_SUCCEEDED,
            load_state=LoadState.LOAD_STATE_LIVE,
            datasource="sales",
            filename="s.csv",
            file_size=9,
            sha256=bytes(32),
            load_mode=LoadMode.LOAD_MODE_APPEND,
            rows_read=4,
            rows_loaded=3,
            rows_rejected=1,
            rows_counted=3,
            sums=[ProvenSum(column="n", expected=6, counted=6)],
            interval=TimeRange(start_millis=0, end_millis=86_400_000),
            chunks=[TimeRange(start_millis=0, end_millis=86_400_000)],
            druid_task_ids=["sluice-1"],
            segment_ids=["s"],
            create_time=Timestamp(seconds=1),
            complete_time=Timestamp(seconds=2),
        )

    async def delete_files(self, task_id: str) -> Task:
        return Task(
            task_id=task_id,
            state=TaskState.TASK_STATE_FAILED,
            files_delete_time=Timestamp(seconds=1),
        )

    async def history(self, task_id: str) -> GetHistoryResponse:
        run = StageRun(
            stage="validate",
            state=TaskState.TASK_STATE_VALIDATING,
            attempt=1,
            worker="w",
            start_time=Timestamp(seconds=1),
            end_time=Timestamp(seconds=3),
            outcome=StageOutcome.STAGE_OUTCOME_LOST,
        )
        return GetHistoryResponse(runs=[run])

    async def statistics(self, hours: int) -> GetStatisticsResponse:
        bucket = StatisticsBucket(
            start_time=Timestamp(seconds=0),
            tasks=3,
            succeeded=1,
            rejected=1,
            failed=1,
            rows=2**53 + 1,
            bytes=10,
        )
        return GetStatisticsResponse(
            hours=hours,
            buckets=[bucket],
            stages=[StageStatistics(stage="ingest", p50_seconds=1.5, p95_seconds=2.5)],
            top_errors=[ErrorCount(code=ErrorReason.ERROR_REASON_NO_ROWS, count=7)],
            waiting=4,
            running=2,
        )

    async def watch_all(
        self, request: WatchTasksRequest, timeout_s: float
    ) -> AsyncIterator[WatchTasksResponse]:
        while True:
            yield await self.all.get()

    async def revert(self, task_id: str) -> Task:
        return self.task

    async def watch(
        self, task_id: str, from_sequence: int, timeout_s: float
    ) -> AsyncIterator[WatchTaskResponse]:
        self.watched_from.append(from_sequence)
        for step in self.scripts.pop(0) if self.scripts else []:
            if isinstance(step, SluiceError):
                raise step
            if step is None:
                await asyncio.Event().wait()
            else:
                # As on a network, followers run between two events.
                await asyncio.sleep(0)
                yield step


class FakeReports:
    """Empty reports and rejects."""

    async def report(self, task_id: str, attempt: int) -> Report:
        return Report(task_id=task_id, attempt=attempt)

    async def rejects(
        self, task_id: str, attempt: int, format: "RejectsFormat.ValueType"
    ) -> AsyncIterator[bytes]:
        yield b"line\r\n"


DATASOURCE = Datasource(
    name="sales",
    rows=2,
    bytes=300,
    segments=1,
    interval=Interval(start_millis=0, end_millis=86_400_000),
)


class FakeQuality:
    """Stores the settings of datasources."""

    def __init__(self) -> None:
        self.kept: dict[str, DatasourceSettings] = {}

    async def settings(self, datasource: str) -> DatasourceSettings:
        return self.kept.get(datasource, DatasourceSettings())

    async def set_settings(
        self, datasource: str, settings: DatasourceSettings
    ) -> DatasourceSettings:
        self.kept[datasource] = settings
        return settings

    async def quality(self, datasource: str, limit: int) -> ListQualityResponse:
        return ListQualityResponse(
            tasks=[TaskQuality(task_id=datasource, quality=Quality(rows_read=limit))]
        )


class FakeQueries:
    """Streams the given steps for every query."""

    def __init__(self, *steps: QueryResponse) -> None:
        self.steps = steps

    async def query(
        self, sql: str, limit: int | None, parameters: Sequence[Parameter] = ()
    ) -> AsyncIterator[QueryResponse]:
        for step in self.steps:
            yield step

    async def datasources(self) -> ListDatasourcesResponse:
        return ListDatasourcesResponse(datasources=[DATASOURCE])

    async def datasource(self, name: str) -> DescribeDatasourceResponse:
        load = LoadInDatasource(task_id=TASK_ID, rows=2, times=DATASOURCE.interval)
        return DescribeDatasourceResponse(
            datasource=DATASOURCE, columns=[QueryColumn(name="n", type="BIGINT")], loads=[load]
        )

    async def preview(self, name: str, limit: int) -> PreviewRowsResponse:
        return PreviewRowsResponse(
            columns=[QueryColumn(name="n", type="BIGINT")], json=b"[[1],[2]]", count=2
        )

    async def proposals(self, datasource: str) -> ProposeQueriesResponse:
        return ProposeQueriesResponse(
            queries=[ProposedQuery(title="Rows per day", sql="SELECT 1", chart="line")]
        )


class FakeWebhooks:
    """One webhook and one delivery, for every datasource."""

    def __init__(self) -> None:
        self.put_with: list[SetWebhookRequest] = []

    async def put(self, request: SetWebhookRequest) -> SetWebhookResponse:
        self.put_with.append(request)
        return SetWebhookResponse(webhook=await self.get(request.datasource), secret="s3cret")

    async def get(self, datasource: str) -> Webhook:
        return Webhook(
            datasource=datasource,
            url="https://example.org/",
            create_time=Timestamp(seconds=1),
            update_time=Timestamp(seconds=2),
        )

    async def delete(self, datasource: str) -> None:
        return None

    async def deliveries(self, datasource: str, limit: int) -> list[WebhookDelivery]:
        state = TaskState.TASK_STATE_SUCCEEDED
        return [
            WebhookDelivery(
                id=7,
                task_id=TASK_ID,
                state=state,
                attempts=limit,
                delivered=True,
                create_time=Timestamp(seconds=1),
            )
        ]


async def nobody_ready() -> Readiness:
    """Readiness without any service."""
    return Readiness(ready=False, services={"status": "UNREACHABLE"})


def application(
    tasks: FakeTasks | None = None,
    uploads: FakeUploads | None = None,
    queries: FakeQueries | None = None,
    **settings: Any,
) -> ASGIApp:
    """The gateway on fakes."""
    tasks = tasks or FakeTasks()
    services = Services(
        tasks,
        uploads or FakeUploads(),
        FakeReports(),
        FakeQuality(),
        queries or FakeQueries(),
        FakeWebhooks(),
    )
    addresses = dict.fromkeys(
        ("upload_addr", "validation_addr", "druid_gateway_addr", "status_addr"), "127.0.0.1:9"
    )
    metrics = Metrics()
    return http_app(
        services,
        Watches(tasks, metrics.watches),
        AllWatch(tasks),
        Settings(**{**addresses, **settings}),
        metrics,
        nobody_ready,
    )
