"""Loading a stored file again and having it deleted, on a real PostgreSQL."""

import asyncio
import uuid

import asyncpg
import pytest

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1 import status_pb2
from sluice.validation.v1.validation_pb2 import ReadOptions
from tests.integration.status.conftest import SIZE, Service, Services, until
from tests.integration.status.test_status_calls import code_of

SUCCEEDED = TaskState.TASK_STATE_SUCCEEDED
HOW, OTHER = (ReadOptions(delimiter=delimiter).SerializeToString() for delimiter in ";|")


@pytest.fixture
async def quiet(services: Services, sql: "asyncpg.Connection[asyncpg.Record]") -> Service:
    """A service without pipeline, which searches for what expired all the time."""
    return await services.start(pipeline_workers=0, housekeeping_interval_s=0.1)


async def ended(service: Service, **other: object) -> status_pb2.Task:
    """A task with a stored file that was cancelled."""
    task = await service.upload(**other)
    return (await service.stub.CancelTask(status_pb2.CancelTaskRequest(task_id=task.task_id))).task  # type: ignore[no-any-return]


async def retry(
    service: Service, task: status_pb2.Task, **other: object
) -> status_pb2.RetryTaskResponse:
    request = status_pb2.RetryTaskRequest(task_id=task.task_id, **other)  # type: ignore[arg-type]
    return await service.stub.RetryTask(request)  # type: ignore[no-any-return]


async def delete(service: Service, task: status_pb2.Task) -> status_pb2.Task:
    request = status_pb2.DeleteTaskFilesRequest(task_id=task.task_id)
    return (await service.stub.DeleteTaskFiles(request)).task  # type: ignore[no-any-return]


async def test_a_retry_goes_all_the_way(
    services: Services, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    service = await services.start()
    first = await service.upload()
    assert (await service.ended(first.task_id)).state == SUCCEEDED
    answer = await retry(service, first, options=HOW, client="me")
    assert answer.created
    events = await service.events(answer.task.task_id)
    names = [
        TaskState.Name(event.state).removeprefix("TASK_STATE_")
        for event in events
        if event.kind == status_pb2.EVENT_KIND_STATE
    ]
    assert names == ["PENDING", "UPLOADED", "VALIDATING", "INGESTING", "VERIFYING", "SUCCEEDED"]
    again = await service.get(answer.task.task_id)
    assert (again.retry_of, again.file_uri, again.file_size) == (
        first.task_id,
        first.file_uri,
        SIZE,
    )
    assert (again.options, again.client) == (HOW, "me")


async def test_a_retry_that_is_clicked_fifty_times_is_one_task(quiet: Service) -> None:
    task = await ended(quiet)
    answers = await asyncio.gather(*(retry(quiet, task) for _ in range(50)))
    assert len({answer.task.task_id for answer in answers}) == 1
    assert [answer.created for answer in answers].count(True) == 1
    assert (await retry(quiet, task, options=OTHER)).created


async def test_a_retry_is_idempotent_by_its_request_id(quiet: Service) -> None:
    task = await ended(quiet)
    first, second = (
        await retry(quiet, task, request_id="r"),
        await retry(quiet, task, request_id="r"),
    )
    assert (first.created, second.created) == (True, False)
    assert first.task.task_id == second.task.task_id
    assert await code_of(
        quiet.stub.RetryTask(
            status_pb2.RetryTaskRequest(task_id=task.task_id, request_id="r", options=OTHER)
        )
    ) == ("REQUEST_ID_REUSED")


async def test_what_is_under_way_or_was_never_stored_is_not_loaded_again(quiet: Service) -> None:
    running = await quiet.upload()
    request = status_pb2.RetryTaskRequest(task_id=running.task_id)
    assert await code_of(quiet.stub.RetryTask(request)) == "STATE_CONFLICT"
    gone = await quiet.create()
    problem = errors.problem(ErrorReason.ERROR_REASON_CLIENT_GONE, "The client went away.")
    end = status_pb2.EndUploadRequest(
        task_id=gone.task_id, state=TaskState.TASK_STATE_CANCELLED, problem=problem
    )
    await quiet.stub.EndUpload(end)
    request.task_id = gone.task_id
    assert await code_of(quiet.stub.RetryTask(request)) == "FILE_NOT_STORED"
    request.task_id = str(uuid.uuid4())
    assert await code_of(quiet.stub.RetryTask(request)) == "TASK_NOT_FOUND"


async def test_files_are_deleted_once_nobody_needs_them(quiet: Service) -> None:
    task = await ended(quiet)
    again = (await retry(quiet, task)).task
    assert (
        await code_of(
            quiet.stub.DeleteTaskFiles(status_pb2.DeleteTaskFilesRequest(task_id=again.task_id))
        )
        == "STATE_CONFLICT"
    )
    assert (
        await code_of(
            quiet.stub.DeleteTaskFiles(status_pb2.DeleteTaskFilesRequest(task_id=task.task_id))
        )
        == "STATE_CONFLICT"
    )
    await quiet.stub.CancelTask(status_pb2.CancelTaskRequest(task_id=again.task_id))
    assert (await delete(quiet, task)).HasField("files_delete_time")
    # The retry may still be loaded again, so what was uploaded stays.
    assert (quiet.files.results, quiet.files.uploads) == ([task.task_id], [])
    await delete(quiet, again)
    assert (quiet.files.results, quiet.files.uploads) == (
        [task.task_id, again.task_id],
        [again.task_id],
    )
    await delete(quiet, again)
    assert len(quiet.files.results) == 2
    assert (
        await code_of(quiet.stub.RetryTask(status_pb2.RetryTaskRequest(task_id=task.task_id)))
        == "FILE_NOT_STORED"
    )


async def test_what_a_store_could_not_delete_is_deleted_later(
    quiet: Service, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    task = await ended(quiet)
    quiet.files.away = True
    assert (await delete(quiet, task)).HasField("files_delete_time")
    assert quiet.files.results == []
    quiet.files.away = False
    await sql.execute(
        "UPDATE ingestion_tasks SET files_delete_requested_at = now() - interval '11 s'"
    )

    async def deleted() -> bool:
        return bool(await sql.fetchval("SELECT files_deleted_at IS NOT NULL FROM ingestion_tasks"))

    await until(deleted)
    assert (quiet.files.results, quiet.files.uploads) == ([task.task_id], [task.task_id])


async def test_files_go_after_their_time(
    services: Services, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    quiet = await services.start(pipeline_workers=0, housekeeping_interval_s=0.1, files_kept_s=3600)
    old, young, needed = await ended(quiet), await ended(quiet), await ended(quiet)
    await retry(quiet, needed)
    await sql.execute(
        "UPDATE ingestion_tasks SET completed_at = now() - interval '3601 s' WHERE task_id = ANY($1::text[])",
        [old.task_id, needed.task_id],
    )

    async def deleted() -> bool:
        return bool(quiet.files.uploads)

    await until(deleted)
    assert quiet.files.results == [old.task_id]
    assert not (await quiet.get(young.task_id)).HasField("files_delete_time")


async def test_a_plan_that_nobody_applies_expires(
    services: Services, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    quiet = await services.start(pipeline_workers=0, housekeeping_interval_s=0.1, plan_kept_s=3600)
    old, young = await quiet.upload(), await quiet.upload()
    await sql.execute("UPDATE ingestion_tasks SET status = 'PLANNED', next_run_at = NULL")
    await sql.execute(
        "UPDATE ingestion_tasks SET stage_started_at = now() - interval '3601 s' WHERE task_id = $1",
        old.task_id,
    )
    end = await quiet.ended(old.task_id)
    assert (end.state, end.problem.code) == (
        TaskState.TASK_STATE_CANCELLED,
        ErrorReason.ERROR_REASON_PLAN_EXPIRED,
    )
    assert (await quiet.get(young.task_id)).state == TaskState.TASK_STATE_PLANNED
