"""The command line as a process of its own, against servers in this one."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from gateway.documents import wire
from services.common import errors
from services.common.serving.interceptors import OpenAuthenticator, server_interceptors
from sluice.common.v1.errors_pb2 import Actor, ErrorReason, Problem
from sluice.common.v1.task_pb2 import LoadMode, LoadState, TaskState
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.status.v1.status_pb2 import EventKind
from sluice.upload.v1 import upload_pb2, upload_pb2_grpc
from sluice.validation.v1 import validation_pb2, validation_pb2_grpc
from sluice_client import SluiceClientError
from sluice_client.cli import documents, ending, show
from sluice_client.cli.ending import Exit
from tests.processes import running

HOSTILE = "\x1b[31mred\u202egnp.csv"
"""Colour, and a turn of the direction of writing."""


CSV_BYTES = 1_900_000


def id_of(number: int) -> str:
    return f"00000000-0000-0000-0000-{number:012d}"


class Services(
    upload_pb2_grpc.UploadServiceServicer,
    status_pb2_grpc.StatusServiceServicer,
    validation_pb2_grpc.ValidationServiceServicer,
    druid_pb2_grpc.DruidGatewayServiceServicer,
):
    """All four: what is uploaded becomes a task that ends in `ends`, by the file's name."""

    def __init__(self) -> None:
        self.created: list[upload_pb2.CreateUploadRequest] = []
        self.imported: list[upload_pb2.ImportObjectRequest] = []
        self.tasks: dict[str, status_pb2.Task] = {}
        self.ends: dict[str, TaskState.ValueType] = {}
        self.received: dict[str, int] = {}
        self.committed: dict[str, int] = {}
        self.offsets: list[int] = []
        self.receiving = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def CreateUpload(
        self, request: upload_pb2.CreateUploadRequest, context: Any
    ) -> upload_pb2.CreateUploadResponse:
        known = {
            created.request_id: id_of(number) for number, created in enumerate(self.created, 1)
        }
        if request.request_id in known:
            return upload_pb2.CreateUploadResponse(upload=self._upload(known[request.request_id]))
        self.created.append(request)
        if not request.filename.endswith(".csv"):
            raise errors.error(
                ErrorReason.ERROR_REASON_FILE_TYPE_UNSUPPORTED,
                "Only tables are taken.",
                value=request.filename,
            )
        task_id = id_of(len(self.created))
        self.tasks[task_id] = status_pb2.Task(
            task_id=task_id,
            state=TaskState.TASK_STATE_PENDING,
            datasource=request.datasource,
            filename=request.filename,
            load_mode=request.load_mode,
            last_sequence=4,
        )
        return upload_pb2.CreateUploadResponse(upload=self._upload(task_id), created=True)

    async def ImportObject(
        self, request: upload_pb2.ImportObjectRequest, context: Any
    ) -> upload_pb2.ImportObjectResponse:
        if not request.uri.startswith("s3://lake/"):
            raise errors.error(
                ErrorReason.ERROR_REASON_IMPORT_NOT_ALLOWED,
                "Files are not imported from there.",
                value=request.uri,
            )
        self.imported.append(request)
        task_id = id_of(len(self.tasks) + 1)
        self.tasks[task_id] = status_pb2.Task(
            task_id=task_id,
            state=TaskState.TASK_STATE_UPLOADED,
            datasource=request.datasource,
            filename="a.csv",
            last_sequence=4,
        )
        return upload_pb2.ImportObjectResponse(upload=self._upload(task_id), created=True)

    def _upload(self, task_id: str) -> upload_pb2.Upload:
        return upload_pb2.Upload(
            upload_id=task_id,
            state=self.tasks[task_id].state,
            committed_size=self.committed.get(task_id, 0),
        )

    async def GetUpload(
        self, request: upload_pb2.GetUploadRequest, context: Any
    ) -> upload_pb2.GetUploadResponse:
        return upload_pb2.GetUploadResponse(upload=self._upload(request.upload_id))

    async def WriteUpload(
        self, requests: AsyncIterator[Any], context: Any
    ) -> upload_pb2.WriteUploadResponse:
        task = None
        async for request in requests:
            if request.HasField("header"):
                task = self.tasks[request.header.upload_id]
                self.received[task.task_id] = 0
                self.offsets.append(request.header.offset)
            elif task is not None:
                self.received[task.task_id] += len(request.chunk.data)
            self.receiving.set()
            await self.go_on.wait()
        assert task is not None
        end = self.ends.get(task.filename, TaskState.TASK_STATE_SUCCEEDED)
        task.state = end
        task.message = f"It ended {show.state_name(end)}."
        if end == TaskState.TASK_STATE_SUCCEEDED:
            task.rows_read = task.rows_loaded = 3
        else:
            task.problem.CopyFrom(
                Problem(
                    code=ErrorReason.ERROR_REASON_NO_ROWS,
                    message="No row.",
                    action="Add one.",
                    actor=Actor.ACTOR_YOU,
                )
            )
        return upload_pb2.WriteUploadResponse()

    async def GetTask(
        self, request: status_pb2.GetTaskRequest, context: Any
    ) -> status_pb2.GetTaskResponse:
        if request.task_id not in self.tasks:
            raise errors.error(ErrorReason.ERROR_REASON_TASK_NOT_FOUND, "There is no such task.")
        return status_pb2.GetTaskResponse(task=self.tasks[request.task_id])

    async def ListTasks(
        self, request: status_pb2.ListTasksRequest, context: Any
    ) -> status_pb2.ListTasksResponse:
        states = set(request.states) or set(TaskState.values())
        return status_pb2.ListTasksResponse(
            tasks=[task for task in self.tasks.values() if task.state in states]
        )

    async def WatchTask(
        self, request: status_pb2.WatchTaskRequest, context: Any
    ) -> AsyncIterator[status_pb2.WatchTaskResponse]:
        task = (
            await self.GetTask(status_pb2.GetTaskRequest(task_id=request.task_id), context)
        ).task
        events = [
            status_pb2.TaskEvent(
                sequence=1,
                kind=EventKind.EVENT_KIND_STATE,
                state=TaskState.TASK_STATE_PENDING,
                message="Receiving.",
            ),
            status_pb2.TaskEvent(
                sequence=2, kind=EventKind.EVENT_KIND_STATE, state=TaskState.TASK_STATE_VALIDATING
            ),
            status_pb2.TaskEvent(
                sequence=3,
                kind=EventKind.EVENT_KIND_PROGRESS,
                state=TaskState.TASK_STATE_VALIDATING,
                done=2,
                total=3,
                unit="rows",
            ),
            status_pb2.TaskEvent(
                sequence=4, kind=EventKind.EVENT_KIND_STATE, state=task.state, message=task.message
            ),
        ]
        for event in events[request.from_sequence - 1 :]:
            yield status_pb2.WatchTaskResponse(event=event, task=task)

    async def GetReport(
        self, request: validation_pb2.GetReportRequest, context: Any
    ) -> validation_pb2.GetReportResponse:
        column = validation_pb2.Column(
            source_name="Größe\x1b]0;title\x07",
            name="groesse",
            type=validation_pb2.COLUMN_TYPE_DECIMAL,
            load_type=validation_pb2.LOAD_TYPE_DOUBLE,
            fitting=1_234_567,
            misfits=1,
            evidence="line 3 holds 'x'",
            sum=float("nan"),
        )
        problem = Problem(
            code=ErrorReason.ERROR_REASON_VALUE_MISFIT,
            message="'x' is no number.",
            line=3,
            column="Größe",
            value="x",
            action="Correct it.",
            actor=Actor.ACTOR_YOU,
        )
        made = validation_pb2.Report(
            task_id=request.task_id,
            attempt=request.attempt,
            filename="sizes.csv",
            format=validation_pb2.FILE_FORMAT_CSV,
            verdict=validation_pb2.VERDICT_PASSED,
            rows_read=1_234_568,
            rows_loadable=1_234_567,
            rows_rejected=1,
            columns=[column],
            first_rejects=[validation_pb2.Reject(line=3, problems=[problem])],
        )
        return validation_pb2.GetReportResponse(report=made)

    async def Query(
        self, request: druid_pb2.QueryRequest, context: Any
    ) -> AsyncIterator[druid_pb2.QueryResponse]:
        if "DROP" in request.sql:
            raise errors.error(
                ErrorReason.ERROR_REASON_QUERY_FORBIDDEN, "Only one SELECT is answered."
            )
        if "AWAY" in request.sql:
            raise errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, "Druid does not answer.")
        columns = [
            druid_pb2.QueryColumn(name="city", type="VARCHAR"),
            druid_pb2.QueryColumn(name="n", type="BIGINT"),
        ]
        yield druid_pb2.QueryResponse(header=druid_pb2.QueryHeader(query_id="q1", columns=columns))
        rows = [["Köln\x1b[2J", 2**53 + 1], [None, request.limit]]
        yield druid_pb2.QueryResponse(
            rows=druid_pb2.QueryRows(json=json.dumps(rows).encode(), count=2)
        )
        cut = "ALL OF IT" not in request.sql
        yield druid_pb2.QueryResponse(
            summary=druid_pb2.QuerySummary(row_count=2, truncated=cut, elapsed_ms=7)
        )


@dataclass
class Ended:
    """A process that has ended."""

    status: int | None
    out: str
    err: str

    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class Shell:
    """Runs `sluice` with the addresses of the servers."""

    environment: dict[str, str]

    async def __call__(self, *arguments: str | Path) -> Ended:
        async with (
            running(["sluice_client.cli", *map(str, arguments)], self.environment) as process,
            asyncio.timeout(60),
        ):
            out, err = await process.communicate()
            return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def services() -> Services:
    # The rpcs that are left out answer UNIMPLEMENTED; only the stubs call them abstract.
    return Services()  # type: ignore[abstract]


@pytest.fixture
async def sluice(services: Services, tmp_path: Path) -> AsyncIterator[Shell]:
    server = aio.server(interceptors=server_interceptors(OpenAuthenticator()))
    upload_pb2_grpc.add_UploadServiceServicer_to_server(services, server)
    status_pb2_grpc.add_StatusServiceServicer_to_server(services, server)
    validation_pb2_grpc.add_ValidationServiceServicer_to_server(services, server)
    druid_pb2_grpc.add_DruidGatewayServiceServicer_to_server(services, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    addresses = {
        f"{name}_ADDR": address for name in ("UPLOAD", "STATUS", "VALIDATION", "DRUID_GATEWAY")
    }
    yield Shell({**addresses, "XDG_STATE_HOME": str(tmp_path / "state")})
    await server.stop(0)


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "sales.csv"
    path.write_bytes(b"day,n\n2024-01-01,1\n" * 100_000)
    assert path.stat().st_size == CSV_BYTES
    return path


async def test_an_upload_prints_the_task(services: Services, sluice: Shell, csv: Path) -> None:
    ended = await sluice("upload", csv, "--datasource", "sales", "--replace", "--allow-duplicate")
    assert (ended.status, ended.out, ended.err) == (0, f"{id_of(1)} {csv}\n", "")
    [created] = services.created
    assert (created.datasource, created.filename, created.size) == ("sales", "sales.csv", CSV_BYTES)
    assert (created.load_mode, created.allow_duplicate) == (LoadMode.LOAD_MODE_REPLACE, True)
    assert services.received == {id_of(1): CSV_BYTES}


async def test_a_file_in_a_bucket_is_loaded_without_being_sent(
    services: Services, sluice: Shell
) -> None:
    ended = await sluice("import", "s3://lake/a.csv", "--datasource", "sales", "--replace")
    assert (ended.status, ended.out, ended.err) == (0, f"{id_of(1)}\n", "")
    [imported] = services.imported
    assert (imported.uri, imported.datasource, imported.load_mode) == (
        "s3://lake/a.csv",
        "sales",
        LoadMode.LOAD_MODE_REPLACE,
    )
    ended = await sluice("import", "s3://elsewhere/a.csv", "-d", "sales", "--json")
    assert ended.status == Exit.FAILED
    assert "IMPORT_NOT_ALLOWED" in ended.out + ended.err


async def test_many_files_each_have_their_own_end(
    services: Services, sluice: Shell, csv: Path, tmp_path: Path
) -> None:
    bad, other = tmp_path / "bad.csv", tmp_path / "notes.txt"
    bad.write_text("day\n")
    other.write_text("x")
    services.ends["bad.csv"] = TaskState.TASK_STATE_REJECTED
    ended = await sluice("upload", csv, bad, other, "-d", "sales", "--watch", "--json")
    assert ended.status == Exit.REFUSED
    by_file = {Path(document["file"]).name: document for document in ended.documents()}
    assert {name: document["status"] for name, document in by_file.items()} == {
        "sales.csv": "SUCCEEDED",
        "bad.csv": "REJECTED",
        "notes.txt": None,
    }
    assert by_file["sales.csv"]["row_count"] == 3
    assert by_file["bad.csv"]["error"]["code"] == "NO_ROWS"
    assert by_file["notes.txt"]["error"]["code"] == "FILE_TYPE_UNSUPPORTED"


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (TaskState.TASK_STATE_SUCCEEDED, Exit.OK),
        (TaskState.TASK_STATE_REJECTED, Exit.REFUSED),
        (TaskState.TASK_STATE_FAILED, Exit.FAILED),
        (TaskState.TASK_STATE_TIMEOUT, Exit.FAILED),
        (TaskState.TASK_STATE_CANCELLED, Exit.CANCELLED),
    ],
)
async def test_the_exit_status_says_how_the_task_ended(
    services: Services, sluice: Shell, csv: Path, end: TaskState.ValueType, status: Exit
) -> None:
    services.ends["sales.csv"] = end
    sent = await sluice("upload", csv, "-d", "sales", "-w")
    watched = await sluice("watch", id_of(1))
    assert (sent.status, watched.status) == (status, status)
    assert f"It ended {show.state_name(end)}." in sent.out
    assert [line.split()[1] for line in watched.out.splitlines()[:3]] == [
        "PENDING",
        "VALIDATING",
        show.state_name(end),
    ]
    assert ("Add one." in sent.out) == (status is not Exit.OK)


async def test_a_watch_as_json_has_every_event(
    services: Services, sluice: Shell, csv: Path
) -> None:
    await sluice("upload", csv, "-d", "sales")
    ended = await sluice("watch", id_of(1), "--json", "--from", "2")
    assert [(event["sequence"], event["kind"], event["status"]) for event in ended.documents()] == [
        (2, "state", "VALIDATING"),
        (3, "progress", "VALIDATING"),
        (4, "state", "SUCCEEDED"),
    ]
    assert (ended.documents()[1]["done"], ended.documents()[1]["unit"]) == (2, "rows")


async def test_tasks_are_narrowed_and_counted(services: Services, sluice: Shell) -> None:
    for number, state in enumerate(
        [
            TaskState.TASK_STATE_SUCCEEDED,
            TaskState.TASK_STATE_REJECTED,
            TaskState.TASK_STATE_REJECTED,
        ],
        1,
    ):
        services.tasks[id_of(number)] = status_pb2.Task(
            task_id=id_of(number), state=state, filename=HOSTILE, datasource="sales"
        )
    shown = await sluice("tasks", "--status", "rejected", "--limit", "1")
    assert shown.status == 0
    assert (id_of(1) in shown.out, id_of(2) in shown.out, id_of(3) in shown.out) == (
        False,
        True,
        False,
    )
    assert "\x1b" not in shown.out
    assert "\u202e" not in shown.out
    listed = await sluice("tasks", "--json")
    assert [list(task)[:2] for task in listed.documents()] == [["task_id", "status"]] * 3
    assert listed.documents()[0]["original_filename"] == HOSTILE


async def test_a_query_is_a_table_or_a_document(sluice: Shell) -> None:
    shown = await sluice("query", "SELECT 1", "--limit", "9")
    assert shown.status == 0
    assert [line.split() for line in shown.out.splitlines() if "NULL" in line] == [["NULL", "9"]]
    assert "\x1b" not in shown.out
    [answer] = (await sluice("query", "SELECT 1", "--json")).documents()
    assert list(answer) == ["columns", "rows", "row_count", "truncated", "elapsed_ms", "query_id"]
    assert answer["rows"][0] == ["Köln\x1b[2J", 2**53 + 1]


@pytest.mark.parametrize("options", [[], ["--json"]])
async def test_an_answer_that_is_cut_without_being_asked_for_is_no_success(
    sluice: Shell, options: list[str]
) -> None:
    cut = await sluice("query", "SELECT 1", *options)
    assert cut.status == Exit.TRUNCATED
    assert "only the first 2 rows" in cut.err
    wanted = await sluice("query", "SELECT 1", "--limit", "2", *options)
    assert wanted.status == Exit.OK
    assert "only the first 2 rows" in wanted.err
    whole = await sluice("query", "SELECT ALL OF IT", *options)
    assert (whole.status, "TRUNCATED" in whole.err) == (Exit.OK, False)


async def test_errors_say_what_to_do(sluice: Shell) -> None:
    refused = await sluice("query", "DROP TABLE sales")
    assert (refused.status, refused.out) == (Exit.REFUSED, "")
    assert refused.err.startswith("QUERY_FORBIDDEN Only one SELECT is answered.")
    away = await sluice("query", "SELECT AWAY", "--json")
    assert (away.status, away.out) == (Exit.UNREACHABLE, "")
    assert json.loads(away.err)["actor"] == "nobody"
    assert (await sluice("watch", id_of(7))).status == Exit.REFUSED


async def test_a_report(services: Services, sluice: Shell) -> None:
    services.tasks[id_of(1)] = status_pb2.Task(task_id=id_of(1), report_attempt=2)
    shown = await sluice("report", id_of(1))
    assert shown.status == 0
    assert "1,234,568 rows read = 1,234,567 loadable + 1 rejected + 0 skipped" in shown.out
    assert "Größe\\x1b]0;title\\x07" in shown.out
    assert "VALUE_MISFIT 'x' is no number. (line 3, Größe, 'x') Correct it." in shown.out
    [document] = (await sluice("report", id_of(1), "--json")).documents()
    assert (document["verdict"], document["columns"][0]["type"], document["columns"][0]["sum"]) == (
        "PASSED",
        "DECIMAL",
        None,
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["upload", "no-such-file.csv", "-d", "x"],
        ["upload", __file__],
        ["tasks", "--status", "LOST"],
        ["query"],
        ["sing"],
    ],
    ids=lambda arguments: " ".join(arguments)[:16],
)
async def test_wrong_usage(sluice: Shell, arguments: list[str]) -> None:
    assert (await sluice(*arguments)).status == 2


async def interrupted(services: Services, sluice: Shell, csv: Path) -> None:
    """`sluice upload`, stopped by Ctrl-C while the file is being received."""
    services.go_on.clear()
    services.receiving.clear()
    async with (
        running(
            ["sluice_client.cli", "upload", str(csv), "-d", "sales"], sluice.environment
        ) as process,
        asyncio.timeout(60),
    ):
        await services.receiving.wait()
        process.send_signal(signal.SIGINT)
        _, err = await process.communicate()
    services.go_on.set()
    assert process.returncode == Exit.INTERRUPTED
    assert b"Interrupted." in err
    assert b"Traceback" not in err


async def test_the_same_command_goes_on_after_ctrl_c(
    services: Services, sluice: Shell, csv: Path
) -> None:
    await interrupted(services, sluice, csv)
    services.committed[id_of(1)] = 1_000_000
    other = await sluice("upload", csv, "-d", "another")
    assert other.out.startswith(id_of(2))
    again = await sluice("upload", csv, "-d", "sales")
    assert (again.status, again.out) == (0, f"{id_of(1)} {csv}\n")
    assert services.offsets == [0, 0, 1_000_000]
    assert services.received[id_of(1)] == CSV_BYTES - 1_000_000
    third = await sluice("upload", csv, "-d", "sales")
    assert third.out.startswith(id_of(3)), "what is complete is not remembered"


async def test_what_was_given_up_meanwhile_begins_anew(
    services: Services, sluice: Shell, csv: Path
) -> None:
    await interrupted(services, sluice, csv)
    services.tasks[id_of(1)].state = TaskState.TASK_STATE_CANCELLED
    again = await sluice("upload", csv, "-d", "sales")
    assert (again.status, again.out) == (0, f"{id_of(2)} {csv}\n")
    assert services.offsets == [0, 0]


async def test_a_changed_file_is_another_upload(
    services: Services, sluice: Shell, csv: Path
) -> None:
    await interrupted(services, sluice, csv)
    await asyncio.to_thread(csv.write_bytes, b"day,n\n2024-01-01,2\n")
    assert (await sluice("upload", csv, "-d", "sales")).out.startswith(id_of(2))


async def test_without_typer_it_says_what_to_install() -> None:
    script = "import sys; sys.modules['typer'] = None; import sluice_client.cli; sluice_client.cli.main()"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()
    assert process.returncode == 1
    assert "pip install 'sluice[cli]'" in err.decode()


def test_an_unreachable_service_weighs_less_than_a_failure() -> None:
    assert ending.worst([Exit.OK, Exit.CANCELLED, Exit.REFUSED]) is Exit.REFUSED
    assert ending.worst([Exit.UNREACHABLE, Exit.FAILED, Exit.REFUSED]) is Exit.FAILED
    assert ending.worst([]) is Exit.OK
    assert ending.of_error(SluiceClientError("INTERNAL", "", actor="admin")) is Exit.FAILED


def test_a_task_has_the_names_and_values_of_rest() -> None:
    moment = Timestamp(seconds=1_700_000_000, nanos=5_000_000)
    problem = Problem(
        code=ErrorReason.ERROR_REASON_NO_ROWS,
        message="No row.",
        line=2,
        action="Add one.",
        actor=Actor.ACTOR_YOU,
    )
    timing = status_pb2.StageTiming(stage="validate", seconds=1.23456, start_time=moment)
    for state in (TaskState.TASK_STATE_REJECTED, TaskState.TASK_STATE_SUCCEEDED):
        full = status_pb2.Task(
            task_id=id_of(1),
            state=state,
            load_state=LoadState.LOAD_STATE_LIVE,
            load_mode=LoadMode.LOAD_MODE_REPLACE,
            datasource="sales",
            filename="a.csv",
            file_size=2**40,
            rows_loaded=7,
            sha256=b"\x01" * 32,
            problem=problem,
            validation_errors=[problem],
            timings=[timing],
            create_time=moment,
        )
        for task in (
            full,
            status_pb2.Task(task_id=id_of(2), state=state, datasource="sales", filename="b.csv"),
        ):
            rest = wire.task(task).model_dump()
            ours = documents.task(task)
            assert list(ours)[:2] == ["task_id", "status"]
            shared = rest.keys() & ours.keys()
            assert shared > {
                "row_count",
                "mode",
                "error",
                "created_at",
                "timings",
                "validation_errors",
                "load_state",
                "sha256",
            }
            assert {name: ours[name] for name in shared} == {name: rest[name] for name in shared}
