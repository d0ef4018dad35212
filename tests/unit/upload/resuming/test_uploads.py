"""Creating, aborting and deleting uploads."""

import pytest

from services.common import errors
from services.common.errors import SluiceError
from sluice.common.v1.task_pb2 import LoadMode, TaskState, UploadMode
from tests.unit.upload.fakes import World


async def test_a_new_upload_is_a_pending_task_with_the_original_name() -> None:
    world = World()
    task = await world.create(
        filename="../Umsätze\u202e 2026.CSV",
        size=7,
        upload_mode=UploadMode.UPLOAD_MODE_UNSPECIFIED,
        load_mode=LoadMode.LOAD_MODE_UNSPECIFIED,
    )
    assert (task.state, task.filename, task.file_size) == (
        TaskState.TASK_STATE_PENDING,
        "../Umsätze\u202e 2026.CSV",
        7,
    )
    assert (task.upload_mode, task.load_mode) == (
        UploadMode.UPLOAD_MODE_ONE_SHOT,
        LoadMode.LOAD_MODE_APPEND,
    )
    assert task.file_uri.startswith("s3://bucket/uploads/sales/Umsatze_2026_")
    assert task.file_uri.endswith(f"_{task.task_id[:8]}.csv")


async def test_the_same_request_gives_the_same_upload() -> None:
    world = World()
    assert (await world.create()).task_id == (await world.create()).task_id
    assert (await world.create(request_id="r2")).task_id != (await world.create()).task_id


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"datasource": "no blanks"}, "DATASOURCE_NAME_INVALID"),
        ({"filename": "a.txt"}, "FILE_TYPE_UNSUPPORTED"),
        ({"size": 500 * 1024 * 1024 + 1}, "FILE_TOO_LARGE"),
    ],
)
async def test_invalid_requests_are_rejected_before_a_task_is_created(
    changes: dict[str, object], code: str
) -> None:
    world = World()
    with pytest.raises(SluiceError) as refusal:
        await world.create(**changes)
    assert refusal.value.code == code
    assert not world.faults.calls


async def test_an_unfinished_upload_can_be_aborted_repeatedly() -> None:
    world = World()
    task = await world.create()
    world.tasks.tasks[task.task_id].multipart_id = await world.store.open_multipart(
        task.file_uri, resumable=False
    )
    for _ in range(2):
        ended = await world.uploads.abort(task.task_id)
        assert (ended.state, errors.code_of(ended.problem.code)) == (
            TaskState.TASK_STATE_CANCELLED,
            "CANCELLED",
        )
        assert world.nothing_is_stored()


async def test_a_complete_upload_cannot_be_aborted() -> None:
    world = World()
    task = await world.create()
    world.tasks.tasks[task.task_id].state = TaskState.TASK_STATE_VALIDATING
    with pytest.raises(SluiceError) as refusal:
        await world.uploads.abort(task.task_id)
    assert refusal.value.code == "UPLOAD_CLOSED"


async def test_the_object_of_a_terminal_task_can_be_deleted_repeatedly() -> None:
    world = World()
    task = await world.create()
    world.store.objects = {task.file_uri: b"x", "s3://bucket/uploads/other.csv": b"y"}
    world.tasks.tasks[task.task_id].state = TaskState.TASK_STATE_SUCCEEDED
    for _ in range(2):
        assert await world.uploads.delete_objects(task.task_id) == 1
        assert world.store.objects == {"s3://bucket/uploads/other.csv": b"y"}


@pytest.mark.parametrize(
    "state",
    [TaskState.TASK_STATE_PENDING, TaskState.TASK_STATE_VALIDATING, TaskState.TASK_STATE_CLEANING],
)
async def test_the_object_of_a_task_that_still_needs_it_stays(state: "TaskState.ValueType") -> None:
    world = World()
    task = await world.create()
    world.store.objects[task.file_uri] = b"x"
    world.tasks.tasks[task.task_id].state = state
    with pytest.raises(SluiceError) as refusal:
        await world.uploads.delete_objects(task.task_id)
    assert refusal.value.code == "STATE_CONFLICT"
    assert world.store.objects


@pytest.mark.parametrize("uri", ["s3://bucket/tasks/x/report.pb", "s3://other/uploads/x.csv"])
async def test_objects_of_others_are_not_deleted(uri: str) -> None:
    world = World()
    task = await world.create()
    world.tasks.tasks[task.task_id].state = TaskState.TASK_STATE_FAILED
    world.tasks.tasks[task.task_id].file_uri = uri
    world.store.objects[uri] = b"x"
    assert await world.uploads.delete_objects(task.task_id) == 0
    assert world.store.objects == {uri: b"x"}
