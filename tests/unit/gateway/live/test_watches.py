"""Followers share one watch of a task; each gets every event exactly once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest
from prometheus_client import Gauge

from gateway.live import watches as watching
from gateway.live.watches import Watches
from services.common.backoff import Backoff
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import Task, TaskEvent, WatchTaskResponse
from tests.unit.gateway.edge_fakes import TASK_ID, FakeTasks

RUNNING, ENDED = TaskState.TASK_STATE_VALIDATING, TaskState.TASK_STATE_SUCCEEDED


def task_event(sequence: int, state: "TaskState.ValueType" = RUNNING) -> WatchTaskResponse:
    """An event as the status service streams it."""
    event = TaskEvent(task_id=TASK_ID, sequence=sequence, state=state)
    return WatchTaskResponse(
        event=event, task=Task(task_id=TASK_ID, state=state, last_sequence=sequence)
    )


def fail(reason: "ErrorReason.ValueType") -> SluiceError:
    return error(reason, "Away.")


def all_watches(tasks: FakeTasks) -> Watches:
    return Watches(tasks, Gauge("open_watches", "For tests.", registry=None))


async def sequences(watches: Watches, start: int = 1, idle_s: float = 5) -> list[int]:
    """The sequence numbers that a follower gets."""
    async with aclosing(watches.follow(TASK_ID, start, idle_s)) as events:
        return [item.event.sequence async for item in events if item is not None]


@pytest.fixture(autouse=True)
def _fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "RETRY", Backoff(0.001, 3))


async def test_followers_share_a_watch_from_any_start() -> None:
    tasks = FakeTasks([task_event(1), task_event(2), task_event(3), task_event(4, ENDED)])
    watches = all_watches(tasks)
    found = await asyncio.gather(sequences(watches), sequences(watches), sequences(watches, 3))
    assert list(found) == [[1, 2, 3, 4], [1, 2, 3, 4], [3, 4]]
    assert tasks.watched_from == [1]


@pytest.mark.parametrize(
    "reason",
    [
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE,
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        ErrorReason.ERROR_REASON_CANCELLED,
    ],
)
async def test_a_broken_watch_resumes_at_its_position(reason: "ErrorReason.ValueType") -> None:
    tasks = FakeTasks(
        [task_event(1), task_event(2), fail(reason)], [fail(reason)], [task_event(3, ENDED)]
    )
    assert await sequences(all_watches(tasks)) == [1, 2, 3]
    assert tasks.watched_from == [1, 3, 3]


async def test_a_stream_that_ends_before_the_task_is_resumed() -> None:
    tasks = FakeTasks([task_event(1)], [task_event(2, ENDED)])
    assert await sequences(all_watches(tasks)) == [1, 2]


async def test_a_stream_without_events_is_the_end() -> None:
    tasks = FakeTasks([])
    assert await sequences(all_watches(tasks), 9 + watching.KEPT_EVENTS) == []
    assert tasks.watched_from == [9]


async def test_a_permanent_failure_reaches_every_follower() -> None:
    watches = all_watches(FakeTasks([task_event(1), fail(ErrorReason.ERROR_REASON_TASK_NOT_FOUND)]))

    async def follow() -> str:
        with pytest.raises(SluiceError) as failure:
            await sequences(watches)
        return failure.value.code

    assert list(await asyncio.gather(follow(), follow())) == ["TASK_NOT_FOUND"] * 2


async def test_retries_end_when_their_budget_is_used_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "RETRY_BUDGET_S", 0.0)
    with pytest.raises(SluiceError) as failure:
        await sequences(
            all_watches(FakeTasks([fail(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE)]))
        )
    assert failure.value.code == "SERVICE_UNAVAILABLE"


async def test_a_watch_without_followers_ends_at_its_deadline() -> None:
    class Endless(FakeTasks):
        deadline = asyncio.Event()

        async def watch(
            self, task_id: str, from_sequence: int, timeout_s: float
        ) -> AsyncIterator[WatchTaskResponse]:
            self.watched_from.append(from_sequence)
            yield task_event(from_sequence)
            await self.deadline.wait()
            raise fail(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED)

    tasks = Endless()
    watches = all_watches(tasks)
    async with aclosing(watches.follow(TASK_ID, 1, 5)) as events:
        assert await anext(events) is not None
    (running,) = [task for task in asyncio.all_tasks() if task.get_name() == "watch"]
    tasks.deadline.set()
    async with asyncio.timeout(5):
        await running
    assert tasks.watched_from == [1]


async def test_an_earlier_follower_shares_the_events_that_the_watch_holds() -> None:
    tasks = FakeTasks([task_event(1), task_event(2), task_event(3), task_event(4, ENDED)])
    watches = all_watches(tasks)
    found = await asyncio.gather(
        sequences(watches, 4), sequences(watches, 1), sequences(watches, 3)
    )
    assert list(found) == [[4], [1, 2, 3, 4], [3, 4]]
    assert tasks.watched_from == [1]


async def test_an_earlier_follower_reads_missing_events_separately(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "KEPT_EVENTS", 2)
    tasks = FakeTasks(
        [task_event(2), task_event(3), task_event(4), None],
        [task_event(1), task_event(2), task_event(3), task_event(4)],
    )
    watches = all_watches(tasks)
    async with (
        aclosing(watches.follow(TASK_ID, 4, 5)) as late,
        aclosing(watches.follow(TASK_ID, 1, 5)) as early,
    ):
        first = await anext(late)
        assert first is not None
        assert first.event == task_event(4).event
        seen = [item.event.sequence for _ in range(4) if (item := await anext(early)) is not None]
    assert seen == [1, 2, 3, 4]
    assert tasks.watched_from == [2, 1]
    await watches.close()


async def test_followers_share_serialized_events() -> None:
    watches = all_watches(FakeTasks([task_event(1, ENDED)]))

    async def follow() -> list[watching.WatchedEvent | None]:
        async with aclosing(watches.follow(TASK_ID, 1, 5)) as events:
            return [item async for item in events]

    (one,), (other,) = await asyncio.gather(follow(), follow())
    assert one is other


async def test_a_slow_follower_misses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "KEPT_EVENTS", 4)
    history = [task_event(number) for number in range(1, 20)] + [task_event(20, ENDED)]

    class WithHistory(FakeTasks):
        async def watch(
            self, task_id: str, from_sequence: int, timeout_s: float
        ) -> AsyncIterator[WatchTaskResponse]:
            self.watched_from.append(from_sequence)
            for item in history[from_sequence - 1 :]:
                yield item

    tasks = WithHistory()
    watches = all_watches(tasks)
    seen = []
    async with aclosing(watches.follow(TASK_ID, 1, 5)) as events:
        async for item in events:
            assert item is not None
            seen.append(item.event.sequence)
            for _ in range(30):
                await asyncio.sleep(0)
    assert seen == list(range(1, 21))
    assert len(tasks.watched_from) > 1


async def test_silence_is_reported() -> None:
    watches = all_watches(FakeTasks([None]))
    async with aclosing(watches.follow(TASK_ID, 1, 0.001)) as events:
        assert [await anext(events), await anext(events)] == [None, None]
    await watches.close()


async def test_shutdown_ends_every_stream() -> None:
    watches = all_watches(FakeTasks([task_event(1), None]))
    async with aclosing(watches.follow(TASK_ID, 1, 5)) as events:
        first = await anext(events)
        assert first is not None
        closing = asyncio.create_task(watches.close())
        assert [item async for item in events] == []
        await closing
    assert await sequences(watches) == []
