"""What keeps one write from another: the attempt, the upload's writer, the bytes of a twin."""

import asyncio
from typing import TypeAlias

import asyncpg
import pytest

from services.status.db.database import Database
from services.status.db.store import Store
from services.status.tasks.machine import Move, State
from services.status.tasks.queues import Kind
from services.status.tasks.task import Lease, NewTask, Progress, Task
from sluice.common.v1.errors_pb2 import Problem
from tests.integration.status.conftest import until
from tests.integration.status.test_status_leases import (
    claimed,
    database,
    owned,
    store,
    uploaded,
    worker,
)

__all__ = ["database", "store"]

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def test_a_second_claim_by_the_same_worker_fences_the_first(
    store: Store, database: Database, database_url: str
) -> None:
    await uploaded(store)
    # No heartbeat: the first lease runs out.
    jobs = worker(database, database_url)
    first = await claimed(jobs)
    stale = await owned(store, first)
    second = await claimed(jobs)
    assert second.owner.worker == first.owner.worker
    assert (first.owner.attempt, second.owner.attempt) == (1, 2)

    assert await _writes(store, stale, first) == []
    jobs.start()
    await asyncio.wait_for(first.lost.wait(), 5)
    assert not second.lost.is_set()
    await jobs.release(first)
    assert (await owned(store, second)).status is State.UPLOADED
    await jobs.stop()
    assert "move" in await _writes(store, await owned(store, second), second)


async def _writes(store: Store, task: Task, lease: Lease) -> list[str]:
    """The names of the writes that are accepted under the lease."""
    owner, problem = lease.owner, Problem(message="A problem.")
    begun = Move(State.VALIDATING, "Begun.")
    done = {
        "owned": await store.owned(owner) is not None,
        "progress": await store.progress(task, owner, Progress("Some.", 1, 2, "rows")),
        "record": await store.record(task, owner, {"report_attempt": 1}),
        "move": await store.move(task.task_id, State.UPLOADED, begun, owner),
        "retry": await store.retry(
            task,
            owner,
            delay_s=0,
            message="Again.",
            problem=problem,
            failed=True,
            new_load=False,
        ),
    }
    return [name for name, accepted in done.items() if accepted]


async def test_only_the_last_writer_of_an_upload_is_heard(store: Store) -> None:
    new = NewTask(
        "00000000-0000-4000-8000-000000000001",
        "request",
        "sales",
        "f.csv",
        "s3://bucket/key",
        None,
        b"",
        "RESUMABLE",
        "APPEND",
        False,
        "0" * 32,
    )
    assert await store.create(new)
    task_id, received = new.task_id, Progress("Received.", 5, 10, "bytes")
    end = Move(State.UPLOADED, "Uploaded.", columns={"file_size": 10})
    assert await store.begin_receiving(task_id, 0, "multipart", "first")
    assert await store.begin_receiving(task_id, 0, "multipart", "second")
    assert not await store.receive(task_id, "", "first", received, [])
    assert not await store.move(task_id, State.PENDING, end, writer="first")
    assert not await store.move(task_id, State.PENDING, end, writer="")
    assert await store.receive(task_id, "", "second", received, [])
    assert await store.receive(task_id, "", "", received, [])
    assert await store.move(task_id, State.PENDING, end, writer="second")
    assert not await store.begin_receiving(task_id, 0, "multipart", "third")


TWINS = [
    ("VALIDATING", None, False),
    ("INGESTING", None, True),
    ("VERIFYING", None, True),
    ("SUCCEEDED", "LIVE", True),
    ("SUCCEEDED", "PARTLY_REPLACED", True),
    ("SUCCEEDED", "REVERTING", True),
    ("SUCCEEDED", "REVERTED", False),
    ("SUCCEEDED", "REPLACED", False),
    ("CANCELLED", None, False),
]


@pytest.mark.parametrize(("status", "load_state", "blocks"), TWINS)
async def test_the_same_bytes_in_the_datasource_or_on_their_way_there(
    store: Store,
    database: Database,
    database_url: str,
    sql: Sql,
    status: str,
    load_state: str | None,
    blocks: bool,
) -> None:
    twin = await _twin(store, sql, status, load_state)
    task_id = await uploaded(store, 2)
    lease = await _validating(store, database, database_url)
    task, begin = await owned(store, lease), _begins()
    found = await store.move_unless_duplicate(task, begin, lease.owner)
    assert found == (twin if blocks else "")
    status_now = await sql.fetchval(
        "SELECT status FROM ingestion_tasks WHERE task_id = $1", task_id
    )
    assert status_now == ("VALIDATING" if blocks else "INGESTING")


async def test_tasks_with_the_same_bytes_are_compared_one_after_the_other(
    store: Store, database: Database, database_url: str, sql: Sql
) -> None:
    twin = await _twin(store, sql, "VALIDATING", None)
    await uploaded(store, 2)
    lease = await _validating(store, database, database_url)
    # As if the twin's own transition had read what is there, and was not committed yet.
    async with sql.transaction():
        lock = "SELECT pg_advisory_xact_lock(7303015, hashtext('ds' || encode($1, 'hex')))"
        await sql.execute(lock, _SHA256)
        task = await owned(store, lease)
        moving = asyncio.create_task(store.move_unless_duplicate(task, _begins(), lease.owner))

        async def waits() -> bool:
            return bool(
                await sql.fetchval(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                )
            )

        await until(waits)
        await sql.execute(
            "UPDATE ingestion_tasks SET status = 'INGESTING' WHERE task_id = $1", twin
        )
    assert await moving == twin


_SHA256 = bytes(32)[:-1] + b"\x01"


def _begins() -> Move:
    return Move(State.INGESTING, "Begun.", columns={"sha256": _SHA256})


async def _twin(store: Store, sql: Sql, status: str, load_state: str | None) -> str:
    """Another task with the same bytes, in that state."""
    twin = await uploaded(store, 1)
    await sql.execute(
        """UPDATE ingestion_tasks SET status = $2::text, load_state = $3::text, sha256 = $4,
            undone_from = CASE WHEN $3::text = 'REVERTING' THEN 'LIVE' END,
            next_run_at = CASE WHEN $3::text = 'REVERTING' OR $2::text NOT IN ('SUCCEEDED', 'CANCELLED')
                THEN 'infinity'::timestamptz END,
            completed_at = CASE WHEN $2::text IN ('SUCCEEDED', 'CANCELLED') THEN now() END
        WHERE task_id = $1""",
        twin,
        status,
        load_state,
        _SHA256,
    )
    return twin


async def _validating(store: Store, database: Database, database_url: str) -> Lease:
    """The claim of the task that was uploaded last, in VALIDATING."""
    lease = await claimed(worker(database, database_url), Kind.FILES)
    begun = Move(State.VALIDATING, "Begun.")
    assert await store.move(lease.owner.task_id, State.UPLOADED, begun, lease.owner)
    return lease
