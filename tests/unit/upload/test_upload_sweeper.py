"""What the sweeper ends, frees and leaves alone."""

import pytest

from services.common import errors
from services.common.errors import SluiceError
from services.upload.cleanup import Leftover
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from tests.unit.upload.fakes import Faults, World


async def test_an_abandoned_upload_is_ended_and_its_parts_are_freed() -> None:
    world = World()
    task = await world.create()
    world.tasks.tasks[task.task_id].multipart_id = await world.store.open_multipart(task.file_uri, resumable=False)
    await world.sweeper.sweep()
    ended = world.tasks.tasks[task.task_id]
    assert (ended.state, errors.code_of(ended.problem.code)) == (TaskState.TASK_STATE_CANCELLED, "CLIENT_GONE")
    assert world.nothing_is_stored()


async def test_a_resumable_upload_is_left_alone_until_it_expires() -> None:
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


@pytest.mark.parametrize("state", [TaskState.TASK_STATE_CANCELLED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_UPLOADED])
async def test_a_multipart_without_a_pending_task_is_aborted_and_objects_stay(state: "TaskState.ValueType") -> None:
    world = World()
    task = await world.create()
    world.tasks.tasks[task.task_id].state = state
    world.store.objects[task.file_uri] = b"kept"
    await world.store.open_multipart(task.file_uri, resumable=False)
    await world.store.open_multipart("s3://bucket/uploads/x/nobody.csv", resumable=False)
    other = await world.store.open_multipart("s3://bucket/tasks/of-another-service", resumable=False)
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
            world.tasks.tasks[task.task_id].multipart_id = await world.store.open_multipart(task.file_uri, resumable=False)
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
        assert {task.state for task in world.tasks.tasks.values()} == {TaskState.TASK_STATE_CANCELLED}
    assert at > 5
