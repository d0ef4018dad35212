"""The workers' loop outlives whatever a claim or a run of the pipeline fails with."""

import asyncio

import pytest

from services.status.pipeline import workers as module
from services.status.pipeline.gate import Gate
from services.status.pipeline.workers import Workers
from services.status.tasks.queues import Kind
from services.status.tasks.task import Lease, Owner


class Leases:
    """Three tasks are due, and the first claims fail."""

    def __init__(self) -> None:
        self.failures: list[Exception] = [KeyError("former"), RuntimeError("no row")]
        self.due = ["one", "two", "three"]

    async def claim(self, kind: Kind) -> Lease | None:
        if self.failures:
            raise self.failures.pop()
        return Lease(Owner(self.due.pop(), 1, "worker")) if self.due else None

    async def release_all(self) -> None:
        return


class Pipeline:
    """Fails at the first task."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.all = asyncio.Event()

    async def run(self, lease: Lease) -> None:
        self.ran.append(lease.owner.task_id)
        if len(self.ran) == 3:
            self.all.set()
        if len(self.ran) == 1:
            raise KeyError("stage")


async def test_workers_survive_any_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_S", 0.01)
    jobs, pipeline = Leases(), Pipeline()
    workers = Workers(jobs, pipeline, Gate(), 1, 0)  # type: ignore[arg-type]  # fakes
    running = asyncio.create_task(workers.run())
    async with asyncio.timeout(5):
        await pipeline.all.wait()
        await workers.stop()
        await running
    assert sorted(pipeline.ran) == ["one", "three", "two"]
