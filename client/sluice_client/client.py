"""SluiceClient: files in, tasks and answers out, over gRPC."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from grpc import aio

from sluice.common.v1.task_pb2 import LoadMode, TaskState, UploadMode
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.status.v1.status_pb2 import Task, WatchTaskResponse
from sluice.upload.v1 import upload_pb2, upload_pb2_grpc
from sluice.validation.v1 import validation_pb2, validation_pb2_grpc
from sluice.validation.v1.validation_pb2 import Report
from sluice_client.chunks import messages, of_file
from sluice_client.errors import SluiceClientError
from sluice_client.streaming import answered

DEADLINE_S = 10.0
"""Deadline of one attempt of a call that answers at once."""

UPLOAD_DEADLINE_S = 4 * 3600.0
"""Deadline of sending one file. The server ends a stream that falls silent far earlier."""

BUDGET_S = 30.0
"""For how long a service that is away is tried again before the call fails; a watch has the budget anew after every event."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

TERMINAL = frozenset(
    {
        TaskState.TASK_STATE_SUCCEEDED,
        TaskState.TASK_STATE_REJECTED,
        TaskState.TASK_STATE_FAILED,
        TaskState.TASK_STATE_CANCELLED,
        TaskState.TASK_STATE_TIMEOUT,
    }
)
"""States that a task does not leave."""

_OPTIONS = [
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Column:
    """A column of an answer: its name and SQL type."""

    name: str
    type: str


@dataclass(frozen=True)
class QueryResult:
    """The answer to a query. `rows` hold values in the order of `columns`; times are ISO 8601 texts."""

    columns: list[Column]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    elapsed_ms: int
    query_id: str


class SluiceClient:
    """A client of one Sluice, to be used as an async context manager inside one event loop.

    Addresses are host:port. Every method raises SluiceClientError. Calls that are safe to repeat are repeated for up to 30 s while
    their service is away.
    """

    def __init__(self, upload_addr: str, status_addr: str, validation_addr: str, druid_gateway_addr: str) -> None:
        self._addresses = (upload_addr, status_addr, validation_addr, druid_gateway_addr)
        self._channels: list[aio.Channel] = []

    async def __aenter__(self) -> Self:
        self._channels = [aio.insecure_channel(address, options=_OPTIONS) for address in self._addresses]
        upload, status, validation, druid = self._channels
        self._upload = upload_pb2_grpc.UploadServiceStub(upload)
        self._status = status_pb2_grpc.StatusServiceStub(status)
        self._validation = validation_pb2_grpc.ValidationServiceStub(validation)
        self._druid = druid_pb2_grpc.DruidGatewayServiceStub(druid)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None) -> None:
        for channel in self._channels:
            await channel.close()

    async def upload(
        self,
        source: str | Path | AsyncIterable[bytes],
        datasource: str,
        *,
        filename: str | None = None,
        replace: bool = False,
        allow_duplicate: bool = False,
        request_id: str | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> str:
        """Sends a file, given by its path or as pieces of bytes, and returns the task's id once it is stored.

        `filename` is needed for pieces; its extension (.csv, .xlsx, .xls) names the format. `replace` makes the load replace the time
        chunks that it touches instead of adding to them. `request_id` makes the creation of the task harmless to repeat; default: a new
        UUID. `progress` is called with the number of bytes handed to the connection so far. The bytes are sent once: a stream that
        breaks leaves nothing, and the file has to be uploaded again.
        """
        if isinstance(source, str | Path):
            path = Path(source)
            size = (await asyncio.to_thread(path.stat)).st_size
            pieces: AsyncIterable[bytes] = of_file(path)
            filename = filename or path.name
        else:
            size, pieces = None, source
            if not filename:
                raise ValueError("filename is needed where the source is not a path")
        request = upload_pb2.CreateUploadRequest(
            request_id=request_id or str(uuid.uuid4()),
            datasource=datasource,
            filename=filename,
            size=size,
            mode=UploadMode.UPLOAD_MODE_ONE_SHOT,
            load_mode=LoadMode.LOAD_MODE_REPLACE if replace else LoadMode.LOAD_MODE_APPEND,
            allow_duplicate=allow_duplicate,
        )
        created: upload_pb2.CreateUploadResponse = await self._ask("upload", lambda: self._upload.CreateUpload(request, timeout=DEADLINE_S))
        upload = created.upload
        if upload.state == TaskState.TASK_STATE_PENDING:
            await self._send(upload.upload_id, pieces, progress)
        return upload.upload_id

    async def _send(self, upload_id: str, pieces: AsyncIterable[bytes], progress: Callable[[int], None] | None) -> None:
        unreadable: list[Exception] = []
        size = 0

        async def sent() -> AsyncIterator[upload_pb2.WriteUploadRequest]:
            nonlocal size
            try:
                async for message in messages(upload_id, pieces):
                    yield message
                    size += len(message.chunk.data)
                    if progress and message.HasField("chunk"):
                        progress(size)
            except Exception as failure:
                # gRPC only cancels the call then, and keeps the reason to itself.
                unreadable.append(failure)
                raise

        try:
            await answered(self._upload.WriteUpload(sent(), timeout=UPLOAD_DEADLINE_S))
        except aio.AioRpcError as failure:
            raise SluiceClientError.of_rpc(failure, "upload") from failure
        except asyncio.CancelledError:
            if unreadable:
                raise unreadable[0] from None
            raise

    async def task(self, task_id: str) -> Task:
        """The task as it stands."""
        request = status_pb2.GetTaskRequest(task_id=task_id)
        answer: status_pb2.GetTaskResponse = await self._ask("status", lambda: self._status.GetTask(request, timeout=DEADLINE_S))
        return answer.task

    async def tasks(
        self, *, datasource: str = "", states: "Iterable[TaskState.ValueType]" = (), page_size: int = 50
    ) -> AsyncIterator[Task]:
        """Tasks, newest first; pages are fetched as they are needed."""
        request = status_pb2.ListTasksRequest(page_size=page_size, datasource=datasource, states=states)
        while True:
            page: status_pb2.ListTasksResponse = await self._ask("status", lambda: self._status.ListTasks(request, timeout=DEADLINE_S))
            for task in page.tasks:
                yield task
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch(self, task_id: str, from_sequence: int = 1) -> AsyncIterator[WatchTaskResponse]:
        """The task's events, past and coming, each with the task, up to the terminal one; without gap or repeat.

        Goes on after the last event seen when the connection breaks.
        """
        retry = _Retry()
        following = max(from_sequence, 1)
        while True:
            call = self._status.WatchTask(status_pb2.WatchTaskRequest(task_id=task_id, from_sequence=following))
            try:
                async for answer in call:
                    retry = _Retry()
                    following = answer.event.sequence + 1
                    yield answer
                    if answer.event.state in TERMINAL:
                        return
                # Ended by the server without a terminal event: it is stopping, or the terminal event lies before `from_sequence`.
                task = await self.task(task_id)
                if task.state in TERMINAL and following > task.last_sequence:
                    return
                await retry.pause(SluiceClientError("SERVICE_UNAVAILABLE", "The status service ends every watch at once."))
            except aio.AioRpcError as failure:
                await retry.pause(_passing_or_raise(failure, "status"))
            finally:
                call.cancel()

    async def wait(self, task_id: str) -> Task:
        """The task once it is terminal, whichever way."""
        async for _ in self.watch(task_id):
            pass
        return await self.task(task_id)

    async def report(self, task_id: str) -> Report:
        """What validation found; REPORT_NOT_FOUND while there is nothing."""
        task = await self.task(task_id)
        if not task.report_attempt:
            raise SluiceClientError("REPORT_NOT_FOUND", "The task has no report.", action="Wait until it has left VALIDATING.", actor="you")
        request = validation_pb2.GetReportRequest(task_id=task_id, attempt=task.report_attempt)
        answer: validation_pb2.GetReportResponse = await self._ask(
            "validation", lambda: self._validation.GetReport(request, timeout=DEADLINE_S)
        )
        return answer.report

    async def query(self, sql: str, limit: int = 1000, *, timeout_s: float = 30.0) -> QueryResult:
        """The answer to one SELECT, of at most `limit` rows."""
        timeout_ms = int(timeout_s * 1000)
        request = druid_pb2.QueryRequest(sql=sql, limit=limit, timeout_ms=timeout_ms)
        header, rows, summary = druid_pb2.QueryHeader(), [], druid_pb2.QuerySummary()
        try:
            async for answer in self._druid.Query(request, timeout=timeout_s + DEADLINE_S):
                match answer.WhichOneof("step"):
                    case "header":
                        header = answer.header
                    case "rows":
                        rows += json.loads(answer.rows.json)
                    case "summary":
                        summary = answer.summary
        except aio.AioRpcError as failure:
            raise SluiceClientError.of_rpc(failure, "druid_gateway") from failure
        return QueryResult(
            columns=[Column(column.name, column.type) for column in header.columns],
            rows=rows,
            row_count=summary.row_count,
            truncated=summary.truncated,
            elapsed_ms=summary.elapsed_ms,
            query_id=header.query_id,
        )

    @staticmethod
    async def _ask(service: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
        retry = _Retry()
        while True:
            try:
                return await call()
            except aio.AioRpcError as failure:
                await retry.pause(_passing_or_raise(failure, service))


class _Retry:
    """A budget of 30 s in pauses that grow."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + BUDGET_S
        self._pause_s = FIRST_PAUSE_S

    async def pause(self, failure: SluiceClientError) -> None:
        """Waits before the next try, or raises `failure` once the budget is used up."""
        if self._clock() + self._pause_s > self._end:
            raise failure
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


def _passing_or_raise(failure: aio.AioRpcError, service: str) -> SluiceClientError:
    """The failure where trying again may help; raises it where not."""
    error = SluiceClientError.of_rpc(failure, service)
    if failure.code() != grpc.StatusCode.UNAVAILABLE:
        raise error from failure
    return error
