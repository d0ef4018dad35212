"""The client against servers in this process: retries, resumed watches, pages, answers and
errors.
"""

import ast
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import crc32c
import grpc
import pytest
from grpc import aio

import sluice_client
from services.common import errors
from services.common.serving.interceptors import OpenAuthenticator, server_interceptors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, TaskState, UploadMode
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.upload.v1 import upload_pb2, upload_pb2_grpc
from sluice.validation.v1 import validation_pb2, validation_pb2_grpc
from sluice_client import SluiceClient, SluiceClientError
from sluice_client import retry as retry_module

TASK = "00000000-0000-0000-0000-000000000001"
MIB = 1024 * 1024


class Upload(upload_pb2_grpc.UploadServiceServicer):
    """Takes one upload."""

    def __init__(self) -> None:
        self.created: list[upload_pb2.CreateUploadRequest] = []
        self.written: list[upload_pb2.WriteUploadRequest] = []
        self.away = 0
        self.state = TaskState.TASK_STATE_PENDING

    async def CreateUpload(
        self, request: upload_pb2.CreateUploadRequest, context: Any
    ) -> upload_pb2.CreateUploadResponse:
        self.created.append(request)
        if self.away:
            self.away -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        return upload_pb2.CreateUploadResponse(
            upload=upload_pb2.Upload(upload_id=TASK, state=self.state), created=True
        )

    async def WriteUpload(
        self, requests: AsyncIterator[Any], context: Any
    ) -> upload_pb2.WriteUploadResponse:
        async for request in requests:
            self.written.append(request)
        return upload_pb2.WriteUploadResponse()


class Status(status_pb2_grpc.StatusServiceServicer):
    """A task with five events; a watch breaks after as many of them as `breaks` says, time after
    time.
    """

    def __init__(self) -> None:
        self.task = status_pb2.Task(
            task_id=TASK, state=TaskState.TASK_STATE_SUCCEEDED, last_sequence=5
        )
        self.asked: list[int] = []
        self.breaks: list[tuple[int, grpc.StatusCode | None]] = []

    async def GetTask(
        self, request: status_pb2.GetTaskRequest, context: Any
    ) -> status_pb2.GetTaskResponse:
        if request.task_id != TASK:
            message = "There is no such task."
            raise errors.error(
                ErrorReason.ERROR_REASON_TASK_NOT_FOUND,
                message,
                value="x",
                line=3,
                metadata={"hint": "h"},
            )
        return status_pb2.GetTaskResponse(task=self.task)

    async def ListTasks(
        self, request: status_pb2.ListTasksRequest, context: Any
    ) -> status_pb2.ListTasksResponse:
        page = int(request.page_token or 0)
        tasks = [
            status_pb2.Task(task_id=f"{page}-{number}", datasource=request.datasource)
            for number in range(2)
        ]
        return status_pb2.ListTasksResponse(
            tasks=tasks, next_page_token=str(page + 1) if page < 2 else ""
        )

    async def WatchTask(
        self, request: status_pb2.WatchTaskRequest, context: Any
    ) -> AsyncIterator[status_pb2.WatchTaskResponse]:
        self.asked.append(request.from_sequence)
        last, code = self.breaks.pop(0) if self.breaks else (5, None)
        for sequence in range(request.from_sequence, last + 1):
            state = (
                TaskState.TASK_STATE_SUCCEEDED if sequence == 5 else TaskState.TASK_STATE_VALIDATING
            )
            yield status_pb2.WatchTaskResponse(
                event=status_pb2.TaskEvent(sequence=sequence, state=state), task=self.task
            )
        if code is not None:
            await context.abort(code, "broken")


class Validation(validation_pb2_grpc.ValidationServiceServicer):
    """Has the report of attempt 2."""

    async def GetReport(
        self, request: validation_pb2.GetReportRequest, context: Any
    ) -> validation_pb2.GetReportResponse:
        return validation_pb2.GetReportResponse(
            report=validation_pb2.Report(task_id=request.task_id, attempt=request.attempt)
        )


class Druid(druid_pb2_grpc.DruidGatewayServiceServicer):
    """Answers every query in two messages of rows."""

    async def Query(
        self, request: druid_pb2.QueryRequest, context: Any
    ) -> AsyncIterator[druid_pb2.QueryResponse]:
        if "DROP" in request.sql:
            raise errors.error(
                ErrorReason.ERROR_REASON_QUERY_FORBIDDEN, "Only one SELECT is answered."
            )
        columns = [
            druid_pb2.QueryColumn(name="city", type="VARCHAR"),
            druid_pb2.QueryColumn(name="n", type="BIGINT"),
        ]
        yield druid_pb2.QueryResponse(header=druid_pb2.QueryHeader(query_id="q1", columns=columns))
        for rows in ([["Köln", 2**53 + 1]], [[None, request.limit]]):
            yield druid_pb2.QueryResponse(
                rows=druid_pb2.QueryRows(json=json.dumps(rows).encode(), count=1)
            )
        cut = "ALL OF IT" not in request.sql
        assert request.all_rows == (request.limit == 0)
        yield druid_pb2.QueryResponse(
            summary=druid_pb2.QuerySummary(row_count=2, truncated=cut, elapsed_ms=7)
        )


class World:
    """The servers, and a client of them."""

    def __init__(self) -> None:
        # The rpcs that are left out answer UNIMPLEMENTED; only the stubs call them abstract.
        self.upload, self.status = Upload(), Status()  # type: ignore[abstract]
        self.validation, self.druid = Validation(), Druid()  # type: ignore[abstract]


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[SluiceClient]:
    server = aio.server(interceptors=server_interceptors(OpenAuthenticator()))
    upload_pb2_grpc.add_UploadServiceServicer_to_server(world.upload, server)
    status_pb2_grpc.add_StatusServiceServicer_to_server(world.status, server)
    validation_pb2_grpc.add_ValidationServiceServicer_to_server(world.validation, server)
    druid_pb2_grpc.add_DruidGatewayServiceServicer_to_server(world.druid, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    async with SluiceClient(address, address, address, address) as made:
        yield made
    await server.stop(0)


async def test_a_file_goes_out_as_header_chunks_finish(
    world: World, client: SluiceClient, tmp_path: Path
) -> None:
    data = bytes(range(256)) * 10_000
    path = tmp_path / "sales.csv"
    path.write_bytes(data)
    assert await client.upload(path, "sales", replace=True) == TASK
    [created] = world.upload.created
    assert (created.filename, created.size, created.datasource) == ("sales.csv", len(data), "sales")
    assert (created.mode, created.load_mode) == (
        UploadMode.UPLOAD_MODE_RESUMABLE,
        LoadMode.LOAD_MODE_REPLACE,
    )
    first, *middle, last = world.upload.written
    assert (first.header.upload_id, first.header.offset) == (TASK, 0)
    assert b"".join(message.chunk.data for message in middle) == data
    assert all(message.chunk.crc32c == crc32c.crc32c(message.chunk.data) for message in middle)
    assert all(len(message.chunk.data) <= MIB for message in middle)
    assert (last.finish.size, last.finish.sha256) == (len(data), hashlib.sha256(data).digest())


async def test_the_creation_is_repeated_with_the_same_request_id(
    world: World, client: SluiceClient, tmp_path: Path
) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(b"a")
    world.upload.away = 2
    await client.upload(path, "sales")
    assert len(world.upload.created) == 3
    assert len({request.request_id for request in world.upload.created}) == 1


async def test_an_upload_that_is_complete_already_is_not_sent_again(
    world: World, client: SluiceClient, tmp_path: Path
) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(b"a")
    world.upload.state = TaskState.TASK_STATE_INGESTING
    assert await client.upload(path, "sales", request_id="again") == TASK
    assert not world.upload.written


async def test_what_the_source_fails_with_is_what_the_caller_sees(client: SluiceClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        await client.upload(pieces(), "sales", filename="a.csv")


async def test_pieces_need_a_file_name(client: SluiceClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"

    with pytest.raises(ValueError, match="filename"):
        await client.upload(pieces(), "sales")


@pytest.mark.parametrize(
    "breaks",
    [
        [],
        [(2, grpc.StatusCode.UNAVAILABLE)],
        [
            (0, grpc.StatusCode.UNAVAILABLE),
            (1, grpc.StatusCode.UNAVAILABLE),
            (4, grpc.StatusCode.UNAVAILABLE),
        ],
        [(3, None)],
    ],
)
async def test_a_watch_goes_on_after_the_last_event_seen(
    world: World, client: SluiceClient, breaks: list[tuple[int, grpc.StatusCode | None]]
) -> None:
    world.status.breaks = list(breaks)
    assert [answer.event.sequence async for answer in client.watch(TASK)] == [1, 2, 3, 4, 5]
    assert world.status.asked == [1, *(last + 1 for last, _ in breaks)]


async def test_a_watch_can_begin_anywhere_even_after_the_end(
    world: World, client: SluiceClient
) -> None:
    assert [answer.event.sequence async for answer in client.watch(TASK, from_sequence=4)] == [4, 5]
    world.status.breaks = [(0, None)]
    assert [answer async for answer in client.watch(TASK, from_sequence=6)] == []


async def test_a_watch_gives_up_when_its_budget_is_used_up(
    world: World, client: SluiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retry_module, "BUDGET_S", 0.5)
    world.status.breaks = [(0, grpc.StatusCode.UNAVAILABLE)] * 50
    with pytest.raises(SluiceClientError) as failure:
        [answer async for answer in client.watch(TASK)]
    assert failure.value.code == "SERVICE_UNAVAILABLE"
    assert len(world.status.asked) > 1


async def test_a_watch_of_nothing_fails_at_once(world: World, client: SluiceClient) -> None:
    world.status.breaks = [(0, grpc.StatusCode.NOT_FOUND)]
    with pytest.raises(SluiceClientError):
        [answer async for answer in client.watch(TASK)]
    assert world.status.asked == [1]


async def test_wait_gives_the_terminal_task(client: SluiceClient) -> None:
    assert (await client.wait(TASK)).state == TaskState.TASK_STATE_SUCCEEDED


async def test_all_pages_are_listed(client: SluiceClient) -> None:
    tasks = [task async for task in client.tasks(datasource="sales")]
    assert [task.task_id for task in tasks] == ["0-0", "0-1", "1-0", "1-1", "2-0", "2-1"]
    assert {task.datasource for task in tasks} == {"sales"}


async def test_the_report_is_that_of_the_tasks_attempt(world: World, client: SluiceClient) -> None:
    with pytest.raises(SluiceClientError) as failure:
        await client.report(TASK)
    assert failure.value.code == "REPORT_NOT_FOUND"
    world.status.task.report_attempt = 2
    assert (await client.report(TASK)).attempt == 2


async def test_a_query_gives_columns_and_rows(client: SluiceClient) -> None:
    result = await client.query("SELECT city, n FROM sales", limit=9)
    assert [(column.name, column.type) for column in result.columns] == [
        ("city", "VARCHAR"),
        ("n", "BIGINT"),
    ]
    assert result.rows == [["Köln", 2**53 + 1], [None, 9]]
    assert (result.row_count, result.truncated, result.elapsed_ms, result.query_id) == (
        2,
        True,
        7,
        "q1",
    )


async def test_without_a_limit_all_rows_come_or_an_error(client: SluiceClient) -> None:
    whole = await client.query("SELECT ALL OF IT")
    assert (len(whole.rows), whole.truncated) == (2, False)
    with pytest.raises(SluiceClientError) as failure:
        await client.query("SELECT city, n FROM sales")
    assert (failure.value.code, failure.value.actor) == ("QUERY_TRUNCATED", "you")
    assert failure.value.metadata == {"rows": "2"}


async def test_an_error_carries_everything_that_the_service_said(client: SluiceClient) -> None:
    with pytest.raises(SluiceClientError) as failure:
        await client.query("DROP TABLE sales")
    assert (failure.value.code, failure.value.message) == (
        "QUERY_FORBIDDEN",
        "Only one SELECT is answered.",
    )
    with pytest.raises(SluiceClientError) as failure:
        await client.task("another")
    error = failure.value
    assert (error.code, error.actor, error.line, error.value) == ("TASK_NOT_FOUND", "you", 3, "x")
    assert error.action.startswith("Check the task id")
    assert error.metadata["hint"] == "h"
    assert str(error) == "TASK_NOT_FOUND: There is no such task."


async def test_a_service_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry_module, "BUDGET_S", 0.2)
    async with SluiceClient(*["127.0.0.1:9"] * 4) as client:
        with pytest.raises(SluiceClientError) as failure:
            await client.task(TASK)
    assert (failure.value.code, failure.value.metadata) == (
        "SERVICE_UNAVAILABLE",
        {"service": "status"},
    )


def test_the_wheel_needs_nothing_but_grpc_and_the_generated_package() -> None:
    allowed = {"sluice", "sluice_client", "grpc", "google", "grpc_status", "crc32c"}
    standard = {
        "asyncio",
        "collections",
        "contextlib",
        "dataclasses",
        "datetime",
        "hashlib",
        "json",
        "pathlib",
        "types",
        "typing",
        "uuid",
    }
    for file in Path(sluice_client.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            assert {name.partition(".")[0] for name in names} <= allowed | standard, file.name
