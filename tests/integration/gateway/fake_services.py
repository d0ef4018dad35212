"""Stand-ins of the four services, served over real gRPC, which remember what the gateway did to
them.
"""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from services.common import errors
from services.common.serving import server
from services.common.settings import GrpcSettings
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, TaskState
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.upload.v1 import upload_pb2, upload_pb2_grpc
from sluice.validation.v1 import validation_pb2, validation_pb2_grpc

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
TERMINAL = {
    TaskState.Value(f"TASK_STATE_{name}")
    for name in ("SUCCEEDED", "REJECTED", "FAILED", "CANCELLED", "TIMEOUT")
}


@dataclass
class Received:
    """What became of one upload."""

    request: upload_pb2.CreateUploadRequest
    size: int = 0
    chunk_sizes: list[int] = field(default_factory=list)
    first_chunk: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: str = ""
    """COMMITTED, GONE, or the code of the abort."""


class FakeUpload(upload_pb2_grpc.UploadServiceServicer):
    """Counts bytes and throws them away."""

    def __init__(self, status: "FakeStatus") -> None:
        self._status = status
        self.uploads: dict[str, Received] = {}
        self._ids: dict[str, str] = {}
        self.max_size = 1 << 40
        self.created = asyncio.Event()

    def only(self) -> Received:
        """The single upload there was."""
        (received,) = self.uploads.values()
        return received

    async def CreateUpload(
        self, request: upload_pb2.CreateUploadRequest, context: Context
    ) -> upload_pb2.CreateUploadResponse:
        if not request.datasource.isidentifier():
            text = f"{request.datasource} is not a name."
            raise errors.error(
                ErrorReason.ERROR_REASON_DATASOURCE_NAME_INVALID,
                text,
                column="datasource",
                value=request.datasource,
            )
        known = self._ids.get(request.request_id)
        if known is None:
            known = self._ids[request.request_id] = str(uuid.uuid4())
            self.uploads[known] = Received(request)
            self._status.put(
                known,
                TaskState.TASK_STATE_PENDING,
                datasource=request.datasource,
                filename=request.filename,
            )
            self.created.set()
            return upload_pb2.CreateUploadResponse(upload=self._upload(known), created=True)
        return upload_pb2.CreateUploadResponse(upload=self._upload(known), created=False)

    async def WriteUpload(
        self, requests: AsyncIterator[upload_pb2.WriteUploadRequest], context: Context
    ) -> upload_pb2.WriteUploadResponse:
        received: Received | None = None
        try:
            async for request in requests:
                match request.WhichOneof("step"):
                    case "header":
                        upload_id = request.header.upload_id
                        received = self.uploads[upload_id]
                    case "chunk":
                        assert received is not None
                        received.size += len(request.chunk.data)
                        received.chunk_sizes.append(len(request.chunk.data))
                        received.first_chunk.set()
                        if received.size > self.max_size:
                            raise errors.error(
                                ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
                                f"More than {self.max_size} bytes.",
                            )
                    case "finish":
                        assert received is not None
                        assert request.finish.size == received.size
                        received.outcome = "COMMITTED"
                        self._status.put(
                            upload_id, TaskState.TASK_STATE_UPLOADED, file_size=received.size
                        )
                        return upload_pb2.WriteUploadResponse(upload=self._upload(upload_id))
                    case "abort":
                        raise errors.SluiceError(request.abort.problem)
            raise errors.error(ErrorReason.ERROR_REASON_CLIENT_GONE, "The stream broke.")
        except errors.SluiceError as failure:
            assert received is not None
            received.outcome = failure.code
            raise
        finally:
            if received is not None:
                received.outcome = received.outcome or "GONE"
                received.ended.set()

    def _upload(self, upload_id: str) -> upload_pb2.Upload:
        received = self.uploads[upload_id]
        state = self._status.tasks[upload_id].state
        committed = 0 if state == TaskState.TASK_STATE_PENDING else received.size
        return upload_pb2.Upload(upload_id=upload_id, state=state, committed_size=committed)


class FakeStatus(status_pb2_grpc.StatusServiceServicer):
    """Tasks and their events in memory."""

    def __init__(self) -> None:
        self.tasks: dict[str, status_pb2.Task] = {}
        self.events: dict[str, list[status_pb2.TaskEvent]] = {}
        self._changed = asyncio.Condition()
        self.watches = 0
        self.retried: list[status_pb2.RetryTaskRequest] = []
        self.break_watches = asyncio.Event()
        self.pokes: set[asyncio.Task[None]] = set()

    def put(self, task_id: str, state: "TaskState.ValueType", **facts: Any) -> None:
        """Moves a task, making it where it is new, and tells whoever watches."""
        task = self.tasks.setdefault(
            task_id,
            status_pb2.Task(
                task_id=task_id,
                datasource="sales",
                filename="a.csv",
                load_mode=LoadMode.LOAD_MODE_APPEND,
            ),
        )
        task.MergeFrom(
            status_pb2.Task(state=state, create_time=Timestamp(seconds=1_700_000_000), **facts)
        )
        events = self.events.setdefault(task_id, [])
        task.last_sequence = len(events) + 1
        events.append(
            status_pb2.TaskEvent(
                task_id=task_id,
                sequence=len(events) + 1,
                kind=status_pb2.EventKind.EVENT_KIND_STATE,
                state=state,
                message=facts.get("message", ""),
            )
        )
        poke = asyncio.get_running_loop().create_task(self._poke())
        self.pokes.add(poke)
        poke.add_done_callback(self.pokes.discard)

    async def _poke(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    def _task(self, task_id: str) -> status_pb2.Task:
        if task_id not in self.tasks:
            raise errors.error(
                ErrorReason.ERROR_REASON_TASK_NOT_FOUND,
                f"There is no task {task_id}.",
                value=task_id,
            )
        return self.tasks[task_id]

    async def GetTask(
        self, request: status_pb2.GetTaskRequest, context: Context
    ) -> status_pb2.GetTaskResponse:
        return status_pb2.GetTaskResponse(task=self._task(request.task_id))

    async def GetTasks(
        self, request: status_pb2.GetTasksRequest, context: Context
    ) -> status_pb2.GetTasksResponse:
        return status_pb2.GetTasksResponse(
            tasks={
                task_id: self.tasks[task_id]
                for task_id in request.task_ids
                if task_id in self.tasks
            }
        )

    async def ListTasks(
        self, request: status_pb2.ListTasksRequest, context: Context
    ) -> status_pb2.ListTasksResponse:
        found = [
            task
            for task in reversed(self.tasks.values())
            if not request.states or task.state in request.states
        ]
        page = found[request.skip : request.skip + (request.page_size or 50)]
        return status_pb2.ListTasksResponse(
            tasks=page, next_page_token="more" if len(found) > len(page) else ""
        )

    async def CancelTask(
        self, request: status_pb2.CancelTaskRequest, context: Context
    ) -> status_pb2.CancelTaskResponse:
        task = self._task(request.task_id)
        if task.state in TERMINAL:
            raise errors.error(ErrorReason.ERROR_REASON_STATE_CONFLICT, "The task has ended.")
        self.put(request.task_id, TaskState.TASK_STATE_CANCELLED)
        return status_pb2.CancelTaskResponse(task=task)

    async def RetryTask(
        self, request: status_pb2.RetryTaskRequest, context: Context
    ) -> status_pb2.RetryTaskResponse:
        self.retried.append(request)
        task_id = str(uuid.uuid4())
        self.put(task_id, TaskState.TASK_STATE_UPLOADED, retry_of=request.task_id)
        return status_pb2.RetryTaskResponse(task=self.tasks[task_id], created=True)

    async def WatchTask(
        self, request: status_pb2.WatchTaskRequest, context: Context
    ) -> AsyncIterator[status_pb2.WatchTaskResponse]:
        self._task(request.task_id)
        self.watches += 1
        sequence = max(request.from_sequence, 1)
        while True:
            events = self.events[request.task_id]
            while sequence <= len(events):
                yield status_pb2.WatchTaskResponse(
                    event=events[sequence - 1], task=self.tasks[request.task_id]
                )
                sequence += 1
            if self.tasks[request.task_id].state in TERMINAL:
                return
            if self.break_watches.is_set():
                self.break_watches.clear()
                await context.abort(grpc.StatusCode.UNAVAILABLE, "going away")
            async with self._changed:
                while sequence > len(events) and not self.break_watches.is_set():
                    await self._changed.wait()


class FakeValidation(validation_pb2_grpc.ValidationServiceServicer):
    """One report and one rejects file for everybody."""

    async def GetReport(
        self, request: validation_pb2.GetReportRequest, context: Context
    ) -> validation_pb2.GetReportResponse:
        report = validation_pb2.Report(
            task_id=request.task_id,
            attempt=request.attempt,
            format=validation_pb2.FileFormat.FILE_FORMAT_CSV,
            verdict=validation_pb2.Verdict.VERDICT_PASSED,
            sha256=bytes(32),
            rows_read=2**53 + 1,
        )
        return validation_pb2.GetReportResponse(report=report)

    async def GetRejects(
        self, request: validation_pb2.GetRejectsRequest, context: Context
    ) -> AsyncIterator[validation_pb2.GetRejectsResponse]:
        if request.format == validation_pb2.RejectsFormat.REJECTS_FORMAT_XLSX:
            yield validation_pb2.GetRejectsResponse(data=b"PK")
            return
        yield validation_pb2.GetRejectsResponse(data=b"line,column\r\n")
        yield validation_pb2.GetRejectsResponse(data=b"7,Sales\r\n")


class FakeDruid(druid_pb2_grpc.DruidGatewayServiceServicer):
    """Answers every query with the same rows, unless its text says otherwise."""

    def __init__(self) -> None:
        self.cancelled = asyncio.Event()
        self.asked: list[druid_pb2.QueryRequest] = []

    async def Query(
        self, request: druid_pb2.QueryRequest, context: Context
    ) -> AsyncIterator[druid_pb2.QueryResponse]:
        self.asked.append(request)
        if request.sql == "wrong":
            raise errors.error(
                ErrorReason.ERROR_REASON_QUERY_INVALID, "No such column.", line=1, value="x"
            )
        columns = [
            druid_pb2.QueryColumn(name="n", type="BIGINT"),
            druid_pb2.QueryColumn(name="s", type="VARCHAR"),
        ]
        yield druid_pb2.QueryResponse(header=druid_pb2.QueryHeader(query_id="q-1", columns=columns))
        if request.sql == "breaks":
            yield druid_pb2.QueryResponse(rows=druid_pb2.QueryRows(json=b"[[1,null]]", count=1))
            raise errors.error(ErrorReason.ERROR_REASON_QUERY_TIMEOUT, "Too slow.")
        if request.sql == "endless":
            await self._endless()
        yield druid_pb2.QueryResponse(
            rows=druid_pb2.QueryRows(json=b'[[9007199254740993,"a"],\n[1,null]]', count=2)
        )
        yield druid_pb2.QueryResponse(rows=druid_pb2.QueryRows(json=b"[]", count=0))
        yield druid_pb2.QueryResponse(
            rows=druid_pb2.QueryRows(json=' [[-1.50,"é"]] '.encode(), count=1)
        )
        if request.sql == "long and cut":
            for _ in range(3):
                row = json.dumps([[1, "x" * 1_000_000]]).encode()
                yield druid_pb2.QueryResponse(rows=druid_pb2.QueryRows(json=row, count=1))
        cut = request.sql != "all of it"
        yield druid_pb2.QueryResponse(
            summary=druid_pb2.QuerySummary(row_count=3, truncated=cut, elapsed_ms=12)
        )

    async def _endless(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@dataclass
class Fakes:
    """The four, and where they are."""

    upload: FakeUpload
    status: FakeStatus
    druid: FakeDruid
    addresses: dict[str, str]
    stops: dict[str, AsyncExitStack]


async def serve(stack: AsyncExitStack) -> Fakes:
    """Starts the four on ports of their own; each can be stopped alone."""
    status = FakeStatus()  # type: ignore[abstract]
    upload, druid = FakeUpload(status), FakeDruid()  # type: ignore[abstract]
    validation = FakeValidation()  # type: ignore[abstract]
    registers: dict[str, tuple[str, Any]] = {
        "upload_addr": (
            "sluice.upload.v1.UploadService",
            lambda s: upload_pb2_grpc.add_UploadServiceServicer_to_server(upload, s),
        ),
        "validation_addr": (
            "sluice.validation.v1.ValidationService",
            lambda s: validation_pb2_grpc.add_ValidationServiceServicer_to_server(validation, s),
        ),
        "druid_gateway_addr": (
            "sluice.druid.v1.DruidGatewayService",
            lambda s: druid_pb2_grpc.add_DruidGatewayServiceServicer_to_server(druid, s),
        ),
        "status_addr": (
            "sluice.status.v1.StatusService",
            lambda s: status_pb2_grpc.add_StatusServiceServicer_to_server(status, s),
        ),
    }
    addresses: dict[str, str] = {}
    stops: dict[str, AsyncExitStack] = {}
    for name, (service, register) in registers.items():
        alone = stops[name] = await stack.enter_async_context(AsyncExitStack())
        settings = GrpcSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0)
        port = await server.start(alone, settings, register, [service], {})
        addresses[name] = f"127.0.0.1:{port}"
    return Fakes(upload, status, druid, addresses, stops)
