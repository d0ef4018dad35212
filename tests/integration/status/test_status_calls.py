"""The calls that upload, the edge and people make, on a real PostgreSQL."""

import asyncio
import uuid

import asyncpg
import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, TaskState
from sluice.status.v1 import status_pb2
from sluice.validation.v1.validation_pb2 import Policy, ReadOptions, Rule
from tests.integration.status.conftest import SIZE, Service, Services, create_request


@pytest.fixture
async def quiet(services: Services, sql: "asyncpg.Connection[asyncpg.Record]") -> Service:
    """A service without pipeline."""
    return await services.start(pipeline_workers=0)


async def code_of(call: grpc.aio.Call) -> str:
    with pytest.raises(grpc.RpcError) as failure:
        await call
    return errors.from_rpc(failure.value, "status").code


async def test_fifty_creates_of_one_request_make_one_task(
    quiet: Service, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    requests = [create_request(request_id="the same") for _ in range(50)]
    answers = await asyncio.gather(*(quiet.stub.CreateTask(request) for request in requests))
    assert len({answer.task.task_id for answer in answers}) == 1
    assert [answer.created for answer in answers].count(True) == 1
    assert await sql.fetchval("SELECT count(*) FROM ingestion_tasks") == 1
    assert await sql.fetchval("SELECT count(*) FROM task_events") == 1


@pytest.mark.parametrize(
    "other",
    [
        {"datasource": "other"},
        {"filename": "other.csv"},
        {"load_mode": LoadMode.LOAD_MODE_REPLACE},
        {"allow_duplicate": False},
    ],
    ids=lambda other: next(iter(other)),
)
async def test_a_request_id_with_other_parameters_is_refused(
    quiet: Service, other: dict[str, object]
) -> None:
    await quiet.create(request_id="taken")
    assert (
        await code_of(quiet.stub.CreateTask(create_request(request_id="taken", **other)))
        == "REQUEST_ID_REUSED"
    )


async def test_what_postgresql_cannot_hold_is_refused(quiet: Service) -> None:
    assert (
        await code_of(quiet.stub.CreateTask(create_request(filename="a\x00.csv")))
        == "REQUEST_INVALID"
    )
    assert (
        await code_of(quiet.stub.GetTask(status_pb2.GetTaskRequest(task_id="a\x00b")))
        == "REQUEST_INVALID"
    )


async def test_several_tasks_are_told_by_the_ids_that_were_asked_for(quiet: Service) -> None:
    first, second = [await quiet.create(request_id=name) for name in ("first", "second")]
    asked = [first.task_id, second.task_id.upper(), str(uuid.uuid4()), "no uuid"]
    answer = await quiet.stub.GetTasks(status_pb2.GetTasksRequest(task_ids=asked))
    assert {asked_for: task.task_id for asked_for, task in answer.tasks.items()} == {
        first.task_id: first.task_id,
        second.task_id.upper(): second.task_id,
    }
    assert answer.tasks[first.task_id].create_time == first.create_time


@pytest.mark.parametrize("task_id", [str(uuid.uuid4()), "no uuid", "' OR 1=1 --"])
async def test_unknown_ids_are_not_found(quiet: Service, task_id: str) -> None:
    assert (
        await code_of(quiet.stub.GetTask(status_pb2.GetTaskRequest(task_id=task_id)))
        == "TASK_NOT_FOUND"
    )
    watching = quiet.stub.WatchTask(status_pb2.WatchTaskRequest(task_id=task_id))
    with pytest.raises(grpc.RpcError) as failure:
        await watching.read()
    assert errors.from_rpc(failure.value, "status").code == "TASK_NOT_FOUND"


async def test_receiving_is_noted_until_the_upload_ends(quiet: Service) -> None:
    task = await quiet.create()
    report = status_pb2.ReportReceivingRequest(
        task_id=task.task_id, received_size=10, multipart_id="m"
    )
    noted = (await quiet.stub.ReportReceiving(report)).task
    assert (noted.received_size, noted.multipart_id, noted.last_sequence) == (10, "m", 2)
    assert noted.message == "0.0 MiB received."
    later = (
        await quiet.stub.ReportReceiving(
            status_pb2.ReportReceivingRequest(task_id=task.task_id, received_size=5)
        )
    ).task
    assert (later.received_size, later.multipart_id) == (10, "m")
    done = status_pb2.CompleteUploadRequest(task_id=task.task_id, file_size=SIZE, sha256=b"x" * 32)
    first, second = (
        (await quiet.stub.CompleteUpload(done)).task,
        (await quiet.stub.CompleteUpload(done)).task,
    )
    assert first.state == second.state == TaskState.TASK_STATE_UPLOADED
    assert (second.last_sequence, second.multipart_id, second.file_size) == (3, "", SIZE)
    done.file_size += 1
    assert await code_of(quiet.stub.CompleteUpload(done)) == "STATE_CONFLICT"
    assert await code_of(quiet.stub.ReportReceiving(report)) == "STATE_CONFLICT"


async def test_what_is_wrong_in_the_bytes_so_far_is_shown(quiet: Service) -> None:
    task = await quiet.create()
    wrong = errors.problem(ErrorReason.ERROR_REASON_NO_TIME_COLUMN, "No column holds times.")
    report = status_pb2.ReportReceivingRequest(
        task_id=task.task_id, received_size=10, findings=[wrong]
    )
    noted = (await quiet.stub.ReportReceiving(report)).task
    assert list(noted.validation_errors) == [wrong]
    assert noted.message == "0.0 MiB received. So far: No column holds times."
    # A report that does not know of it takes nothing back.
    later = (
        await quiet.stub.ReportReceiving(
            status_pb2.ReportReceivingRequest(task_id=task.task_id, received_size=20)
        )
    ).task
    assert list(later.validation_errors) == [wrong]


async def test_who_begins_a_file_is_told_how_it_will_be_read(quiet: Service) -> None:
    task = await quiet.create(options=ReadOptions(delimiter=";").SerializeToString())
    policy = Policy(rules=[Rule(name="min_columns", limit=9)])
    settings = status_pb2.DatasourceSettings(
        policy=policy, options=ReadOptions(encoding="windows-1252")
    )
    await quiet.stub.SetDatasourceSettings(
        status_pb2.SetDatasourceSettingsRequest(datasource="sales", settings=settings)
    )

    async def begin(size: int) -> status_pb2.ReportReceivingResponse:
        request = status_pb2.ReportReceivingRequest(
            task_id=task.task_id, received_size=size, writer="w", begin=True
        )
        answer: status_pb2.ReportReceivingResponse = await quiet.stub.ReportReceiving(request)
        return answer

    told = await begin(0)
    assert (told.policy, told.options) == (
        policy,
        ReadOptions(delimiter=";", encoding="windows-1252"),
    )
    assert not (await begin(7)).HasField("policy")


async def test_a_writer_that_was_replaced_writes_no_more(quiet: Service) -> None:
    task = await quiet.create()

    def report(writer: str, size: int, *, begin: bool = False) -> status_pb2.ReportReceivingRequest:
        return status_pb2.ReportReceivingRequest(
            task_id=task.task_id,
            received_size=size,
            multipart_id=f"of {writer}",
            writer=writer,
            begin=begin,
            bytes_per_second=1024 * 1024,
        )

    await quiet.stub.ReportReceiving(report("first", 0, begin=True))
    told = (await quiet.stub.ReportReceiving(report("first", 700))).task
    assert (told.received_size, told.message) == (700, "0.0 MiB received, 1.0 MiB/s.")
    begun = (await quiet.stub.ReportReceiving(report("second", 0, begin=True))).task
    assert (begun.received_size, begun.multipart_id) == (0, "of second")
    assert await code_of(quiet.stub.ReportReceiving(report("first", 800))) == "WRITER_REPLACED"
    done = status_pb2.CompleteUploadRequest(task_id=task.task_id, file_size=SIZE, writer="first")
    assert await code_of(quiet.stub.CompleteUpload(done)) == "WRITER_REPLACED"
    problem = errors.problem(ErrorReason.ERROR_REASON_CLIENT_GONE, "Gone.")
    end = status_pb2.EndUploadRequest(
        task_id=task.task_id, state=TaskState.TASK_STATE_CANCELLED, problem=problem, writer="first"
    )
    assert await code_of(quiet.stub.EndUpload(end)) == "WRITER_REPLACED"
    done.writer = "second"
    assert (await quiet.stub.CompleteUpload(done)).task.state == TaskState.TASK_STATE_UPLOADED


@pytest.mark.parametrize(
    ("reason", "again"),
    [
        (ErrorReason.ERROR_REASON_CLIENT_GONE, True),
        (ErrorReason.ERROR_REASON_UPLOAD_EXPIRED, True),
        (ErrorReason.ERROR_REASON_CANCELLED, False),
    ],
)
async def test_a_request_whose_client_was_gone_makes_a_new_task(
    quiet: Service, reason: "ErrorReason.ValueType", again: bool
) -> None:
    first = await quiet.create(request_id="mine")
    problem = errors.problem(reason, "It ended.")
    await quiet.stub.EndUpload(
        status_pb2.EndUploadRequest(
            task_id=first.task_id, state=TaskState.TASK_STATE_CANCELLED, problem=problem
        )
    )
    answer = await quiet.stub.CreateTask(create_request(request_id="mine"))
    assert answer.created == again
    assert (answer.task.retry_of, answer.task.task_id != first.task_id) == (
        (first.task_id, True) if again else ("", False)
    )
    found = await quiet.stub.CreateTask(create_request(request_id="mine"))
    assert (found.task.task_id, found.created) == (answer.task.task_id, False)


async def test_an_upload_that_ends_badly_stays_ended(quiet: Service) -> None:
    task = await quiet.create()
    problem = errors.problem(ErrorReason.ERROR_REASON_FILE_EMPTY, "The file has no byte.")
    end = status_pb2.EndUploadRequest(
        task_id=task.task_id, state=TaskState.TASK_STATE_REJECTED, problem=problem
    )
    ended = (await quiet.stub.EndUpload(end)).task
    assert (ended.state, ended.problem.code, ended.message) == (
        TaskState.TASK_STATE_REJECTED,
        problem.code,
        problem.message,
    )
    end.state = TaskState.TASK_STATE_CANCELLED
    assert (await quiet.stub.EndUpload(end)).task.state == TaskState.TASK_STATE_REJECTED
    assert (
        await code_of(
            quiet.stub.CompleteUpload(
                status_pb2.CompleteUploadRequest(task_id=task.task_id, file_size=1)
            )
        )
        == "STATE_CONFLICT"
    )
    uploaded = await quiet.upload()
    end.task_id = uploaded.task_id
    assert await code_of(quiet.stub.EndUpload(end)) == "STATE_CONFLICT"


async def test_an_end_unless_a_writer_has_begun_leaves_its_upload_alone(quiet: Service) -> None:
    problem = errors.problem(ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS, "Full.")

    async def end(task_id: str) -> "TaskState.ValueType":
        request = status_pb2.EndUploadRequest(
            task_id=task_id,
            state=TaskState.TASK_STATE_FAILED,
            problem=problem,
            unless_begun=True,
        )
        answer: status_pb2.EndUploadResponse = await quiet.stub.EndUpload(request)
        return answer.task.state

    begun, untouched = await quiet.create(), await quiet.create()
    report = status_pb2.ReportReceivingRequest(task_id=begun.task_id, writer="w", begin=True)
    await quiet.stub.ReportReceiving(report)
    assert await end(begun.task_id) == TaskState.TASK_STATE_PENDING
    assert await end(untouched.task_id) == TaskState.TASK_STATE_FAILED
    done = status_pb2.CompleteUploadRequest(task_id=begun.task_id, file_size=SIZE, writer="w")
    assert (await quiet.stub.CompleteUpload(done)).task.state == TaskState.TASK_STATE_UPLOADED


async def test_lists_page_without_gap_or_repeat(quiet: Service) -> None:
    made = [(await quiet.create(datasource=f"ds{number % 2}")).task_id for number in range(7)]
    seen: list[str] = []
    token = ""
    while True:
        page = await quiet.stub.ListTasks(
            status_pb2.ListTasksRequest(page_size=3, page_token=token)
        )
        seen += [task.task_id for task in page.tasks]
        await quiet.create(datasource="newer")
        if not (token := page.next_page_token):
            break
    assert seen == made[::-1]
    one = await quiet.stub.ListTasks(
        status_pb2.ListTasksRequest(datasource="ds0", skip=1, page_size=2)
    )
    assert [task.task_id for task in one.tasks] == [made[4], made[2]]
    uploaded = await quiet.upload()
    states = status_pb2.ListTasksRequest(states=[TaskState.TASK_STATE_UPLOADED])
    assert [task.task_id for task in (await quiet.stub.ListTasks(states)).tasks] == [
        uploaded.task_id
    ]


async def test_lists_find_idle_tasks(
    quiet: Service, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    idle, _ = await quiet.create(), await quiet.create()
    await sql.execute(
        "UPDATE ingestion_tasks SET updated_at = now() - interval '61 s' WHERE task_id = $1",
        idle.task_id,
    )
    page = await quiet.stub.ListTasks(
        status_pb2.ListTasksRequest(states=[TaskState.TASK_STATE_PENDING], idle_seconds=60)
    )
    assert [task.task_id for task in page.tasks] == [idle.task_id]


@pytest.mark.parametrize("token", ["nonsense", "!", "MjAyNi0wMS0wMSBhYmM=", "é"])
async def test_foreign_page_tokens_are_refused(quiet: Service, token: str) -> None:
    assert (
        await code_of(quiet.stub.ListTasks(status_pb2.ListTasksRequest(page_token=token)))
        == "PAGE_TOKEN_INVALID"
    )


async def test_lists_are_narrowed_by_text_and_time(
    quiet: Service, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    first = await quiet.create(filename="Umsatz 100%.csv", datasource="nord", client="anna")
    second = await quiet.create(filename="sales_2.csv")
    await sql.execute(
        "UPDATE ingestion_tasks SET created_at = '2026-01-01T00:00:00Z' WHERE task_id = $1",
        first.task_id,
    )

    async def found(**wanted: object) -> list[str]:
        page = await quiet.stub.ListTasks(status_pb2.ListTasksRequest(**wanted))  # type: ignore[arg-type]
        return [task.task_id for task in page.tasks]

    for text in ("umsatz", "100%", "NORD", "ann", first.task_id):
        assert await found(text=text) == [first.task_id], text
    assert await found(text="_2") == [second.task_id]
    assert await found(text="nothing of this") == []
    newyear, later = Timestamp(seconds=1_767_225_600), Timestamp(seconds=1_767_225_601)
    assert await found(since=newyear) == [second.task_id, first.task_id]
    assert await found(since=later) == [second.task_id]
    assert await found(until=later) == [first.task_id]
    assert await found(until=newyear) == []
