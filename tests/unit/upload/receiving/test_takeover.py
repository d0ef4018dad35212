"""Takeover of an upload: only a stream with the next bytes replaces an active one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import pytest

from services.common.errors import SluiceError
from services.upload.receiving.receiver import Receiver
from services.upload.receiving.steps import Abort, Chunk, Finish, Header, Pause, Step
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.status.v1.status_pb2 import Task
from tests.unit.upload.fakes import PART, World, silent, steps

ONE_SHOT, RESUMABLE = UploadMode.UPLOAD_MODE_ONE_SHOT, UploadMode.UPLOAD_MODE_RESUMABLE
PENDING, UPLOADED = TaskState.TASK_STATE_PENDING, TaskState.TASK_STATE_UPLOADED
DATA = bytes(range(256)) * (PART // 128)
CUT = PART + 1000
ABORT = Abort(Problem(code=ErrorReason.ERROR_REASON_SECOND_FILE))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110 - the fakes tell nobody of their changes
            await asyncio.sleep(0.01)


async def quiet() -> None:
    """Let all tasks run until they wait; the calls of the fakes take no time."""
    for _ in range(100):
        await asyncio.sleep(0)


class Line:
    """A stream whose messages the test controls."""

    def __init__(self) -> None:
        self._steps: asyncio.Queue[Step] = asyncio.Queue()

    def send(self, *given: Step) -> None:
        for step in given:
            self._steps.put_nowait(step)

    async def __aiter__(self) -> AsyncIterator[Step]:
        while True:
            yield await self._steps.get()


class Live:
    """An upload with an active stream that the test controls."""

    def __init__(self, world: World, task: Task) -> None:
        self.world, self.task, self.line = world, task, Line()
        self.running = asyncio.create_task(world.receiver.receive(aiter(self.line)))

    @classmethod
    async def begun(
        cls, mode: "UploadMode.ValueType", size: int = len(DATA), sent: int = CUT
    ) -> "Live":
        world = World()
        live = cls(world, await world.create(upload_mode=mode, size=size))
        live.line.send(Header(live.task.task_id, 0), Chunk(DATA[:sent], None))
        await until(lambda: any(world.store.multiparts.values()))
        return live

    async def is_received_whole(self) -> bool:
        assert self.world.tasks.tasks[self.task.task_id].state == PENDING
        self.line.send(Chunk(DATA[CUT:], None), Finish(len(DATA), b""))
        done = await self.running
        return done.state == UPLOADED and self.world.store.objects == {self.task.file_uri: DATA}


At = Callable[[Live], Receiver]
SAME: At = lambda live: live.world.receiver  # noqa: E731
OTHER: At = lambda live: live.world.new_receiver()  # noqa: E731
PROCESSES = pytest.mark.parametrize("at", [SAME, OTHER], ids=["same process", "another process"])


@PROCESSES
@pytest.mark.parametrize(
    ("mode", "offset", "given", "code"),
    [
        (ONE_SHOT, 0, [], "CLIENT_GONE"),
        (ONE_SHOT, 0, [Finish(None, b"")], "FILE_EMPTY"),
        (ONE_SHOT, 0, [Finish(0, b"")], "FILE_EMPTY"),
        (ONE_SHOT, 0, [ABORT], "SECOND_FILE"),
        (ONE_SHOT, 0, [Pause()], "REQUEST_INVALID"),
        (ONE_SHOT, 0, [Header("", 0)], "REQUEST_INVALID"),
        (ONE_SHOT, 7, [Chunk(b"x", None)], "OFFSET_MISMATCH"),
        (RESUMABLE, PART, [], "CLIENT_GONE"),
        (RESUMABLE, PART, [Header("", 0)], "REQUEST_INVALID"),
        (RESUMABLE, 7, [Chunk(b"x", None)], "OFFSET_MISMATCH"),
        (RESUMABLE, 10 * PART, [Chunk(b"x", None), Pause()], "OFFSET_MISMATCH"),
    ],
)
async def test_a_stream_without_valid_bytes_does_not_affect_an_active_upload(
    at: At, mode: "UploadMode.ValueType", offset: int, given: list[Step], code: str
) -> None:
    live = await Live.begun(mode)
    with pytest.raises(SluiceError) as refused:
        await at(live).receive(steps(Header(live.task.task_id, offset), *given))
    await quiet()
    assert refused.value.code == code
    assert await live.is_received_whole()


@pytest.mark.parametrize(
    ("given", "code"), [(Finish(None, b""), "STATE_CONFLICT"), (ABORT, "SECOND_FILE")]
)
async def test_an_end_without_bytes_does_not_end_an_active_upload(given: Step, code: str) -> None:
    live = await Live.begun(RESUMABLE)
    with pytest.raises(SluiceError) as refused:
        await live.world.receiver.receive(steps(Header(live.task.task_id, PART), given))
    assert refused.value.code == code
    assert await live.is_received_whole()


@PROCESSES
async def test_an_early_finish_does_not_affect_an_active_upload(at: At) -> None:
    live = await Live.begun(RESUMABLE)
    with pytest.raises(SluiceError):
        await at(live).receive(steps(Header(live.task.task_id, PART), Finish(None, b"")))
    assert await live.is_received_whole()


@PROCESSES
async def test_a_pause_without_bytes_returns_the_stored_size(at: At) -> None:
    live = await Live.begun(RESUMABLE)
    found = await at(live).receive(steps(Header(live.task.task_id, PART), Pause()))
    assert (found.state, found.received_size) == (PENDING, PART)
    assert await live.is_received_whole()


@PROCESSES
@pytest.mark.parametrize(("mode", "offset"), [(ONE_SHOT, 0), (RESUMABLE, PART)])
async def test_a_silent_stream_that_disconnects_does_not_affect_an_active_upload(
    at: At, mode: "UploadMode.ValueType", offset: int
) -> None:
    live = await Live.begun(mode)
    asking = asyncio.create_task(at(live).receive(silent(Header(live.task.task_id, offset))))
    await quiet()
    asking.cancel()
    with suppress(asyncio.CancelledError):
        await asking
    await quiet()
    assert await live.is_received_whole()


@pytest.mark.parametrize("mode", [ONE_SHOT, RESUMABLE])
async def test_reads_do_not_affect_an_active_upload(
    mode: "UploadMode.ValueType",
) -> None:
    live = await Live.begun(mode)
    writer = dict(live.world.tasks.writers)
    stored = PART if mode == RESUMABLE else 0
    for _ in range(3):
        task, committed = await live.world.uploads.get(live.task.task_id)
        assert (task.state, committed) == (PENDING, stored)
    assert live.world.tasks.writers == writer
    assert await live.is_received_whole()


async def test_a_waiting_stream_continues_when_the_active_one_breaks() -> None:
    live = await Live.begun(RESUMABLE)
    line = Line()
    line.send(Header(live.task.task_id, PART))
    next_one = asyncio.create_task(live.world.receiver.receive(aiter(line)))
    await quiet()
    live.running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await live.running
    line.send(Chunk(DATA[PART:], None), Finish(None, b""))
    # The other stream has stored its last bytes, more than were known before.
    with pytest.raises(SluiceError) as mismatch:
        await next_one
    assert mismatch.value.metadata == {"expected_offset": str(CUT)}
    rest = steps(Header(live.task.task_id, CUT), Chunk(DATA[CUT:], None), Finish(None, b""))
    assert (await live.world.receiver.receive(rest)).state == UPLOADED
    assert live.world.store.objects == {live.task.file_uri: DATA}


async def test_a_stored_file_can_be_finished_while_a_stream_is_open() -> None:
    live = await Live.begun(RESUMABLE, PART, sent=PART)
    rest = steps(Header(live.task.task_id, PART), Finish(None, b""))
    done = await live.world.receiver.receive(rest)
    assert (done.state, live.world.store.objects) == (UPLOADED, {live.task.file_uri: DATA[:PART]})
    with pytest.raises(SluiceError) as replaced:
        await live.running
    assert replaced.value.code == "WRITER_REPLACED"


async def test_the_newest_stream_with_bytes_replaces_waiting_ones() -> None:
    live = await Live.begun(ONE_SHOT)
    waiting = [
        asyncio.create_task(live.world.receiver.receive(silent(Header(live.task.task_id, 0))))
        for _ in range(3)
    ]
    await quiet()
    done = await live.world.receiver.receive(
        steps(Header(live.task.task_id, 0), Chunk(DATA, None), Finish(len(DATA), b""))
    )
    ended: Awaitable[list[Task | BaseException]] = asyncio.gather(
        live.running, *waiting, return_exceptions=True
    )
    codes = [found.code for found in await ended if isinstance(found, SluiceError)]
    assert (done.state, len(codes)) == (UPLOADED, 4)
    assert set(codes) <= {"WRITER_REPLACED", "UPLOAD_CLOSED"}
    assert live.world.store.objects == {live.task.file_uri: DATA}
