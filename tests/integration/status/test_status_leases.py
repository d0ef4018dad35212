"""Claims on a real PostgreSQL: one worker at a time, fenced by the attempt."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any

import asyncpg
import pytest
from grpc_health.v1 import health_pb2

from services.status.db.database import Database
from services.status.db.leases import Leases
from services.status.db.store import Store
from services.status.tasks.machine import Move, State
from services.status.tasks.queues import Kind
from services.status.tasks.task import Lease, NewTask, Progress, Task
from tests.integration.status.conftest import Services, terminate, until
from tests.integration.status.test_status_outages import health

LEASE_S = 1.0


@pytest.fixture
async def database(
    database_url: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[Database]:
    async with AsyncExitStack() as stack:
        made = Database(database_url, 10)
        await made.open(stack)
        await made.migrated.wait()
        yield made


@pytest.fixture
def store(database: Database) -> Store:
    return Store(database, 2)


def worker(database: Database, database_url: str) -> Leases:
    return Leases(database, database_url, LEASE_S)


async def uploaded(store: Store, number: int = 0) -> str:
    task_id = f"00000000-0000-4000-8000-{number:012d}"
    new = NewTask(
        task_id,
        f"r{number}",
        "ds",
        "f.csv",
        "s3://b/k",
        None,
        b"",
        "ONE_SHOT",
        "APPEND",
        False,
        "0" * 32,
    )
    assert await store.create(new)
    assert await store.move(
        task_id, State.PENDING, Move(State.UPLOADED, "Uploaded.", columns={"file_size": 1})
    )
    return task_id


async def owned(store: Store, lease: Lease) -> Task:
    task = await store.owned(lease.owner)
    assert task is not None
    return task


async def claimed(jobs: Leases, kind: Kind = Kind.FILES) -> Lease:
    """The next claim, as soon as something is due."""
    found: list[Lease] = []

    async def claim() -> bool:
        if lease := await jobs.claim(kind):
            found.append(lease)
        return bool(found)

    await until(claim)
    return found[0]


async def becomes(port: int, wanted: int) -> bool:
    """Whether the health of the service changes to that."""

    async def is_so() -> bool:
        return bool(await health(port) == wanted)

    await until(is_so)
    return True


async def test_no_task_is_claimed_twice(
    store: Store, database: Database, database_url: str
) -> None:
    made = {await uploaded(store, number) for number in range(20)}
    workers = [worker(database, database_url) for _ in range(40)]
    leases = await asyncio.gather(*(each.claim(Kind.FILES) for each in workers))
    again = [
        lease
        for lease in await asyncio.gather(*(each.claim(Kind.FILES) for each in workers))
        if lease
    ]
    claims = [lease.owner.task_id for lease in [*leases, *again] if lease]
    assert sorted(claims) == sorted(made)


async def test_the_longest_due_is_claimed_first(
    store: Store, database: Database, database_url: str
) -> None:
    made = [await uploaded(store, number) for number in range(3)]
    jobs = worker(database, database_url)
    assert [(await claimed(jobs)).owner.task_id for _ in made] == made


async def test_a_dead_worker_is_replaced_and_fenced(
    store: Store, database: Database, database_url: str
) -> None:
    task_id = await uploaded(store)
    dead, alive = worker(database, database_url), worker(database, database_url)
    before = await claimed(dead)
    stale = await owned(store, before)
    began = monotonic()
    after = await claimed(alive)
    assert LEASE_S * 0.9 <= monotonic() - began < LEASE_S + 1
    assert (after.owner.attempt, before.owner.attempt) == (2, 1)
    assert await store.owned(before.owner) is None
    assert not await store.move(
        task_id, State.UPLOADED, Move(State.VALIDATING, "Late."), before.owner
    )
    assert not await store.progress(stale, before.owner, Progress("Late.", 1, 2, "rows"))
    assert not await store.record(stale, before.owner, {"report_attempt": 1})
    await dead.release(before)
    assert (await owned(store, after)).status is State.UPLOADED
    assert [event.kind for event in await store.events(task_id, 1)] == [
        "STATE",
        "STATE",
        "TAKEOVER",
    ]


async def test_heartbeats_keep_a_claim_while_the_main_loop_is_busy(
    store: Store, database: Database, database_url: str
) -> None:
    await uploaded(store)
    jobs, other = worker(database, database_url), worker(database, database_url)
    jobs.start()
    lease = await claimed(jobs)

    async def busy() -> None:
        until_then = monotonic() + 2.5 * LEASE_S
        while monotonic() < until_then:
            pass

    await busy()
    assert await other.claim(Kind.FILES) is None
    assert not lease.lost.is_set()
    await jobs.release(lease)
    assert await other.claim(Kind.FILES) is not None
    await jobs.stop()


async def test_a_lost_claim_is_noticed(
    store: Store, database: Database, database_url: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await uploaded(store)
    jobs = worker(database, database_url)
    jobs.start()
    lease = await claimed(jobs)
    await sql.execute("UPDATE ingestion_tasks SET attempt = attempt + 1, worker = 'another'")
    await asyncio.wait_for(lease.lost.wait(), LEASE_S)
    await jobs.stop()


async def test_the_heartbeat_survives_its_connection(
    store: Store, database: Database, database_url: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await uploaded(store)
    jobs, other = worker(database, database_url), worker(database, database_url)
    jobs.start()
    lease = await claimed(jobs)
    await until(lambda: terminate(sql, "heartbeat"))
    until_then = monotonic() + 2 * LEASE_S
    while monotonic() < until_then:
        assert await other.claim(Kind.FILES) is None
        await asyncio.sleep(0.1)
    assert not lease.lost.is_set()
    await jobs.stop()


@pytest.mark.parametrize("fault", [KeyError("row"), asyncio.CancelledError()], ids=type)
async def test_the_heartbeat_survives_a_fault_of_ours(
    store: Store,
    database: Database,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    fault: BaseException,
) -> None:
    await uploaded(store)
    jobs = worker(database, database_url)
    real, faults, beats = Leases._beat, [fault], [0]

    async def beat(self: Leases, *arguments: Any) -> None:
        if faults:
            raise faults.pop()
        await real(self, *arguments)
        beats[0] += 1

    monkeypatch.setattr(Leases, "_beat", beat)
    jobs.start()
    lease = await claimed(jobs)

    async def goes_on() -> bool:
        return beats[0] >= 3

    await until(goes_on)
    await jobs.check()
    assert not lease.lost.is_set()
    await jobs.stop()


async def test_a_heartbeat_that_hangs_makes_the_service_not_ready(
    services: Services, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    async def beat(self: Leases, *arguments: Any) -> None:
        over.wait()  # Nothing else runs in that thread.

    monkeypatch.setattr(Leases, "_beat", beat)
    service = await services.start(lease_s=1)
    # Closed in the opposite order: before the service, which waits for its thread.
    services.stack.callback(over.set)
    service.loads.gate.clear()
    assert await becomes(service.port, health_pb2.HealthCheckResponse.SERVING)
    await service.upload()
    assert await becomes(service.port, health_pb2.HealthCheckResponse.NOT_SERVING)
    over.set()
    assert await becomes(service.port, health_pb2.HealthCheckResponse.SERVING)
    service.loads.gate.set()


async def test_a_released_task_is_free_at_once(
    store: Store, database: Database, database_url: str
) -> None:
    await uploaded(store)
    jobs, other = worker(database, database_url), worker(database, database_url)
    await jobs.release(await claimed(jobs))
    again = await other.claim(Kind.FILES)
    assert again is not None
    assert again.owner.attempt == 2
    assert (await owned(store, again)).stage_takeovers == 0


async def test_sequences_have_no_gap_under_concurrency(
    store: Store, database: Database, database_url: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    tasks = [await uploaded(store, number) for number in range(4)]
    jobs = worker(database, database_url)
    leases = [await claimed(jobs) for _ in tasks]
    read = [await owned(store, lease) for lease in leases]
    await asyncio.gather(
        *(
            store.progress(task, lease.owner, Progress(f"{number}", number, 25, "rows"))
            for number in range(25)
            for task, lease in zip(read, leases, strict=True)
        )
    )
    for task_id in tasks:
        assert [event.sequence for event in await store.events(task_id, 1)] == list(range(1, 28))
    by_time = await sql.fetch("SELECT position FROM task_events ORDER BY position")
    assert len(by_time) == 4 * 27
