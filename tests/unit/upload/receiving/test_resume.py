"""Resumable uploads: whatever fails, acknowledged bytes are stored and the file stays intact."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator

import pytest

from services.common.errors import SluiceError
from services.upload.receiving.steps import Abort, Chunk, Finish, Header, Pause, Step
from services.upload.storing.stored import TAILS
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.status.v1.status_pb2 import Task
from tests.unit.upload.fakes import PART, Faults, World, silent, steps

MIB = 1024 * 1024
DATA = random.Random(7).randbytes(4 * PART + 3 * MIB)
SMALL = DATA[: 2 * MIB]
PENDING, UPLOADED = TaskState.TASK_STATE_PENDING, TaskState.TASK_STATE_UPLOADED


async def resumable(world: World, **changes: object) -> Task:
    return await world.create(upload_mode=UploadMode.UPLOAD_MODE_RESUMABLE, **changes)


async def committed(world: World, task: Task) -> int:
    return (await world.uploads.get(task.task_id))[1]


def part_of(task: Task, start: int, end: int, last: Step | None, data: bytes = DATA) -> list[Step]:
    size = 700_001
    pieces: list[Step] = [
        Chunk(data[at : min(at + size, end)], None) for at in range(start, end, size)
    ]
    return [Header(task.task_id, start), *pieces, *([last] if last else [])]


async def code_of(world: World, stream: AsyncIterator[Step]) -> str:
    with pytest.raises(SluiceError) as refusal:
        await world.receiver.receive(stream)
    return refusal.value.code


def is_whole(world: World, task: Task, data: bytes = DATA) -> bool:
    return world.store.objects == {task.file_uri: data} and not world.store.multiparts


@pytest.mark.parametrize(
    "cut", [1, 2 * MIB, PART - 1, PART, PART + 1, 2 * PART, 3 * PART + 17, len(DATA) - 1]
)
@pytest.mark.parametrize("last", [Pause(), None], ids=["paused", "broken"])
@pytest.mark.parametrize("size", [len(DATA), None], ids=["announced", "unknown"])
async def test_an_upload_resumes_at_the_byte_where_it_stopped(
    cut: int, last: Step | None, size: int | None
) -> None:
    world = World()
    task = await resumable(world, size=size)
    if last:
        paused = await world.receiver.receive(steps(*part_of(task, 0, cut, last)))
        assert (paused.state, paused.received_size) == (PENDING, cut)
    else:
        assert await code_of(world, steps(*part_of(task, 0, cut, last))) == "CLIENT_GONE"
    assert world.tasks.tasks[task.task_id].state == PENDING
    assert await committed(world, task) == cut
    done = await world.receiver.receive(
        steps(*part_of(task, cut, len(DATA), Finish(len(DATA), hashlib.sha256(DATA).digest())))
    )
    assert (done.state, done.file_size) == (UPLOADED, len(DATA))
    # The client specifies it. Validation checks it if this process has not received all bytes.
    assert done.sha256 == hashlib.sha256(DATA).digest()
    assert is_whole(world, task)


async def test_a_call_that_is_cancelled_keeps_what_has_arrived() -> None:
    world = World()
    task = await resumable(world)
    receiving = asyncio.create_task(
        world.receiver.receive(silent(*part_of(task, 0, len(DATA), None)))
    )
    await world.tasks.reported.wait()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    kept = await committed(world, task)
    assert kept >= PART
    await world.receiver.receive(steps(*part_of(task, kept, len(DATA), Finish(None, b""))))
    assert is_whole(world, task)


async def test_a_newer_writer_waits_for_the_older_and_gets_the_offset() -> None:
    world = World()
    task = await resumable(world)
    first = asyncio.create_task(
        world.receiver.receive(silent(*part_of(task, 0, 3 * PART + MIB, None)))
    )
    await world.tasks.reported.wait()
    with pytest.raises(SluiceError) as mismatch:
        await world.receiver.receive(steps(*part_of(task, 0, len(DATA), Finish(None, b""))))
    assert mismatch.value.code == "OFFSET_MISMATCH"
    expected = int(mismatch.value.metadata["expected_offset"])
    assert expected >= PART
    with pytest.raises(SluiceError) as replaced:
        await first
    assert replaced.value.code == "WRITER_REPLACED"
    await world.receiver.receive(steps(*part_of(task, expected, len(DATA), Finish(None, b""))))
    assert is_whole(world, task)


@pytest.mark.parametrize("offset", [0, 5, PART, 10 * PART])
async def test_a_wrong_offset_changes_nothing(offset: int) -> None:
    world = World()
    task = await resumable(world)
    await world.receiver.receive(steps(*part_of(task, 0, 3 * PART - 1, Pause())))
    with pytest.raises(SluiceError) as mismatch:
        await world.receiver.receive(
            steps(Header(task.task_id, offset), Chunk(b"x", None), Pause())
        )
    assert mismatch.value.metadata == {"expected_offset": str(3 * PART - 1)}
    assert await committed(world, task) == 3 * PART - 1


async def test_a_damaged_chunk_ends_only_its_stream() -> None:
    world = World()
    task = await resumable(world)
    stream = [*part_of(task, 0, PART + 5, None), Chunk(b"damaged", 1)]
    assert await code_of(world, steps(*stream)) == "CHECKSUM_MISMATCH"
    assert await committed(world, task) == PART + 5


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (Finish(7, b""), "CHECKSUM_MISMATCH"),
        (Finish(None, b"\1" * 32), "CHECKSUM_MISMATCH"),
        (Abort(Problem(code=ErrorReason.ERROR_REASON_SECOND_FILE)), "SECOND_FILE"),
        (Chunk(b"one byte too many", None), "CHECKSUM_MISMATCH"),
    ],
    ids=["size", "sha256", "abort", "too long"],
)
async def test_a_wrong_file_ends_the_upload(last: Step, code: str) -> None:
    world = World()
    task = await resumable(world, size=len(SMALL), sha256=hashlib.sha256(SMALL).digest())
    assert await code_of(world, steps(*part_of(task, 0, len(SMALL), last, SMALL))) == code
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_REJECTED
    assert world.nothing_is_stored()


async def test_an_abort_leaves_nothing() -> None:
    world = World()
    task = await resumable(world)
    await world.receiver.receive(steps(*part_of(task, 0, 2 * PART + 5, Pause())))
    await world.uploads.abort(task.task_id)
    assert world.nothing_is_stored()
    assert (
        await code_of(world, steps(*part_of(task, 2 * PART + 5, len(DATA), Finish(None, b""))))
        == "UPLOAD_CLOSED"
    )


async def test_an_expired_upload_is_ended_with_its_reason() -> None:
    world = World()
    task = await resumable(world)
    await world.receiver.receive(steps(*part_of(task, 0, 2 * PART + 5, Pause())))
    await world.sweeper.sweep()
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_CANCELLED
    assert world.nothing_is_stored()
    assert await code_of(world, steps(Header(task.task_id, 2 * PART + 5))) == "UPLOAD_EXPIRED"


async def test_a_tail_without_a_task_is_deleted() -> None:
    world = World()
    kept, gone = await resumable(world, request_id="a"), await resumable(world, request_id="b")
    for task in (kept, gone):
        await world.receiver.receive(steps(*part_of(task, 0, 5, Pause())))
    world.tasks.tasks[gone.task_id].state = TaskState.TASK_STATE_CANCELLED
    world.tasks.idle_s = 0
    await world.sweeper.sweep()
    assert [uri.partition(TAILS)[2].partition("/")[0] for uri in world.store.objects] == [
        kept.task_id
    ]


@pytest.mark.parametrize("fault", ["before", "after", "outage"])
@pytest.mark.parametrize("data", [SMALL, DATA[: 2 * PART + MIB]], ids=["small", "multipart"])
async def test_whichever_call_fails_the_file_is_completed(fault: str, data: bytes) -> None:
    """The client gets the offset and resumes until it is done, as sluice_client does."""
    at, struck = 0, True
    while struck:
        at += 1
        world = World(Faults(at, fault))  # type: ignore[arg-type]
        middle = len(data) // 2 + 1
        task: Task | None = None
        for _ in range(8):
            try:
                task = task or await resumable(world, size=len(data))
                task, start = await world.uploads.get(task.task_id)
                if task.state == UPLOADED:
                    break
                last = Finish(len(data), b"") if start >= middle else Pause()
                await world.receiver.receive(
                    steps(
                        *part_of(task, start, len(data) if start >= middle else middle, last, data)
                    )
                )
            except SluiceError:
                if world.faults.fault == "outage":
                    world.faults.at = 0 if world.faults.struck else world.faults.at
        struck = world.faults.struck or world.faults.at != at
        named = f"call {at}: {world.faults.calls}"
        world.faults.at = 0
        world.tasks.idle_s = 0
        await world.background.drain(5)
        await world.sweeper.sweep()
        assert task is not None, named
        assert world.tasks.tasks[task.task_id].state == UPLOADED, named
        assert is_whole(world, task, data), named
    assert at > 8


async def test_an_upload_resumes_after_the_part_size_setting_has_changed() -> None:
    before = World(part_size_bytes=2 * PART)
    task = await resumable(before)
    await before.receiver.receive(steps(*part_of(task, 0, 3 * PART, Pause())))
    after = World(part_size_bytes=PART)
    after.store.objects, after.store.multiparts, after.tasks.tasks = (
        before.store.objects,
        before.store.multiparts,
        before.tasks.tasks,
    )
    assert await committed(after, task) == 3 * PART
    await after.receiver.receive(steps(*part_of(task, 3 * PART, len(DATA), Finish(len(DATA), b""))))
    assert is_whole(after, task)
