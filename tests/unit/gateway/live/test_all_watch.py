"""However the shared stream of all tasks ends, every follower notices."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from gateway.live import all_watch, watches
from gateway.live.all_watch import AllWatch
from services.common.backoff import Backoff
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1.status_pb2 import Task, TaskEvent, WatchTasksRequest, WatchTasksResponse
from tests.unit.gateway.edge_fakes import TASK_ID, FakeTasks

AWAY = error(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "Away.")
OVER = error(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, "Over.")

Step = int | BaseException
"""The position of an event, or the failure of the call."""


def task_event(position: int) -> WatchTasksResponse:
    event = TaskEvent(task_id=TASK_ID, position=position)
    return WatchTasksResponse(event=event, task=Task(task_id=TASK_ID, datasource="sales"))


Events = AsyncIterator[WatchTasksResponse]


class Scripted(FakeTasks):
    """Each call plays the next script and ends; further calls repeat the last one."""

    def __init__(self, *calls: list[Step]) -> None:
        super().__init__()
        self.calls = list(calls)
        self.asked_from: list[int] = []

    async def watch_all(self, request: WatchTasksRequest, timeout_s: float) -> Events:
        self.asked_from.append(request.from_position)
        for step in self.calls.pop(0) if len(self.calls) > 1 else self.calls[0]:
            await asyncio.sleep(0)
            if isinstance(step, BaseException):
                raise step
            yield task_event(step)


@pytest.fixture(autouse=True)
def _fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (all_watch, watches):
        monkeypatch.setattr(module, "RETRY", Backoff(0.001, 0.01))


async def follow(watch: AllWatch, count: int) -> list[int]:
    """The positions of the next events."""
    seen: list[int] = []
    async with asyncio.timeout(5), aclosing(watch.follow("", 1)) as events:
        async for item in events:
            seen += [item[0].position] if item else []
            if len(seen) == count:
                break
    return seen


async def error_code(watch: AllWatch) -> str:
    """The code of the error that a follower gets."""
    with pytest.raises(SluiceError) as failure:
        await follow(watch, 1000)
    return failure.value.code


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (KeyError("state"), "INTERNAL"),
        (asyncio.CancelledError(), "SERVICE_UNAVAILABLE"),
        (error(ErrorReason.ERROR_REASON_INTERNAL, "A bug."), "INTERNAL"),
        (error(ErrorReason.ERROR_REASON_REQUEST_INVALID, "No."), "REQUEST_INVALID"),
    ],
    ids=["bug here", "call cancelled", "bug there", "refused"],
)
async def test_a_permanent_failure_reaches_every_follower(fault: Step, code: str) -> None:
    watch = AllWatch(Scripted([1, 2, fault], [7, 8, 9, AWAY]))
    assert list(await asyncio.gather(error_code(watch), error_code(watch))) == [code, code]
    assert await follow(watch, 3) == [7, 8, 9]
    await watch.close()


async def test_a_service_that_stays_unavailable_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(all_watch, "RETRY_BUDGET_S", 0.05)
    watch = AllWatch(Scripted([1], [AWAY]))
    assert await error_code(watch) == "SERVICE_UNAVAILABLE"
    await watch.close()


async def test_a_broken_stream_resumes_after_the_last_event() -> None:
    tasks = Scripted([4, OVER], [OVER], [5, AWAY], [AWAY], [6, 9, AWAY], [10, AWAY])
    watch = AllWatch(tasks)
    assert await follow(watch, 5) == [4, 5, 6, 9, 10]
    assert tasks.asked_from == [0, 5, 5, 6, 6, 10]
    await watch.close()


async def test_an_ended_stream_is_retried_with_backoff() -> None:
    tasks = Scripted([4], [])
    watch = AllWatch(tasks)
    following = asyncio.create_task(follow(watch, 2))
    await asyncio.wait([following], timeout=0.2)
    assert 2 < len(tasks.asked_from) < 100
    assert set(tasks.asked_from) == {0, 5}
    await watch.close()
    assert await following == [4]


async def test_a_gap_of_unknown_size_is_an_error() -> None:
    """Before the first event, there is no position to resume from, so events are lost."""
    watch = AllWatch(Scripted([OVER], [AWAY], [8]))
    assert await error_code(watch) == "SERVICE_UNAVAILABLE"
    await watch.close()


async def test_shutdown_ends_every_stream() -> None:
    class Silent(FakeTasks):
        async def watch_all(self, request: WatchTasksRequest, timeout_s: float) -> Events:
            await asyncio.Event().wait()
            yield task_event(1)

    watch = AllWatch(Silent())
    following = asyncio.create_task(follow(watch, 1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await watch.close()
    assert await following == []
    assert await follow(watch, 1) == []
