"""All outcomes of a stream: the state of its task, and that a failure leaves nothing."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import crc32c
import pytest

from services.common import errors
from services.common.errors import SluiceError
from services.upload.receiving import receiver as receiver_module
from services.upload.receiving.admission import RETRY_AFTER_S
from services.upload.receiving.receiver import Receiver
from services.upload.receiving.steps import Abort, Chunk, Finish, Header, Step
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import Task
from tests.unit.upload.fakes import PART, Fault, Faults, World, silent, steps

DATA = bytes(range(256)) * (PART // 64)  # Four parts.
SMALL = b"date,amount\n2026-01-01,3\n"
REJECTED, CANCELLED, FAILED = (
    TaskState.TASK_STATE_REJECTED,
    TaskState.TASK_STATE_CANCELLED,
    TaskState.TASK_STATE_FAILED,
)


def chunks(data: bytes, size: int = 1024 * 1024) -> list[Step]:
    return [Chunk(data[start : start + size], None) for start in range(0, len(data), size)]


def finish(data: bytes | None = None) -> Finish:
    return Finish(None, b"") if data is None else Finish(len(data), hashlib.sha256(data).digest())


async def refused(
    world: World, task: Task, stream: AsyncIterator[Step], at: Receiver | None = None
) -> SluiceError:
    with pytest.raises(SluiceError) as refusal:
        await (at or world.receiver).receive(stream)
    return refusal.value


async def ends(
    world: World, task: Task, stream: AsyncIterator[Step], state: "TaskState.ValueType", code: str
) -> SluiceError:
    """Check that the stream and its task end with the code, and that nothing remains."""
    refusal = await refused(world, task, stream)
    ended = world.tasks.tasks[task.task_id]
    assert (refusal.code, errors.code_of(ended.problem.code), ended.state) == (code, code, state)
    assert world.nothing_is_stored()
    return refusal


@pytest.mark.parametrize("data", [SMALL, DATA, DATA[:PART], DATA[: PART - 1], DATA[: PART + 1]])
async def test_a_whole_file_is_stored(data: bytes) -> None:
    world = World()
    task = await world.create(size=len(data), sha256=hashlib.sha256(data).digest())
    done = await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(data), finish(data)))
    assert (done.state, done.file_size, done.sha256) == (
        TaskState.TASK_STATE_UPLOADED,
        len(data),
        hashlib.sha256(data).digest(),
    )
    assert world.store.objects == {task.file_uri: data}
    assert not world.store.multiparts


async def test_a_small_file_is_stored_with_one_request() -> None:
    world = World()
    task = await world.create()
    await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(SMALL), finish()))
    assert world.faults.calls == ["create", "get", "begin", "put", "complete"]


async def test_the_multipart_is_reported_as_soon_as_it_is_open() -> None:
    world = World()
    task = await world.create()
    await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(DATA), finish()))
    assert world.tasks.reports
    assert {multipart_id for _, multipart_id in world.tasks.reports} == {"m1"}


async def test_bytes_are_reported_while_they_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "REPORT_INTERVAL_S", 0.01)
    world = World()
    task = await world.create()

    async def slow() -> AsyncIterator[Step]:
        yield Header(task.task_id, 0)
        yield Chunk(SMALL, None)
        await world.tasks.reported.wait()
        yield finish()

    await world.receiver.receive(slow())
    assert world.tasks.reports == [(len(SMALL), "")]


async def test_a_lost_report_does_not_end_the_upload() -> None:
    world = World()
    task = await world.create()
    original = world.tasks.report

    async def lost(*report: Any) -> None:
        await original(*report)
        raise errors.error(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "lost")

    world.tasks.report = lost  # type: ignore[assignment, method-assign]
    await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(DATA), finish()))
    assert world.tasks.reports
    assert world.store.objects == {task.file_uri: DATA}


async def test_an_empty_file_is_rejected() -> None:
    world = World()
    task = await world.create()
    await ends(world, task, steps(Header(task.task_id, 0), finish()), REJECTED, "FILE_EMPTY")


@pytest.mark.parametrize("limit", [10, PART, 2 * PART + 5, len(DATA) - 1])
async def test_a_file_that_is_too_large_is_rejected_at_the_limit(limit: int) -> None:
    world = World(max_file_size_bytes=limit)
    task = await world.create()
    # The stream is endless: it is rejected without being read to its end.
    refusal = await ends(
        world, task, silent(Header(task.task_id, 0), *chunks(DATA)), REJECTED, "FILE_TOO_LARGE"
    )
    assert refusal.metadata == {"limit_bytes": str(limit)}


async def test_a_file_of_exactly_the_limit_is_accepted() -> None:
    world = World(max_file_size_bytes=len(DATA))
    task = await world.create()
    assert await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(DATA), finish(DATA)))


@pytest.mark.parametrize("data", [SMALL, DATA])
@pytest.mark.parametrize("wrong", [Finish(3, b""), Finish(None, b"\0" * 32)])
async def test_a_finish_with_a_wrong_size_or_checksum_is_rejected(
    data: bytes, wrong: Finish
) -> None:
    world = World()
    task = await world.create()
    await ends(
        world,
        task,
        steps(Header(task.task_id, 0), *chunks(data), wrong),
        REJECTED,
        "CHECKSUM_MISMATCH",
    )
    assert "complete_multipart" not in world.faults.calls
    assert "put" not in world.faults.calls


@pytest.mark.parametrize("announced", [{"size": 3}, {"sha256": b"\0" * 32}])
async def test_the_announced_size_and_checksum_are_checked(announced: dict[str, object]) -> None:
    world = World()
    task = await world.create(**announced)
    await ends(
        world,
        task,
        steps(Header(task.task_id, 0), *chunks(SMALL), finish()),
        REJECTED,
        "CHECKSUM_MISMATCH",
    )


async def test_a_damaged_chunk_is_rejected_by_its_checksum() -> None:
    world = World()
    good = Chunk(SMALL, crc32c.crc32c(SMALL))
    task = await world.create()
    assert await world.receiver.receive(steps(Header(task.task_id, 0), good, finish()))
    world = World()
    task = await world.create()
    damaged = Chunk(SMALL[:-1] + b"x", good.crc32c)
    refusal = await ends(
        world,
        task,
        steps(Header(task.task_id, 0), good, damaged, finish()),
        REJECTED,
        "CHECKSUM_MISMATCH",
    )
    assert f"at offset {len(SMALL):,} " in refusal.problem.message


@pytest.mark.parametrize("data", [b"", SMALL, DATA])
async def test_an_abort_ends_the_task_with_its_problem(data: bytes) -> None:
    world = World()
    task = await world.create()
    problem = errors.problem(
        ErrorReason.ERROR_REASON_SECOND_FILE, "A second file came.", value="b.csv"
    )
    refusal = await ends(
        world,
        task,
        steps(Header(task.task_id, 0), *chunks(data), Abort(problem)),
        REJECTED,
        "SECOND_FILE",
    )
    assert refusal.problem == world.tasks.tasks[task.task_id].problem == problem


@pytest.mark.parametrize("data", [b"", SMALL, DATA])
async def test_a_stream_without_finish_is_cancelled(data: bytes) -> None:
    world = World()
    task = await world.create()
    await ends(world, task, steps(Header(task.task_id, 0), *chunks(data)), CANCELLED, "CLIENT_GONE")


@pytest.mark.parametrize("data", [b"", SMALL, DATA])
async def test_a_silent_client_is_disconnected(data: bytes) -> None:
    world = World(upload_idle_timeout_s=0.05)
    task = await world.create()
    await ends(
        world, task, silent(Header(task.task_id, 0), *chunks(data)), CANCELLED, "UPLOAD_STALLED"
    )


async def test_a_second_header_is_rejected() -> None:
    world = World()
    task = await world.create()
    header = Header(task.task_id, 0)
    await ends(
        world, task, steps(header, *chunks(SMALL), header, finish()), REJECTED, "REQUEST_INVALID"
    )


@pytest.mark.parametrize(
    "first",
    [
        Chunk(b"x", None),
        Finish(None, b""),
        Abort(errors.problem(ErrorReason.ERROR_REASON_FILE_EMPTY, "")),
    ],
)
async def test_the_header_comes_first(first: Step) -> None:
    world = World()
    task = await world.create()
    assert (
        await refused(world, task, steps(first, Header(task.task_id, 0)))
    ).code == "REQUEST_INVALID"
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_PENDING


async def test_a_wrong_offset_is_rejected_with_the_right_one() -> None:
    world = World()
    task = await world.create()
    refusal = await refused(world, task, steps(Header(task.task_id, 7)))
    assert (refusal.code, refusal.metadata) == ("OFFSET_MISMATCH", {"expected_offset": "0"})
    assert await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(SMALL), finish()))


@pytest.mark.parametrize(
    "state",
    [TaskState.TASK_STATE_UPLOADED, TaskState.TASK_STATE_SUCCEEDED, TaskState.TASK_STATE_CANCELLED],
)
async def test_a_closed_upload_accepts_no_bytes(state: "TaskState.ValueType") -> None:
    world = World()
    task = await world.create()
    world.tasks.tasks[task.task_id].state = state
    assert (
        await refused(world, task, steps(Header(task.task_id, 0), *chunks(SMALL), finish()))
    ).code == "UPLOAD_CLOSED"
    assert world.nothing_is_stored()


async def test_an_unknown_upload_is_rejected() -> None:
    world = World()
    task = await world.create()
    assert (
        await refused(world, task, steps(Header("00000000-0000-0000-0000-000000000000", 0)))
    ).code == "TASK_NOT_FOUND"


async def test_a_newer_writer_takes_over_and_starts_from_the_beginning() -> None:
    world = World()
    task = await world.create()
    receiving = asyncio.create_task(
        world.receiver.receive(silent(Header(task.task_id, 0), *chunks(DATA[PART:])))
    )
    await world.tasks.reported.wait()
    done = await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(DATA), finish(DATA)))
    with pytest.raises(SluiceError) as replaced:
        await receiving
    assert replaced.value.code == "WRITER_REPLACED"
    assert (done.state, done.sha256) == (
        TaskState.TASK_STATE_UPLOADED,
        hashlib.sha256(DATA).digest(),
    )
    assert world.store.objects == {task.file_uri: DATA}
    assert not world.store.multiparts


async def test_a_writer_of_another_process_takes_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiver_module, "REPORT_INTERVAL_S", 0.01)
    world = World()
    task = await world.create()

    async def first() -> AsyncIterator[Step]:
        yield Header(task.task_id, 0)
        begin, *others = chunks(DATA)
        yield begin
        await world.tasks.begin(task.task_id, 0, "", "another")
        for chunk in others:
            yield chunk
        await asyncio.Event().wait()

    assert (await refused(world, task, first())).code == "WRITER_REPLACED"
    assert world.tasks.tasks[task.task_id].state == TaskState.TASK_STATE_PENDING
    assert world.nothing_is_stored()


async def test_a_writer_that_fails_leaves_nothing_of_its_predecessor() -> None:
    world = World()
    task = await world.create()
    # An older writer of another process has stored the file, but its completion was rejected.
    newer_is_there, older_is_refused = asyncio.Event(), asyncio.Event()

    async def newer() -> AsyncIterator[Step]:
        yield Header(task.task_id, 0)
        yield Chunk(SMALL[:1], None)
        newer_is_there.set()
        await older_is_refused.wait()

    async def older() -> AsyncIterator[Step]:
        for step in (Header(task.task_id, 0), *chunks(SMALL)):
            yield step
        receiving.append(
            asyncio.create_task(refused(world, task, newer(), at=world.new_receiver()))
        )
        await newer_is_there.wait()
        yield finish(SMALL)

    receiving: list[asyncio.Task[SluiceError]] = []
    assert (await refused(world, task, older())).code == "WRITER_REPLACED"
    older_is_refused.set()
    assert (await receiving[0]).code == "CLIENT_GONE"
    assert world.tasks.tasks[task.task_id].state == CANCELLED
    assert world.nothing_is_stored()


async def test_uploads_beyond_the_limit_are_rejected_and_ended() -> None:
    world = World(max_concurrent_uploads=1)
    running, late = await world.create(request_id="a"), await world.create(request_id="b")
    receiving = asyncio.create_task(
        world.receiver.receive(silent(Header(running.task_id, 0), *chunks(DATA)))
    )
    await world.tasks.reported.wait()
    with pytest.raises(SluiceError) as early:
        await world.create(request_id="c")
    assert early.value.code == "TOO_MANY_UPLOADS"
    refusal = await refused(world, late, steps(Header(late.task_id, 0), *chunks(SMALL), finish()))
    assert refusal.code == "TOO_MANY_UPLOADS"
    assert int(refusal.metadata["retry_after_s"]) in range(RETRY_AFTER_S[0], RETRY_AFTER_S[1] + 1)
    while world.tasks.tasks[late.task_id].state != FAILED:  # noqa: ASYNC110
        await asyncio.sleep(0)
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    assert (await world.create(request_id="d")).state == TaskState.TASK_STATE_PENDING


async def test_cancelling_the_task_stops_the_stream() -> None:
    world = World()
    task = await world.create()

    async def stream() -> AsyncIterator[Step]:
        yield Header(task.task_id, 0)
        cancelled = world.tasks.tasks[task.task_id]
        cancelled.state = TaskState.TASK_STATE_CANCELLED
        cancelled.problem.CopyFrom(
            errors.problem(ErrorReason.ERROR_REASON_CANCELLED, "Cancelled by a person.")
        )
        for chunk in chunks(DATA):
            yield chunk
        await asyncio.Event().wait()

    assert (await refused(world, task, stream())).code == "STATE_CONFLICT"
    assert world.tasks.tasks[task.task_id].problem.message == "Cancelled by a person."
    assert world.nothing_is_stored()


async def test_a_task_that_is_cancelled_just_before_the_completion_leaves_no_object() -> None:
    world = World()
    task = await world.create()

    async def stream() -> AsyncIterator[Step]:
        yield Header(task.task_id, 0)
        yield Chunk(SMALL, None)
        world.tasks.tasks[task.task_id].state = TaskState.TASK_STATE_CANCELLED
        world.tasks.tasks[task.task_id].problem.code = ErrorReason.ERROR_REASON_CANCELLED
        yield finish()

    assert (await refused(world, task, stream())).code == "STATE_CONFLICT"
    assert world.nothing_is_stored()


async def test_a_broken_connection_while_the_process_stops_is_not_the_clients_fault() -> None:
    world = World()
    task = await world.create()
    receiving = asyncio.create_task(
        world.receiver.receive(silent(Header(task.task_id, 0), *chunks(DATA)))
    )
    await world.tasks.reported.wait()
    world.receiver.stop()
    receiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await receiving
    ended = world.tasks.tasks[task.task_id]
    assert (ended.state, errors.code_of(ended.problem.code)) == (FAILED, "SERVICE_UNAVAILABLE")
    assert world.nothing_is_stored()


async def test_an_unexpected_fault_fails_the_task_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World()
    task = await world.create()

    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(world.store, "put_part", broken)
    with pytest.raises(ZeroDivisionError):
        await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(DATA), finish()))
    ended = world.tasks.tasks[task.task_id]
    assert (ended.state, errors.code_of(ended.problem.code)) == (FAILED, "INTERNAL")
    assert world.nothing_is_stored()


async def upload_with(world: World, data: bytes) -> SluiceError | None:
    """Upload a file whose client disconnects at the planned call. Return the error."""
    sending = asyncio.create_task(_create_and_send(world, data))
    leaving = asyncio.create_task(world.faults.leave.wait())
    await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
    if leaving.done():
        sending.cancel()
    leaving.cancel()
    try:
        await sending
    except SluiceError as refusal:
        return refusal
    except asyncio.CancelledError:
        return None
    finally:
        await world.background.drain(5)
    return None


async def _create_and_send(world: World, data: bytes) -> None:
    task = await world.create()
    await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(data), finish(data)))


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["small", "multipart"])
@pytest.mark.parametrize("fault", ["before", "after", "outage", "leave"])
async def test_whichever_call_fails_the_upload_is_complete_or_removed(
    fault: Fault, data: bytes
) -> None:
    at, struck = 0, True
    while struck:
        at += 1
        world = World(Faults(at, fault))
        await upload_with(world, data)
        struck = world.faults.struck
        named = f"call {at}: {world.faults.calls}"
        world.faults.at = 0
        await world.sweeper.sweep()
        assert not world.store.multiparts, named
        for task in world.tasks.tasks.values():
            if task.state == TaskState.TASK_STATE_UPLOADED:
                assert world.store.objects == {task.file_uri: data}, named
            else:
                assert task.state in (REJECTED, CANCELLED, FAILED), named
                assert not world.store.objects, named
        assert world.tasks.tasks or at == 1, named
    assert at > 4
    assert [task.state for task in world.tasks.tasks.values()] == [TaskState.TASK_STATE_UPLOADED]


@pytest.mark.parametrize("data", [SMALL, DATA], ids=["small", "multipart"])
async def test_a_completion_whose_response_is_lost_is_recognized(data: bytes) -> None:
    world = World()
    task = await world.create()
    original = world.tasks.complete

    async def lost(task_id: str, size: int, sha256: bytes, writer: str) -> Task:
        await original(task_id, size, sha256, writer)
        raise errors.error(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "lost")

    world.tasks.complete = lost  # type: ignore[method-assign]
    done = await world.receiver.receive(steps(Header(task.task_id, 0), *chunks(data), finish(data)))
    assert done.state == TaskState.TASK_STATE_UPLOADED
    assert world.store.objects == {task.file_uri: data}


async def test_an_object_is_kept_while_its_task_may_be_uploaded() -> None:
    world = World()
    task = await world.create()

    async def away(*_: object) -> Task:
        raise errors.error(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "away")

    world.tasks.complete = away  # type: ignore[method-assign, assignment]
    back, world.tasks.end = world.tasks.end, away  # type: ignore[method-assign, assignment]
    refusal = await refused(world, task, steps(Header(task.task_id, 0), *chunks(SMALL), finish()))
    assert refusal.code == "SERVICE_UNAVAILABLE"
    assert world.store.objects == {task.file_uri: SMALL}
    world.tasks.end = back  # type: ignore[method-assign]
    await world.sweeper.sweep()
    assert world.tasks.tasks[task.task_id].state == CANCELLED
    assert world.nothing_is_stored()
