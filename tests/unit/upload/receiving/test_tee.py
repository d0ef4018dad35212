"""The tee sends bytes to validation as they arrive, and the upload never waits for it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import pytest

from services.common import errors
from services.upload.receiving import tee as tee_module
from services.upload.receiving.steps import Chunk, Finish, Header, Pause, Step
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.validation.v1.validation_pb2 import (
    EarlyFinding,
    EarlyVerdict,
    InspectRequest,
    InspectResponse,
    Verdict,
)
from tests.unit.upload.fakes import World, steps

CHUNK = 64 * 1024
DATA = bytes(range(256)) * (tee_module.FROM_BYTES // 256 + CHUNK // 256)
WRONG = errors.problem(ErrorReason.ERROR_REASON_NO_TIME_COLUMN, "No column holds times.")


class Reader:
    """ports.Validation: accepts all messages, a limited number, or none."""

    def __init__(self, takes: float = float("inf"), *, refuses: bool = False) -> None:
        self.takes = takes
        self.refuses = refuses
        self.messages: list[InspectRequest] = []
        self.calls = 0
        self.found = asyncio.Event()
        self.ended = asyncio.Event()

    async def inspect(
        self, messages: AsyncIterator[InspectRequest]
    ) -> AsyncGenerator[InspectResponse, None]:
        self.calls += 1
        try:
            if self.refuses:
                raise errors.error(ErrorReason.ERROR_REASON_INSPECTION_REFUSED, "no place")
            async for message in messages:
                self.messages.append(message)
                if len(self.messages) == 2:
                    yield InspectResponse(finding=EarlyFinding(problem=WRONG, received_size=CHUNK))
                    self.found.set()
                if len(self.messages) >= self.takes:
                    await asyncio.Event().wait()
            yield InspectResponse(verdict=EarlyVerdict(verdict=Verdict.VERDICT_PASSED))
        finally:
            self.ended.set()

    @property
    def bytes(self) -> bytes:
        return b"".join(message.chunk.data for message in self.messages)

    @property
    def finished(self) -> bool:
        return bool(self.messages) and self.messages[-1].WhichOneof("step") == "finish"


def chunks(data: bytes) -> list[Chunk]:
    return [Chunk(data[start : start + CHUNK], None) for start in range(0, len(data), CHUNK)]


async def slowly(*given: Step) -> AsyncIterator[Step]:
    """A stream that lets other tasks run between its messages."""
    for step in given:
        yield step
        for _ in range(3):
            await asyncio.sleep(0)


async def test_all_bytes_are_sent_and_then_the_finish() -> None:
    reader = Reader()
    world = World(validation=reader)
    task = await world.create()
    done = await world.receiver.receive(
        slowly(Header(task.task_id, 0), *chunks(DATA), Finish(None, b""))
    )
    await reader.ended.wait()
    assert done.state == TaskState.TASK_STATE_UPLOADED
    header = reader.messages[0].header
    assert (header.task_id, header.filename) == (task.task_id, task.filename)
    assert reader.bytes == DATA
    assert reader.finished
    assert reader.messages[-1].finish.file_size == len(DATA)


async def test_the_finish_is_sent_before_the_task_is_uploaded() -> None:
    reader = Reader()
    world = World(validation=reader)
    task = await world.create()
    complete = world.tasks.complete
    handed: list[bool] = []

    async def completed(*given: object) -> object:
        await reader.ended.wait()
        handed.append(reader.finished)
        return await complete(*given)  # type: ignore[arg-type]

    world.tasks.complete = completed  # type: ignore[assignment, method-assign]
    await world.receiver.receive(slowly(Header(task.task_id, 0), *chunks(DATA), Finish(None, b"")))
    assert handed == [True]


async def test_a_small_file_is_not_inspected() -> None:
    reader = Reader()
    world = World(validation=reader)
    task = await world.create()
    await world.receiver.receive(
        slowly(
            Header(task.task_id, 0), *chunks(DATA[: tee_module.FROM_BYTES - 1]), Finish(None, b"")
        )
    )
    assert reader.calls == 0


@pytest.mark.parametrize(
    "reader", [Reader(takes=1), Reader(refuses=True)], ids=["stands still", "refuses"]
)
async def test_a_slow_validation_does_not_delay_the_upload(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tee_module, "WAITING_BYTES", tee_module.FROM_BYTES)
    world = World(validation=reader)
    task = await world.create()
    async with asyncio.timeout(10):
        done = await world.receiver.receive(
            slowly(Header(task.task_id, 0), *chunks(DATA + DATA), Finish(None, b""))
        )
        await reader.ended.wait()
    assert done.state == TaskState.TASK_STATE_UPLOADED
    assert world.store.objects[task.file_uri] == DATA + DATA
    assert not reader.finished


async def test_a_fast_connection_ends_the_tee(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tee_module, "RATED_FROM_BYTES", tee_module.FROM_BYTES)
    now = 0.0
    monkeypatch.setattr(tee_module, "monotonic", lambda: now)
    finished = []
    for bytes_per_s in (tee_module.FASTEST_BYTES_PER_S * 0.9, tee_module.FASTEST_BYTES_PER_S * 1.1):
        now = 0.0
        reader = Reader()
        world = World(validation=reader)
        task = await world.create()

        async def arriving(
            task_id: str = task.task_id, bytes_per_s: float = bytes_per_s
        ) -> AsyncIterator[Step]:
            nonlocal now
            yield Header(task_id, 0)
            for chunk in chunks(DATA + DATA):
                now += len(chunk.data) / bytes_per_s
                yield chunk
                await asyncio.sleep(0)
            yield Finish(None, b"")

        done = await world.receiver.receive(arriving())
        await reader.ended.wait()
        assert done.state == TaskState.TASK_STATE_UPLOADED
        finished.append(reader.finished)
    assert finished == [True, False]


async def test_a_pause_ends_the_tee_and_a_resumed_upload_has_none() -> None:
    reader = Reader()
    world = World(validation=reader)
    task = await world.create(upload_mode=UploadMode.UPLOAD_MODE_RESUMABLE)
    paused = await world.receiver.receive(slowly(Header(task.task_id, 0), *chunks(DATA), Pause()))
    await reader.ended.wait()
    assert not reader.finished
    handed = len(reader.messages)
    done = await world.receiver.receive(
        steps(Header(task.task_id, paused.received_size), *chunks(DATA), Finish(None, b""))
    )
    assert done.state == TaskState.TASK_STATE_UPLOADED
    assert (reader.calls, len(reader.messages)) == (1, handed)


async def test_findings_are_in_the_next_report(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader()
    world = World(validation=reader)
    task = await world.create()
    monkeypatch.setattr("services.upload.receiving.receiver.REPORT_INTERVAL_S", 0.01)
    monkeypatch.setattr("services.upload.receiving.receiver.HEARTBEAT_S", 0.01)

    async def until_told() -> AsyncIterator[Step]:
        async for step in slowly(Header(task.task_id, 0), *chunks(DATA)):
            yield step
        await reader.found.wait()
        while not world.tasks.findings:
            world.tasks.reported.clear()
            await world.tasks.reported.wait()
        yield Finish(None, b"")

    async with asyncio.timeout(10):
        await world.receiver.receive(until_told())
    assert world.tasks.findings == [WRONG]


async def test_all_tees_end_with_the_service() -> None:
    reader = Reader(takes=1)
    world = World(validation=reader)
    task = await world.create()
    running = asyncio.create_task(
        world.receiver.receive(slowly(Header(task.task_id, 0), *chunks(DATA), Finish(None, b"")))
    )
    await running
    await world.tees.close()
    assert reader.ended.is_set()
