"""Many streams while the status service is slow: all slots are used, and the others are rejected at
once.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from services.common import errors
from services.common.errors import SluiceError
from services.upload.receiving.admission import Admission, Limits
from services.upload.receiving.steps import Chunk, Finish, Header, Step
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.status.v1.status_pb2 import Task
from tests.unit.upload.fakes import FakeTasks, World, steps
from tests.unit.upload.receiving.test_takeover import quiet

SLOTS = 64
STREAMS = 150
GAP_S = 1 / 200
LATENCY_S = 0.5
DATA = b"date,amount\n2026-01-01,3\n"


class SlowTasks:
    """FakeTasks with the latency of an overloaded status service."""

    def __init__(self, tasks: FakeTasks, latency_s: float) -> None:
        self._tasks, self.latency_s = tasks, latency_s
        self.answered: dict[str, list[str]] = {}
        """The finished calls of each task."""

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._tasks, name)

        async def slowly(*given: Any, **named: Any) -> Any:
            await asyncio.sleep(self.latency_s)
            answer = await call(*given, **named)
            self.answered.setdefault(given[0], []).append(name)
            return answer

        return slowly


@dataclass
class Sent:
    """How a stream ended, and the calls made until it was rejected."""

    task: Task | None = None
    refusal: SluiceError | None = None
    asked: tuple[str, ...] = ()


class Crowd:
    """Streams that start one after the other and hold their slots until `end` is set."""

    def __init__(self, **settings: Any) -> None:
        many = {"max_concurrent_uploads": SLOTS, "max_concurrent_uploads_per_client": SLOTS}
        self.world = World(**{**many, **settings})
        self.slow = SlowTasks(self.world.tasks, 0)
        self.end = asyncio.Event()
        self.running: list[asyncio.Task[Sent]] = []

    async def tasks(self, count: int, **changes: Any) -> list[Task]:
        return [await self.world.create(request_id=f"r{n}", **changes) for n in range(count)]

    def slow_down(self, latency_s: float = LATENCY_S) -> None:
        self.slow = SlowTasks(self.world.tasks, latency_s)
        self.world.receiver._tasks = self.slow
        self.world.receiver._outcome._tasks = self.slow

    async def come(self, upload_ids: list[str]) -> None:
        for upload_id in upload_ids:
            self.running.append(asyncio.create_task(self._send(upload_id)))
            await asyncio.sleep(GAP_S)

    async def _send(self, upload_id: str) -> Sent:
        try:
            return Sent(await self.world.receiver.receive(self._steps(upload_id)))
        except SluiceError as refusal:
            return Sent(None, refusal, tuple(self.slow.answered.get(upload_id, ())))

    async def _steps(self, upload_id: str) -> AsyncIterator[Step]:
        yield Header(upload_id, 0)
        yield Chunk(DATA, None)
        await self.end.wait()
        yield Finish(len(DATA), b"")

    async def ends(self) -> list[Sent]:
        """Return all streams; the valid ones end when all others were rejected."""
        async with asyncio.timeout(60):
            while sum(not each.done() for each in self.running) > SLOTS:  # noqa: ASYNC110
                await asyncio.sleep(GAP_S)
        self.end.set()
        return await asyncio.gather(*self.running)


async def test_all_slots_are_used_however_slow_the_status_service_is() -> None:
    crowd = Crowd()
    tasks = await crowd.tasks(STREAMS)
    crowd.slow_down()
    await crowd.come([task.task_id for task in tasks])
    sent = await crowd.ends()
    uploaded = [each for each in sent if each.task is not None]
    refused = [each for each in sent if each.refusal is not None]
    assert (len(uploaded), len(refused)) == (SLOTS, STREAMS - SLOTS)
    assert {each.refusal.code for each in refused if each.refusal} == {"TOO_MANY_UPLOADS"}
    # Rejected after one call, without waiting for the end of its task.
    assert {each.asked for each in refused} <= {(), ("get",)}
    waits = [int(each.refusal.metadata["retry_after_s"]) for each in refused if each.refusal]
    assert (min(waits) >= 1, len(set(waits)) > 2) == (True, True)
    await crowd.world.background.drain(5)
    states = [task.state for task in crowd.world.tasks.tasks.values()]
    assert states.count(TaskState.TASK_STATE_UPLOADED) == SLOTS
    assert states.count(TaskState.TASK_STATE_FAILED) == STREAMS - SLOTS


async def test_invalid_streams_do_not_block_valid_ones() -> None:
    crowd = Crowd()
    tasks = await crowd.tasks(STREAMS)
    closed = tasks[SLOTS:]
    for task in closed:
        crowd.world.tasks.tasks[task.task_id].state = TaskState.TASK_STATE_CANCELLED
    crowd.slow_down()
    # Two closed uploads before each valid one, so that more arrive within the latency than there
    # are slots.
    bad, good = iter(closed), iter(tasks[:SLOTS])
    order: list[str] = []
    for task in good:
        order += [each.task_id for each in (next(bad, None), next(bad, None), task) if each]
    await crowd.come(order)
    sent = await crowd.ends()
    assert sum(each.task is not None for each in sent) == SLOTS
    codes = {each.refusal.code for each in sent if each.refusal is not None}
    assert codes == {"UPLOAD_CLOSED"}


async def test_the_limit_per_client_holds_while_its_streams_wait_for_a_slot() -> None:
    crowd = Crowd(max_concurrent_uploads_per_client=5)
    tasks = await crowd.tasks(20, client="one")
    other = await crowd.world.create(request_id="other", client="two")
    crowd.slow_down()
    await crowd.come([*(task.task_id for task in tasks), other.task_id])
    async with asyncio.timeout(30):
        while sum(each.done() for each in crowd.running) < 15:  # noqa: ASYNC110
            await asyncio.sleep(GAP_S)
    crowd.end.set()
    sent = await asyncio.gather(*crowd.running)
    assert sum(each.task is not None for each in sent[:-1]) == 5
    assert sent[-1].task is not None
    assert all("from one client" in str(each.refusal) for each in sent if each.refusal)


async def test_a_full_server_rejects_without_calls() -> None:
    crowd = Crowd(max_concurrent_uploads=1)
    first, late = await crowd.tasks(2)
    await crowd.come([first.task_id])
    await quiet()
    crowd.slow_down(60)
    async with asyncio.timeout(5):
        with pytest.raises(SluiceError) as refused:
            await crowd.world.receiver.receive(steps(Header(late.task_id, 0)))
    assert refused.value.code == "TOO_MANY_UPLOADS"
    await crowd.world.background.drain(0)


async def test_the_task_of_a_rejected_stream_ends_with_the_reason() -> None:
    crowd = Crowd(max_concurrent_uploads=1)
    first, late = await crowd.tasks(2)
    await crowd.come([first.task_id])
    await quiet()
    with pytest.raises(SluiceError):
        await crowd.world.receiver.receive(steps(Header(late.task_id, 0), Chunk(DATA, None)))
    await quiet()
    ended = crowd.world.tasks.tasks[late.task_id]
    assert ended.state == TaskState.TASK_STATE_FAILED
    assert errors.code_of(ended.problem.code) == "TOO_MANY_UPLOADS"
    crowd.end.set()
    (sent,) = await asyncio.gather(*crowd.running)
    assert sent.task is not None


@pytest.mark.parametrize("given", [[], [Finish(None, b"")]], ids=["gone", "empty"])
async def test_a_stream_without_bytes_releases_its_slot_before_its_task_ends(
    given: list[Step],
) -> None:
    crowd = Crowd(max_concurrent_uploads=1)
    bad, good = await crowd.tasks(2)
    end = crowd.world.tasks.end
    told = asyncio.Event()

    async def slowly(*said: Any, **named: Any) -> Task:
        await told.wait()
        return await end(*said, **named)

    crowd.world.tasks.end = slowly  # type: ignore[method-assign]
    refusing = asyncio.create_task(
        crowd.world.receiver.receive(steps(Header(bad.task_id, 0), *given))
    )
    await quiet()
    assert not refusing.done()
    whole = steps(Header(good.task_id, 0), Chunk(DATA, None), Finish(None, b""))
    done = await crowd.world.receiver.receive(whole)
    assert done.state == TaskState.TASK_STATE_UPLOADED
    told.set()
    with pytest.raises(SluiceError):
        await refusing


@pytest.mark.parametrize(
    "mode", [UploadMode.UPLOAD_MODE_ONE_SHOT, UploadMode.UPLOAD_MODE_RESUMABLE]
)
async def test_all_streams_of_an_upload_share_a_slot(
    mode: "UploadMode.ValueType",
) -> None:
    world = World(max_concurrent_uploads=1, max_concurrent_uploads_per_client=1)
    task = await world.create(upload_mode=mode)

    async def broken() -> AsyncIterator[Step]:
        yield Header(task.task_id, 0)
        yield Chunk(DATA, None)
        await asyncio.Event().wait()

    receiving = asyncio.create_task(world.receiver.receive(broken()))
    await quiet()
    again = steps(Header(task.task_id, 0), Chunk(DATA, None), Finish(len(DATA), b""))
    if mode == UploadMode.UPLOAD_MODE_RESUMABLE:
        with pytest.raises(SluiceError) as mismatch:
            await world.receiver.receive(again)
        assert mismatch.value.metadata == {"expected_offset": str(len(DATA))}
        again = steps(Header(task.task_id, len(DATA)), Finish(len(DATA), b""))
    done = await world.receiver.receive(again)
    with pytest.raises(SluiceError) as replaced:
        await receiving
    assert (replaced.value.code, done.state) == ("WRITER_REPLACED", TaskState.TASK_STATE_UPLOADED)
    other = await world.create(request_id="other")
    whole = steps(Header(other.task_id, 0), Chunk(DATA, None), Finish(None, b""))
    assert (await world.receiver.receive(whole)).state == TaskState.TASK_STATE_UPLOADED


async def test_a_rejection_does_not_end_an_upload_of_another_process() -> None:
    world = World(max_concurrent_uploads=1)
    here, there = await world.create(request_id="a"), await world.create(request_id="b")
    elsewhere = world.new_receiver()
    go_on = asyncio.Event()

    async def slowly(task: Task) -> AsyncIterator[Step]:
        yield Header(task.task_id, 0)
        yield Chunk(DATA, None)
        await go_on.wait()
        yield Finish(None, b"")

    receiving = [
        asyncio.create_task(world.receiver.receive(slowly(here))),
        asyncio.create_task(elsewhere.receive(slowly(there))),
    ]
    await quiet()
    with pytest.raises(SluiceError) as refused:
        await world.receiver.receive(steps(Header(there.task_id, 0), Chunk(DATA, None)))
    assert refused.value.code == "TOO_MANY_UPLOADS"
    await quiet()
    go_on.set()
    states = {task.state for task in await asyncio.gather(*receiving)}
    assert states == {TaskState.TASK_STATE_UPLOADED}


@pytest.mark.parametrize("sizes", [[5, 5], [10]], ids=["at the limit", "one file of any size"])
@pytest.mark.parametrize("whose", ["total", "per client"])
def test_the_limit_of_bytes_may_be_reached_and_not_exceeded(whose: str, sizes: list[int]) -> None:
    tight, wide = Limits(10, 10), Limits(10, 1_000)
    admission = Admission(*((tight, wide) if whose == "total" else (wide, tight)))
    slots = [admission.take("client", size) for size in sizes]
    other = "client" if whose == "per client" else "another client"
    with pytest.raises(
        SluiceError, match=r"limit of bytes .* is 10; 10 are being received"
    ) as full:
        admission.take(other, 1)
    assert full.value.code == "TOO_MANY_UPLOADS"
    assert ("from one client" in str(full.value)) == (whose == "per client")
    if whose == "per client":
        admission.take("another client", 10)
    admission.give_back(slots[0])
    admission.take(other, sizes[0])


def test_a_file_of_any_size_is_accepted_alone() -> None:
    admission = Admission(Limits(10, 10), Limits(10, 10))
    slot = admission.take("client", 1_000)
    with pytest.raises(SluiceError):
        admission.take("another client", 1)
    admission.give_back(slot)
    admission.take("another client", 1)


def test_bytes_beyond_the_announced_size_count() -> None:
    admission = Admission(Limits(10, 10), Limits(10, 10))
    slot = admission.take("client", 0)
    admission.check("client", 10)
    slot.received = 6
    admission.check("client", 4)
    with pytest.raises(SluiceError):
        admission.check("client", 5)
