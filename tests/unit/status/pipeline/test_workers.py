"""Which workers claim what: files and loads have separate workers, and removals have two more."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from services.status.pipeline.gate import Gate
from services.status.pipeline.workers import CLEANERS, Workers
from services.status.tasks.queues import Kind, TaskQueue
from services.status.tasks.task import Lease, Owner


@dataclass
class Backlog:
    """Fakes Leases and Pipeline: tasks by their queue. A started one runs until `end`."""

    waiting: Counter[TaskQueue] = field(default_factory=Counter)
    started: list[TaskQueue] = field(default_factory=list)
    end: asyncio.Event = field(default_factory=asyncio.Event)

    async def claim(self, kind: Kind) -> Lease | None:
        for queue in kind.value:
            if self.waiting[queue]:
                self.waiting[queue] -= 1
                return Lease(Owner(queue.name, 1, "w"))
        return None

    async def run(self, lease: Lease) -> None:
        self.started.append(TaskQueue[lease.owner.task_id])
        await self.end.wait()

    async def release_all(self) -> None:
        pass


async def settled() -> None:
    """Returns after every task has had enough turns: nothing here waits for time."""
    for _ in range(200):
        await asyncio.sleep(0)


@asynccontextmanager
async def at_work(backlog: Backlog, files: int, loads: int, gate: Gate) -> AsyncIterator[Workers]:
    workers = Workers(backlog, backlog, gate, files, loads)  # type: ignore[arg-type]
    running = asyncio.create_task(workers.run())
    await settled()
    yield workers
    await workers.stop()
    await asyncio.wait_for(running, 5)


@pytest.fixture
def gate() -> Gate:
    return Gate()


BIG_LOAD, SMALL_LOAD = TaskQueue.BIG_LOAD, TaskQueue.SMALL_LOAD
BIG_FILE, SMALL_FILE = TaskQueue.BIG_FILE, TaskQueue.SMALL_FILE


async def test_loads_that_do_not_end_leave_the_workers_of_files_alone(gate: Gate) -> None:
    backlog = Backlog(Counter({SMALL_LOAD: 100}))
    async with at_work(backlog, 3, 4, gate) as workers:
        assert Counter(backlog.started) == {SMALL_LOAD: 4}
        backlog.waiting[SMALL_FILE] = 1
        workers.wake()
        await settled()
        assert Counter(backlog.started) == {SMALL_LOAD: 4, SMALL_FILE: 1}


async def test_files_that_do_not_end_leave_the_workers_of_loads_alone(gate: Gate) -> None:
    backlog = Backlog(Counter({SMALL_FILE: 100, BIG_LOAD: 1}))
    async with at_work(backlog, 3, 4, gate):
        assert Counter(backlog.started) == {SMALL_FILE: 3, BIG_LOAD: 1}


async def test_the_last_of_several_workers_is_kept_for_small_files(gate: Gate) -> None:
    backlog = Backlog(Counter({BIG_FILE: 9, BIG_LOAD: 9}))
    async with at_work(backlog, 3, 4, gate) as workers:
        assert Counter(backlog.started) == {BIG_FILE: 2, BIG_LOAD: 3}
        backlog.waiting += Counter({SMALL_FILE: 2, SMALL_LOAD: 2})
        workers.wake()
        await settled()
        assert Counter(backlog.started) == {BIG_FILE: 2, BIG_LOAD: 3, SMALL_FILE: 1, SMALL_LOAD: 1}


async def test_a_single_worker_takes_big_files_too(gate: Gate) -> None:
    backlog = Backlog(Counter({BIG_FILE: 2, BIG_LOAD: 2}))
    async with at_work(backlog, 1, 1, gate):
        assert Counter(backlog.started) == {BIG_FILE: 1, BIG_LOAD: 1}


async def test_what_is_to_be_removed_is_not_behind_loads(gate: Gate) -> None:
    backlog = Backlog(Counter({SMALL_LOAD: 100}))
    async with at_work(backlog, 1, 4, gate) as workers:
        backlog.waiting[TaskQueue.CLEANING] = 9
        workers.wake()
        await settled()
        assert Counter(backlog.started) == {SMALL_LOAD: 4, TaskQueue.CLEANING: CLEANERS}


async def test_files_are_validated_while_druid_is_away(gate: Gate) -> None:
    gate.failed()
    backlog = Backlog(Counter({SMALL_FILE: 1, SMALL_LOAD: 1}))
    async with at_work(backlog, 2, 2, gate):
        assert Counter(backlog.started) == {SMALL_FILE: 1}


async def test_a_process_without_workers_takes_nothing(gate: Gate) -> None:
    backlog = Backlog(Counter(dict.fromkeys(TaskQueue, 5)))
    async with at_work(backlog, 0, 0, gate):
        assert backlog.started == []
