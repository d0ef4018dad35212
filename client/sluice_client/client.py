"""SluiceClient: uploads files, follows tasks and runs queries over gRPC."""

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from grpc import aio

from sluice.common.v1 import task_pb2
from sluice.common.v1.task_pb2 import LoadMode, TaskState
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.status.v1.status_pb2 import GetPlanResponse, GetReceiptResponse, Task, WatchTaskResponse
from sluice.validation.v1 import validation_pb2, validation_pb2_grpc
from sluice.validation.v1.validation_pb2 import Report
from sluice_client.errors import SluiceClientError
from sluice_client.requests import build, sendable
from sluice_client.retry import DEADLINE_S, Retry, ask, transient_or_raise
from sluice_client.uploads import Progress, Uploads

TERMINAL = frozenset(
    TaskState.Value(state.name)
    for state in TaskState.DESCRIPTOR.values
    if state.GetOptions().Extensions[task_pb2.task_state].terminal
)
"""Final task states."""

_OPTIONS = [
    ("grpc.max_receive_message_length", 8 * 1024 * 1024),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Despite its name: the timeout of one connect, including the TCP and HTTP/2 handshakes.
    ("grpc.min_reconnect_backoff_ms", 10_000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


@dataclass(frozen=True)
class Column:
    """A column of a query result: name and SQL type."""

    name: str
    type: str


@dataclass(frozen=True)
class QueryResult:
    """The result of a query. Rows have their values in the order of `columns`; times are ISO 8601
    strings.
    """

    columns: list[Column]
    rows: list[list[Any]]
    row_count: int
    truncated: bool
    elapsed_ms: int
    query_id: str


class SluiceClient:
    """A client of one Sluice installation: an async context manager, bound to one event loop.

    Addresses are host:port. Every method raises SluiceClientError. Idempotent calls are retried
    for up to 30 s while their service is unavailable.
    """

    def __init__(
        self, upload_addr: str, status_addr: str, validation_addr: str, druid_gateway_addr: str
    ) -> None:
        self._addresses = (upload_addr, status_addr, validation_addr, druid_gateway_addr)
        self._channels: list[aio.Channel] = []

    async def __aenter__(self) -> Self:
        self._channels = [
            aio.insecure_channel(address, options=_OPTIONS) for address in self._addresses
        ]
        upload, status, validation, druid = self._channels
        self.uploads = Uploads(upload)
        self._status = status_pb2_grpc.StatusServiceStub(status)
        self._validation = validation_pb2_grpc.ValidationServiceStub(validation)
        self._druid = druid_pb2_grpc.DruidGatewayServiceStub(druid)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for channel in self._channels:
            await channel.close()

    async def upload(
        self,
        source: str | Path | AsyncIterable[bytes],
        datasource: str,
        *,
        filename: str | None = None,
        replace: bool = False,
        mode: "LoadMode.ValueType" = LoadMode.LOAD_MODE_UNSPECIFIED,
        interval: tuple[datetime, datetime] | None = None,
        plan_first: bool = False,
        allow_duplicate: bool = False,
        request_id: str | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Upload a file, given as a path or as a stream of bytes; return the task id once the file
        is stored.

        A path is uploaded resumably: after a connection loss, or with the same `request_id` within
        24 hours in a later process, only the missing bytes are sent. A stream is sent once; if it
        breaks, nothing is stored.

        Args:
            source: The path of the file, or its bytes.
            datasource: The Druid table to load into.
            filename: Required for a stream; the extension sets the format.
            replace: Replace the time chunks of the file's rows; short for LOAD_MODE_REPLACE.
            mode: The load mode; overrides `replace`. Default: append.
            interval: What LOAD_MODE_REPLACE_INTERVAL replaces: start and exclusive end, full
                hours.
            plan_first: Stop in PLANNED until `apply`.
            allow_duplicate: Load the file even if its content was already loaded.
            request_id: Makes retries of this call idempotent. Default: a new UUID.
            progress: Receives the number of bytes sent or already stored; only for paths.
        """
        if isinstance(source, str | Path):
            path = Path(source)
            size = (await asyncio.to_thread(path.stat)).st_size
            name = filename or sendable(path.name)
        elif not filename:
            raise ValueError("filename is required unless source is a path")
        else:
            path, size, name = None, None, filename
        upload = await self.uploads.create(
            name,
            datasource,
            size=size,
            resumable=path is not None,
            load_mode=mode
            or (LoadMode.LOAD_MODE_REPLACE if replace else LoadMode.LOAD_MODE_APPEND),
            interval=interval,
            plan_first=plan_first,
            allow_duplicate=allow_duplicate,
            request_id=request_id,
        )
        if upload.state == TaskState.TASK_STATE_PENDING:
            if isinstance(source, str | Path):
                await self.uploads.send_file(upload, Path(source), progress)
            else:
                await self.uploads.send_pieces(upload, source)
        return upload.upload_id

    async def import_object(
        self,
        uri: str,
        datasource: str,
        *,
        replace: bool = False,
        allow_duplicate: bool = False,
        request_id: str | None = None,
    ) -> str:
        """Import the file at `uri` (s3://bucket/key), if the server allows its location; return the
        task id once the file is copied.
        """
        upload = await self.uploads.import_object(
            uri, datasource, replace=replace, allow_duplicate=allow_duplicate, request_id=request_id
        )
        return upload.upload_id

    async def abort_upload(self, upload_id: str) -> None:
        """Abort an unfinished upload and delete its stored bytes. The upload id is the task id."""
        await self.uploads.abort(upload_id)

    async def task(self, task_id: str) -> Task:
        """Return the current state of the task."""
        request = build(status_pb2.GetTaskRequest, task_id=task_id)
        answer: status_pb2.GetTaskResponse = await ask(
            "status", lambda: self._status.GetTask(request, timeout=DEADLINE_S)
        )
        return answer.task

    async def tasks(
        self,
        *,
        datasource: str = "",
        states: "Iterable[TaskState.ValueType]" = (),
        page_size: int = 50,
    ) -> AsyncIterator[Task]:
        """Yield tasks, newest first; pages are fetched on demand."""
        request = build(
            status_pb2.ListTasksRequest, page_size=page_size, datasource=datasource, states=states
        )
        while True:
            page: status_pb2.ListTasksResponse = await ask(
                "status", lambda: self._status.ListTasks(request, timeout=DEADLINE_S)
            )
            for task in page.tasks:
                yield task
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    async def watch(self, task_id: str, from_sequence: int = 1) -> AsyncIterator[WatchTaskResponse]:
        """Yield the task's past and future events, each with the task, up to the terminal event.

        Resumes after a connection loss, without gaps or repeated events.
        """
        retry = Retry()
        next_sequence = max(from_sequence, 1)
        while True:
            call = self._status.WatchTask(
                build(status_pb2.WatchTaskRequest, task_id=task_id, from_sequence=next_sequence)
            )
            try:
                async for answer in call:
                    retry = Retry()
                    next_sequence = answer.event.sequence + 1
                    yield answer
                    if answer.event.state in TERMINAL:
                        return
                # The server ended the stream without a terminal event: it is stopping, or the
                # terminal event is before `from_sequence`.
                task = await self.task(task_id)
                # A newer server may have final states that are not in TERMINAL.
                ended = task.state in TERMINAL or task.HasField("complete_time")
                if ended and next_sequence > task.last_sequence:
                    return
                await retry.pause(
                    SluiceClientError(
                        "SERVICE_UNAVAILABLE", "The status service keeps ending the watch."
                    )
                )
            except aio.AioRpcError as failure:
                await retry.pause(transient_or_raise(failure, "status"))
            finally:
                call.cancel()

    async def wait(self, task_id: str) -> Task:
        """Wait until the task is in a final state, and return it."""
        async for _ in self.watch(task_id):
            pass
        return await self.task(task_id)

    async def plan(self, task_id: str) -> GetPlanResponse:
        """Return what the load of a task uploaded with `plan_first` would do. Fails with
        NOT_PLANNED before the task is PLANNED.
        """
        request = build(status_pb2.GetPlanRequest, task_id=task_id)
        answer: GetPlanResponse = await ask(
            "status", lambda: self._status.GetPlan(request, timeout=DEADLINE_S)
        )
        return answer

    async def apply(self, task_id: str, plan_hash: str) -> Task:
        """Start the load of a PLANNED task. Fails with PLAN_STALE if the plan no longer applies."""
        request = build(status_pb2.ApplyPlanRequest, task_id=task_id, plan_hash=plan_hash)
        answer: status_pb2.ApplyPlanResponse = await ask(
            "status", lambda: self._status.ApplyPlan(request, timeout=3 * DEADLINE_S)
        )
        return answer.task

    async def receipt(self, task_id: str) -> GetReceiptResponse:
        """Return the ledger of a SUCCEEDED task's rows and the evidence that they are loaded."""
        request = build(status_pb2.GetReceiptRequest, task_id=task_id)
        answer: GetReceiptResponse = await ask(
            "status", lambda: self._status.GetReceipt(request, timeout=DEADLINE_S)
        )
        return answer

    async def revert(self, task_id: str) -> Task:
        """Start to revert a load: `load_state` becomes REVERTING, then REVERTED. Fails with
        NEWER_LOADS if newer loads cover what it replaced.
        """
        request = build(status_pb2.RevertLoadRequest, task_id=task_id)
        answer: status_pb2.RevertLoadResponse = await ask(
            "status", lambda: self._status.RevertLoad(request, timeout=DEADLINE_S)
        )
        return answer.task

    async def report(self, task_id: str) -> Report:
        """Return the validation report. Fails with REPORT_NOT_FOUND until there is one."""
        task = await self.task(task_id)
        if not task.report_attempt:
            raise SluiceClientError(
                "REPORT_NOT_FOUND",
                "The task has no report.",
                action="Wait until it has left VALIDATING.",
                actor="you",
            )
        request = build(
            validation_pb2.GetReportRequest, task_id=task_id, attempt=task.report_attempt
        )
        answer: validation_pb2.GetReportResponse = await ask(
            "validation", lambda: self._validation.GetReport(request, timeout=DEADLINE_S)
        )
        return answer.report

    async def query(
        self, sql: str, limit: int | None = None, *, timeout_s: float = 30.0
    ) -> QueryResult:
        """Run one SELECT.

        With `limit`, `truncated` tells whether there are more rows. Without it, the result has all
        rows; fails with QUERY_TRUNCATED if they exceed the server's maximum.
        """
        timeout_ms = int(timeout_s * 1000)
        request = build(
            druid_pb2.QueryRequest,
            sql=sql,
            limit=limit,
            timeout_ms=timeout_ms,
            all_rows=limit is None,
        )
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
        if summary.truncated and limit is None:
            raise SluiceClientError(
                "QUERY_TRUNCATED",
                f"The result has more than {summary.row_count:,} rows, the maximum.",
                action="Request fewer rows: filter on __time, aggregate, or set a limit.",
                actor="you",
                metadata={"rows": str(summary.row_count)},
            )
        return QueryResult(
            columns=[Column(column.name, column.type) for column in header.columns],
            rows=rows,
            row_count=summary.row_count,
            truncated=summary.truncated,
            elapsed_ms=summary.elapsed_ms,
            query_id=header.query_id,
        )
