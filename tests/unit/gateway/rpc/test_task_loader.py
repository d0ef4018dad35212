"""Concurrent reads share one call at a time, and no result is older than its request."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from time import monotonic

import grpc
import pytest

from gateway.rpc import task_loader
from gateway.rpc import upload as upload_rpc
from gateway.rpc.task_loader import TaskLoader
from gateway.rpc.upload import UploadRpc
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1.status_pb2 import Task
from sluice.upload.v1.upload_pb2 import WriteUploadRequest


class Store:
    """Responds once `ready` is set, with the state at the start of the call."""

    def __init__(self) -> None:
        self.calls: list[set[str]] = []
        self.version = 0
        self.ready = asyncio.Event()
        self.failure: SluiceError | None = None

    async def fetch(self, task_ids: list[str]) -> Mapping[str, Task]:
        self.calls.append(set(task_ids))
        version = self.version
        await self.ready.wait()
        if self.failure:
            raise self.failure
        return {
            task_id: Task(task_id=task_id, last_sequence=version)
            for task_id in task_ids
            if task_id != "nobody"
        }


async def turns() -> None:
    """Run all tasks until they block."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_reads_during_a_call_share_the_next_one() -> None:
    store = Store()
    loader = TaskLoader(store.fetch)
    first = asyncio.create_task(loader.load("a"))
    await turns()
    store.version = 1
    later = [asyncio.create_task(loader.load(name)) for name in ("a", "b", "a", "nobody")]
    await turns()
    assert store.calls == [{"a"}]
    store.ready.set()
    assert (await first).last_sequence == 0  # type: ignore[union-attr]
    told = await asyncio.gather(*later)
    assert [task and (task.task_id, task.last_sequence) for task in told] == [
        ("a", 1),
        ("b", 1),
        ("a", 1),
        None,
    ]
    assert store.calls == [{"a"}, {"a", "b", "nobody"}]


async def test_a_hanging_call_delays_the_next_one_briefly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(task_loader, "MAX_WAIT_S", 0.02)
    store = Store()
    loader = TaskLoader(store.fetch)
    hanging = asyncio.create_task(loader.load("a"))
    await turns()
    later = asyncio.create_task(loader.load("b"))
    await turns()
    await loader.wait_idle()
    assert store.calls == [{"a"}, {"b"}]
    assert not hanging.done()
    store.ready.set()
    assert await hanging is not None
    assert await later is not None


async def test_a_call_has_a_maximum_of_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_loader, "MAX_TASKS", 2)
    store = Store()
    store.ready.set()
    loader = TaskLoader(store.fetch)
    told = await asyncio.gather(*(loader.load(str(number)) for number in range(5)))
    assert [task and task.task_id for task in told] == ["0", "1", "2", "3", "4"]
    assert [len(call) for call in store.calls] == [2, 2, 1]


async def test_a_failure_reaches_all_readers_of_its_call_only() -> None:
    store = Store()
    store.failure = error(ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE, "Away.")
    store.ready.set()
    loader = TaskLoader(store.fetch)
    told = await asyncio.gather(*(loader.load("a") for _ in range(3)), return_exceptions=True)
    assert told == [store.failure] * 3
    store.failure = None
    assert await loader.load("a") is not None
    assert store.calls == [{"a"}] * 2


async def test_a_cancelled_read_does_not_affect_the_others() -> None:
    store = Store()
    loader = TaskLoader(store.fetch)
    leaving, staying = (asyncio.create_task(loader.load("a")) for _ in range(2))
    await turns()
    leaving.cancel()
    store.ready.set()
    assert await staying is not None
    assert leaving.cancelled()


async def test_a_file_yields_to_reads_but_always_makes_progress(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(upload_rpc, "MAX_YIELD_S", 0.05)
    store = Store()
    loader = TaskLoader(store.fetch)

    async def messages() -> AsyncIterator[WriteUploadRequest]:
        for _ in range(3):
            yield WriteUploadRequest()

    async with grpc.aio.insecure_channel("127.0.0.1:1") as channel:
        written = UploadRpc(channel, 1.0, loader.wait_idle)._yielding(messages())
        await asyncio.wait_for(anext(written), 0.05)
        asking = asyncio.create_task(loader.load("a"))
        await turns()
        began = monotonic()
        await anext(written)
        assert monotonic() - began >= 0.05
        waiting = asyncio.ensure_future(anext(written))
        await turns()
        assert not waiting.done()
        store.ready.set()
        await waiting
        assert await asking is not None
