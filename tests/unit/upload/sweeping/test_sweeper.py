"""What the sweeper ends, finishes, deletes and keeps."""

from contextlib import suppress

import pytest

from services.common import errors
from services.common.errors import SluiceError
from services.upload.receiving.steps import Chunk, Finish, Header, Pause, Step
from services.upload.sweeping.cleanup import Leftover
from services.upload.sweeping.sweeper import FINISH_AFTER_S
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.status.v1.status_pb2 import Task
from tests.unit.upload.fakes import Faults, World, steps

DATA = b"date,amount\n2026-01-01,3\n"


async def test_an_abandoned_upload_is_ended_and_its_parts_are_freed() -> None:
    world = World()
    task = await world.create()
    world.tasks.tasks[task.task_id].multipart_id = await world.store.open_multipart(
        task.file_uri, resumable=False
    )
    await world.sweeper.sweep()
    ended = world.tasks.tasks[task.task_id]
    assert (ended.state, errors.code_of(ended.problem.code)) == (
        TaskState.TASK_STATE_CANCELLED,
        "CLIENT_GONE",
    )
    assert world.nothing_is_stored()


async def test_a_resumable_upload_is_kept_until_it_expires() -> None:
    world = World()
    world.tasks.idle_s = world.settings.abandoned_after_s + 1
    task = await world.create()
    world.tasks.tasks[task.task_id].upload_mode = UploadMode.UPLOAD_MODE_RESUMABLE
    await world.store.open_multipart(task.file_uri, resumable=False)
    await world.sweeper.sweep()
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_PENDING
    assert len(world.store.multiparts) == 1
    world.tasks.idle_s = world.settings.upload_retention_s
    await world.sweeper.sweep()
    assert errors.code_of(world.tasks.tasks[task.task_id].problem.code) == "UPLOAD_EXPIRED"
    assert world.nothing_is_stored()


@pytest.mark.parametrize(
    "state",
    [TaskState.TASK_STATE_CANCELLED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_UPLOADED],
)
async def test_a_multipart_without_a_pending_task_is_aborted_and_objects_stay(
    state: "TaskState.ValueType",
) -> None:
    world = World()
    task = await world.create()
    world.tasks.tasks[task.task_id].state = state
    world.store.objects[task.file_uri] = b"kept"
    await world.store.open_multipart(task.file_uri, resumable=False)
    await world.store.open_multipart("s3://bucket/uploads/x/nobody.csv", resumable=False)
    other = await world.store.open_multipart(
        "s3://bucket/tasks/of-another-service", resumable=False
    )
    await world.sweeper.sweep()
    assert list(world.store.multiparts) == [("s3://bucket/tasks/of-another-service", other)]
    assert world.store.objects == {task.file_uri: b"kept"}


async def test_a_task_that_completes_while_it_is_swept_keeps_its_object() -> None:
    world = World()
    task = await world.create()
    world.store.objects[task.file_uri] = b"complete"
    listed = world.tasks.pending

    async def completed_meanwhile(idle_s: int = 0):  # type: ignore[no-untyped-def]
        async for found in listed(idle_s):
            world.tasks.tasks[task.task_id].state = TaskState.TASK_STATE_UPLOADED
            yield found

    world.tasks.pending = completed_meanwhile  # type: ignore[method-assign]
    await world.sweeper.sweep()
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_UPLOADED
    assert world.store.objects == {task.file_uri: b"complete"}


async def test_what_could_not_be_removed_is_removed_later() -> None:
    world = World(Faults(at=1))
    world.store.objects["s3://bucket/uploads/a.csv"] = b"left"
    assert not await world.cleanup.remove(Leftover("s3://bucket/uploads/a.csv", object=True))
    assert world.store.objects
    await world.sweeper.sweep()
    assert not world.store.objects


async def test_whichever_call_of_a_sweep_fails_the_next_sweeps_do_the_rest() -> None:
    at, struck = 0, True
    while struck:
        at += 1
        world = World()
        for request_id in ("a", "b"):
            task = await world.create(request_id=request_id)
            world.tasks.tasks[task.task_id].multipart_id = await world.store.open_multipart(
                task.file_uri, resumable=False
            )
            world.store.objects[task.file_uri] = b"x"
        world.faults.calls.clear()
        world.faults.at = at
        for _ in range(3):
            try:
                await world.sweeper.sweep()
            except SluiceError:
                assert world.faults.struck
        struck = world.faults.struck and len(world.faults.calls) > at
        assert world.nothing_is_stored(), at
        assert {task.state for task in world.tasks.tasks.values()} == {
            TaskState.TASK_STATE_CANCELLED
        }
    assert at > 5


async def test_a_completely_stored_upload_is_finished_without_its_client() -> None:
    world = World()
    task = await world.create(upload_mode=UploadMode.UPLOAD_MODE_RESUMABLE, size=len(DATA))
    world.faults.calls.clear()
    complete = world.tasks.complete

    async def away(*given: object) -> Task:
        raise errors.error(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "away")

    world.tasks.complete = away  # type: ignore[method-assign,assignment]
    with pytest.raises(SluiceError):
        await world.receiver.receive(
            steps(Header(task.task_id, 0), Chunk(DATA, None), Finish(len(DATA), b""))
        )
    # After a recent report, its client may be about to finish it.
    world.tasks.complete = complete  # type: ignore[method-assign]
    world.tasks.idle_s = FINISH_AFTER_S - 1
    await world.sweeper.sweep()
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_PENDING
    world.tasks.idle_s = FINISH_AFTER_S
    await world.sweeper.sweep()
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_UPLOADED
    assert world.store.objects == {task.file_uri: DATA}


@pytest.mark.parametrize("last", [Pause(), None])
async def test_an_upload_with_all_announced_bytes_is_finished_without_a_finish(
    last: Step | None,
) -> None:
    world = World()
    task = await world.create(upload_mode=UploadMode.UPLOAD_MODE_RESUMABLE, size=len(DATA))
    sent = [Header(task.task_id, 0), Chunk(DATA, None), *([last] if last else [])]
    with suppress(SluiceError):
        await world.receiver.receive(steps(*sent))
    await world.sweeper.sweep()
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_UPLOADED
    assert world.store.objects == {task.file_uri: DATA}


@pytest.mark.parametrize("size", [None, len(DATA) + 1])
async def test_an_incomplete_upload_is_checked_once_until_it_changes(
    size: int | None,
) -> None:
    world = World()
    world.tasks.idle_s = world.settings.abandoned_after_s
    task = await world.create(upload_mode=UploadMode.UPLOAD_MODE_RESUMABLE, size=size)
    await world.receiver.receive(steps(Header(task.task_id, 0), Chunk(DATA, None), Pause()))
    looks = []
    for changed in (0, 0, 1, 1):
        world.tasks.tasks[task.task_id].update_time.seconds = changed
        world.faults.calls.clear()
        await world.sweeper.sweep()
        looks.append(world.faults.calls.count("size"))
    assert looks[0] == looks[2] > 0
    assert looks[1] == looks[3] == 0
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_PENDING
