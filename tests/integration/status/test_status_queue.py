"""Whose turn it is: lanes of a datasource, small files beside big ones, a share for every client,
places in the queue.
"""

import asyncio
from itertools import pairwise
from typing import TypeAlias

import asyncpg
import pytest

from services.status.db import queue
from services.status.db.database import Database
from services.status.db.lanes import APPENDS
from services.status.db.leases import Leases
from services.status.db.store import Store
from services.status.db.turns import SMALL_BYTES
from services.status.tasks.queues import Kind
from services.status.tasks.task import Lease
from sluice.common.v1.task_pb2 import LoadMode, TaskState
from sluice.status.v1 import status_pb2
from tests.integration.status.conftest import Service, Services, until
from tests.integration.status.test_status_leases import claimed, database, store, uploaded, worker
from tests.unit.status.fakes import passed, rejected

__all__ = ["database", "store"]


Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
SUCCEEDED, INGESTING = TaskState.TASK_STATE_SUCCEEDED, TaskState.TASK_STATE_INGESTING


async def owners(jobs: Leases, kind: Kind = Kind.FILES) -> list[str]:
    """What can be claimed now, in turn."""
    found: list[str] = []
    while lease := await jobs.claim(kind):
        found.append(lease.owner.task_id)
    return found


async def test_small_files_are_not_stuck_behind_big_ones(
    store: Store, database: Database, database_url: str, sql: "Sql"
) -> None:
    big, small, later = [await uploaded(store, number) for number in range(3)]
    await sql.execute(
        "UPDATE ingestion_tasks SET file_size = $2 WHERE task_id = $1", big, 500 * 2**20
    )
    await sql.execute(
        "UPDATE ingestion_tasks SET file_size = $2 WHERE task_id = $1", small, SMALL_BYTES
    )
    jobs = worker(database, database_url)
    assert await owners(jobs, Kind.LOADS) == []
    assert await owners(jobs, Kind.SMALL_FILES) == [later, small]
    assert await owners(jobs) == [big]


async def test_a_big_file_does_not_wait_for_ever(
    store: Store, database: Database, database_url: str, sql: "Sql"
) -> None:
    big, small = await uploaded(store, 0), await uploaded(store, 1)
    await sql.execute(
        "UPDATE ingestion_tasks SET file_size = 100000000000, created_at = now() - interval '61 s' WHERE task_id = $1",
        big,
    )
    assert await owners(worker(database, database_url)) == [big, small]


async def test_every_client_gets_its_share(
    store: Store, database: Database, database_url: str, sql: "Sql"
) -> None:
    made = [await uploaded(store, number) for number in range(6)]
    await sql.execute(
        "UPDATE ingestion_tasks SET client = 'many' WHERE task_id = ANY($1::text[])", made[:5]
    )
    await sql.execute("UPDATE ingestion_tasks SET client = 'one' WHERE task_id = $1", made[5])
    jobs = worker(database, database_url)
    assert (await owners(jobs))[:2] == [made[0], made[5]]


async def test_loads_and_files_are_taken_by_workers_of_their_own(
    store: Store, database: Database, database_url: str, sql: "Sql"
) -> None:
    loading, new, removed = [await uploaded(store, number) for number in range(3)]
    await sql.execute("UPDATE ingestion_tasks SET status = 'INGESTING' WHERE task_id = $1", loading)
    await sql.execute(
        "UPDATE ingestion_tasks SET status = 'CLEANING', clean_target = 'FAILED' WHERE task_id = $1",
        removed,
    )
    jobs = worker(database, database_url)
    assert await owners(jobs, Kind.FILES) == [new]
    assert await owners(jobs, Kind.CLEANING) == [removed]
    assert await owners(jobs, Kind.LOADS) == [loading]


async def lane(store: Store, sql: "Sql", lease: Lease) -> bool:
    """Whether the claimed task's load may begin."""
    await sql.execute(
        "UPDATE ingestion_tasks SET status = 'INGESTING' WHERE task_id = $1", lease.owner.task_id
    )
    task = await store.owned(lease.owner)
    assert task is not None
    return await store.enter_lane(task, lease.owner)


@pytest.mark.parametrize(
    ("modes", "expected"),
    [
        (["APPEND"] * 3, [True] * APPENDS + [False]),
        (["APPEND", "REPLACE", "APPEND"], [True, False, False]),
        (["REPLACE", "APPEND", "REPLACE"], [True, False, False]),
    ],
)
async def test_loads_that_would_lock_each_other_wait(
    store: Store,
    database: Database,
    database_url: str,
    sql: "Sql",
    modes: list[str],
    expected: list[bool],
) -> None:
    jobs = worker(database, database_url)
    for number, mode in enumerate(modes):
        task_id = await uploaded(store, number)
        await sql.execute(
            "UPDATE ingestion_tasks SET load_mode = $2 WHERE task_id = $1", task_id, mode
        )
    leases = [await claimed(jobs) for _ in modes]
    assert [await lane(store, sql, lease) for lease in leases] == expected
    for lease in leases:
        await jobs.release(lease)
    # Those that have to wait are not even claimed.
    first = [
        lease.owner.task_id for lease, entered in zip(leases, expected, strict=True) if entered
    ]
    assert sorted(await owners(jobs, Kind.LOADS)) == sorted(first)


async def test_one_of_many_replaces_gets_the_lane(
    store: Store, database: Database, database_url: str, sql: "Sql"
) -> None:
    for number in range(8):
        task_id = await uploaded(store, number)
        await sql.execute(
            "UPDATE ingestion_tasks SET load_mode = 'REPLACE' WHERE task_id = $1", task_id
        )
    leases = [await claimed(worker(database, database_url)) for _ in range(8)]
    await sql.execute("UPDATE ingestion_tasks SET status = 'INGESTING'")
    tasks = [(await store.owned(lease.owner), lease.owner) for lease in leases]
    entered = await asyncio.gather(
        *(store.enter_lane(task, owner) for task, owner in tasks if task)
    )
    assert entered.count(True) == 1


async def test_replaces_of_one_datasource_load_one_after_the_other(
    services: Services, sql: "Sql"
) -> None:
    service = await services.start()
    service.loads.gate.clear()
    mode = LoadMode.LOAD_MODE_REPLACE
    tasks = [await service.upload(load_mode=mode) for _ in range(3)]
    other = await service.upload(load_mode=mode, datasource="other")

    async def two_at_druid() -> bool:
        return service.loads.submits == 2

    await until(two_at_druid)
    waiting = [await service.get(task.task_id) for task in tasks]
    service.loads.gate.set()
    ends = [await service.ended(task.task_id) for task in [*tasks, other]]
    assert [end.state for end in ends] == [SUCCEEDED] * 4
    assert sum(task.HasField("queue_position") for task in waiting) >= 1
    periods = await sql.fetch(
        """SELECT min(e.created_at) FILTER (WHERE e.message LIKE 'Druid is%') AS began, max(e.created_at) AS ended
        FROM task_events e JOIN ingestion_tasks USING (task_id) WHERE datasource_name = 'sales' GROUP BY task_id ORDER BY began"""
    )
    assert all(before["ended"] <= after["began"] for before, after in pairwise(periods))


async def test_places_and_times_are_told(services: Services, sql: "Sql") -> None:
    service = await services.start()
    done = await service.upload()
    await service.ended(done.task_id)
    await service.life.aclose()
    quiet = await services.start(pipeline_workers=0)
    tasks = [await quiet.upload() for _ in range(3)]
    told = [await quiet.get(task.task_id) for task in tasks]
    assert [task.queue_position for task in told] == [1, 2, 3]
    assert [task.HasField("estimated_seconds_left") for task in told] == [True] * 3
    assert (
        told[0].estimated_seconds_left
        < told[1].estimated_seconds_left
        < told[2].estimated_seconds_left
    )
    ended = await quiet.get(done.task_id)
    assert not ended.HasField("queue_position")
    assert not ended.HasField("estimated_seconds_left")
    listed = (await quiet.stub.ListTasks(status_pb2.ListTasksRequest(page_size=2))).tasks
    assert [task.queue_position for task in listed] == [3, 2]


async def test_a_cancelled_load_is_removed_although_all_workers_are_busy(
    services: Services, sql: "Sql"
) -> None:
    service = await services.start(pipeline_workers=1)
    service.loads.gate.clear()
    busy = await service.upload(datasource="a")
    await service.reached(busy.task_id, INGESTING)
    idle = await service.upload(datasource="b")
    await sql.execute(
        "UPDATE ingestion_tasks SET status = 'INGESTING' WHERE task_id = $1", idle.task_id
    )
    await service.stub.CancelTask(status_pb2.CancelTaskRequest(task_id=idle.task_id))
    assert (await service.ended(idle.task_id)).state == TaskState.TASK_STATE_CANCELLED
    service.loads.gate.set()
    assert (await service.ended(busy.task_id)).state == SUCCEEDED


async def test_files_are_validated_while_no_load_comes_to_an_end(
    services: Services, sql: "Sql"
) -> None:
    service = await services.start()
    service.loads.lose_rows, service.loads.loaded_percent = 1, 50.0
    for number in range(2 * service.settings.pipeline_workers):
        await service.upload(datasource=f"stuck_{number}")

    async def all_workers_count() -> bool:
        counted = await sql.fetchval(
            "SELECT count(*) FROM ingestion_tasks WHERE status = 'VERIFYING' AND worker IS NOT NULL"
        )
        return bool(counted == service.settings.pipeline_workers)

    await until(all_workers_count)
    service.validation.judge = rejected
    bad = await service.upload()
    assert (
        await asyncio.wait_for(service.ended(bad.task_id), 5)
    ).state == TaskState.TASK_STATE_REJECTED
    service.validation.judge = passed
    good = await service.upload()
    await asyncio.wait_for(service.reached(good.task_id, INGESTING), 5)
    assert await all_workers_count()


async def test_tasks_far_behind_have_no_place(
    services: Services, sql: "Sql", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "MAX_POSITIONS", 2)
    service = await services.start(pipeline_workers=0)
    tasks = [await service.upload() for _ in range(4)]
    await sql.execute(
        "UPDATE ingestion_tasks SET status = 'INGESTING', started_at = now() WHERE task_id <> $1",
        tasks[3].task_id,
    )
    told = [await service.get(task.task_id) for task in tasks]
    assert [task.queue_position if task.HasField("queue_position") else None for task in told] == [
        1,
        2,
        None,
        None,
    ]
    assert not any(task.HasField("estimated_seconds_left") for task in told)


@pytest.fixture
async def service(services: Services) -> Service:
    return await services.start()
