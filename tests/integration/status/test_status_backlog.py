"""A long backlog costs a claim nothing, and changes nobody's turn."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from typing import Any, TypeAlias

import asyncpg
import pytest

from services.status.db.database import SERVER_SETTINGS, Database
from services.status.db.lanes import APPENDS
from services.status.db.leases import Leases
from services.status.db.store import Store
from services.status.db.turns import SMALL_BYTES, claim
from services.status.tasks.queues import Kind, TaskQueue
from services.status.tasks.task import Lease
from tests.integration.status.test_status_leases import database, store

__all__ = ["database", "store"]

Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SCANS = {"Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Heap Scan", "Tid Scan"}

MOST_ROWS = 50
"""Rows that a claim may visit."""

DEEP, OTHERS = 10_000, 5_000

# Of datasources with a # in their name there are 500. A tenth replaces, a third is big; the newest
# is the last one.
_FILL = """
INSERT INTO ingestion_tasks (task_id, request_id, datasource_name, original_filename, file_uri,
    status, upload_mode, load_mode, file_size, next_run_at, client, created_at)
SELECT id, id, name, 'f.csv', 's3://b/k', $2, 'ONE_SHOT',
    CASE WHEN i % 10 = 5 THEN 'REPLACE' ELSE 'APPEND' END,
    CASE WHEN i % 3 = 0 THEN 50000000 ELSE 1000 END, now(), 'client ' || i % $5,
    now() - make_interval(mins => $4) + make_interval(secs => i * 0.1)
FROM (SELECT gen_random_uuid()::text AS id, i, replace($1, '#', (i % 500)::text) AS name
    FROM generate_series(0, $3 - 1) AS i) AS numbers
"""


def visited(plan: dict[str, Any]) -> int:
    """Rows that the plan's scans read, those among them that they left out."""
    own = 0
    if plan["Node Type"] in SCANS:
        kept, left_out = plan["Actual Rows"], plan.get("Rows Removed by Filter", 0)
        own = (kept + left_out) * plan["Actual Loops"]
    return int(own) + sum(visited(below) for below in plan.get("Plans", []))


async def rows_of_a_claim(sql: Sql, kind: Kind) -> int:
    """How many rows a claim visits. It is not made."""
    change = sql.transaction()
    await change.start()
    try:
        explain = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)"
        [row] = await sql.fetch(
            f"{explain} EXECUTE claim_{kind.name} ('w', 10, 'Taken over.', '{{}}')"
        )
    finally:
        await change.rollback()
    [answer] = json.loads(row[0])
    found: int = visited(answer["Plan"])
    return found


async def begun(sql: Sql, datasource: str, loads: int) -> None:
    """So many loads of the datasource are in their lane, and worked on."""
    await sql.execute(_FILL, datasource, "VERIFYING", loads, 10_000, 1)
    await sql.execute(
        """UPDATE ingestion_tasks SET in_lane = true, load_mode = 'APPEND', worker = 'w',
        lease_until = now() + interval '1 hour' WHERE status = 'VERIFYING' AND worker IS NULL"""
    )


@pytest.fixture(params=["force_custom_plan", "force_generic_plan"])
async def planned(
    request: pytest.FixtureRequest, database_url: str, sql: Sql
) -> AsyncIterator[Sql]:
    """A connection as the service has them, which plans each claim, or keeps the plan that it made
    while the table was empty.
    """
    connection = await asyncpg.connect(database_url, server_settings=SERVER_SETTINGS)
    await connection.execute(f"SET plan_cache_mode = {request.param}")
    for kind in Kind:
        await connection.execute(
            f"PREPARE claim_{kind.name} (text, float8, text, text[]) AS {claim(kind)}"
        )
        await rows_of_a_claim(connection, kind)
    yield connection
    await connection.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("clients", [1, 4])
async def test_a_claim_visits_few_rows_of_a_long_backlog(planned: Sql, clients: int) -> None:
    await begun(planned, "deep", APPENDS)
    await planned.execute(_FILL, "deep", "INGESTING", DEEP, 5_000, clients)
    for status in ("INGESTING", "UPLOADED"):
        await planned.execute(_FILL, "other #", status, OTHERS // 2, 1_000, clients)
    for _ in range(2):
        for kind in Kind:
            assert await rows_of_a_claim(planned, kind) <= MOST_ROWS, kind
        # With figures on the table, as it has them after a while.
        await planned.execute("ANALYZE ingestion_tasks")


@pytest.mark.timeout(180)
async def test_a_claim_visits_few_rows_of_many_files_and_removals(planned: Sql) -> None:
    await planned.execute(_FILL, "deep", "UPLOADED", DEEP, 5_000, 1)
    await planned.execute(_FILL, "deep", "INGESTING", OTHERS, 5_000, 1)
    await planned.execute(
        "UPDATE ingestion_tasks SET status = 'CLEANING', clean_target = 'CANCELLED' WHERE status = 'INGESTING'"
    )
    await planned.execute("ANALYZE ingestion_tasks")
    for kind in Kind:
        assert await rows_of_a_claim(planned, kind) <= MOST_ROWS, kind


@pytest.mark.timeout(180)
async def test_a_claim_visits_few_rows_where_everybody_waits_for_an_undo(planned: Sql) -> None:
    await planned.execute(_FILL, "deep", "INGESTING", DEEP, 5_000, 1)
    await begun(planned, "deep", 1)
    await planned.execute(
        """UPDATE ingestion_tasks SET status = 'SUCCEEDED', load_state = 'REVERTING', in_lane = false,
        undone_from = 'LIVE', completed_at = now() WHERE status = 'VERIFYING'"""
    )
    await planned.execute("ANALYZE ingestion_tasks")
    for kind in Kind:
        assert await rows_of_a_claim(planned, kind) <= MOST_ROWS, kind


# Whose turn it is, written as a plain condition on every task that waits.
_TURN = f"""
WITH busy AS (
    SELECT client, count(*) AS tasks FROM ingestion_tasks WHERE worker IS NOT NULL GROUP BY client)
SELECT t.task_id, t.status <> 'CLEANING' AS later, coalesce(busy.tasks, 0) AS busy,
    t.created_at + make_interval(secs => least(coalesce(t.file_size, 0) / 10485760.0, 60)) AS turn
FROM ingestion_tasks t LEFT JOIN busy USING (client)
WHERE t.next_run_at <= now() AND (t.lease_until IS NULL OR t.lease_until <= now())
    AND (t.status = ANY($1::text[]) AND ($2 OR t.file_size <= {SMALL_BYTES}) OR t.status = 'CLEANING' AND $3)
    AND (t.status <> 'INGESTING' OR t.in_lane OR NOT (EXISTS (
        SELECT FROM ingestion_tasks o
        WHERE o.datasource_name = t.datasource_name AND o.task_id <> t.task_id
            AND o.status IN ('INGESTING', 'VERIFYING', 'CLEANING')
            AND (o.load_mode <> 'APPEND' OR t.load_mode <> 'APPEND')
            AND CASE WHEN o.in_lane
                THEN o.status <> 'CLEANING' OR o.stage_started_at > now() - interval '5 minutes'
                ELSE o.status = 'INGESTING' AND (o.created_at, o.task_id) < (t.created_at, t.task_id) END)
        OR (SELECT count(*) FROM ingestion_tasks o
            WHERE o.datasource_name = t.datasource_name AND o.task_id <> t.task_id
                AND o.status IN ('INGESTING', 'VERIFYING') AND o.in_lane) >= {APPENDS}
        OR EXISTS (SELECT FROM ingestion_tasks o
            WHERE o.datasource_name = t.datasource_name AND o.load_state = 'REVERTING')))
ORDER BY 2, 3, 4
"""

_FILES = {TaskQueue.SMALL_FILE, TaskQueue.BIG_FILE}


async def whose_turn(sql: Sql, kind: Kind) -> list[str]:
    """All tasks whose turn it is; more than one where nothing tells them apart."""
    queues = set(kind.value)
    states = ["UPLOADED", "VALIDATING"] if queues & _FILES else []
    states += ["INGESTING", "VERIFYING", "SUCCEEDED"] if TaskQueue.SMALL_LOAD in queues else []
    big = bool(queues & {TaskQueue.BIG_FILE, TaskQueue.BIG_LOAD})
    rows = await sql.fetch(_TURN, states, big, TaskQueue.CLEANING in queues)
    return [row["task_id"] for row in rows if tuple(row)[1:] == tuple(rows[0])[1:]]


class Town:
    """Tasks of a few clients and datasources, that are moved on at random, as a pipeline moves
    them.
    """

    def __init__(
        self, sql: Sql, store: Store, worker_leases: Leases, chance: random.Random
    ) -> None:
        self.sql, self.store, self.worker_leases, self.chance = sql, store, worker_leases, chance
        self.leases: list[Lease] = []
        self.made = 0

    async def arrive(self) -> None:
        """A task, in any state that can be claimed, created at some time of the last two
        minutes.
        """
        chance, self.made = self.chance, self.made + 1
        state = chance.choice(["UPLOADED", "VALIDATING", *["INGESTING"] * 6])
        await self.sql.execute(
            """INSERT INTO ingestion_tasks (task_id, request_id, datasource_name, original_filename,
                file_uri, status, upload_mode, load_mode, file_size, next_run_at, client, created_at)
            VALUES ($1, $1, $2, 'f.csv', 's3://b/k', $3, 'ONE_SHOT', $4, $5, now(), $6,
                now() - make_interval(secs => $7))""",
            f"00000000-0000-4000-8000-{self.made:012d}",
            f"ds {chance.randrange(3)}",
            state,
            "REPLACE" if chance.random() < 0.2 else "APPEND",
            chance.choice([None, 1000, SMALL_BYTES, SMALL_BYTES + 1, 10**8, 10**9]),
            f"client {chance.randrange(3)}",
            chance.randrange(120),
        )

    async def work(self) -> None:
        """A worker does something to its task, or a task without one is cancelled."""
        if not self.leases or self.chance.random() < 0.2:
            await self.sql.execute(
                """UPDATE ingestion_tasks SET status = 'CLEANING', clean_target = 'CANCELLED',
                    stage_started_at = now() - make_interval(mins => $1)
                WHERE task_id = (SELECT task_id FROM ingestion_tasks WHERE worker IS NULL
                    AND status IN ('INGESTING', 'VERIFYING') ORDER BY md5(task_id || $2) LIMIT 1)""",
                self.chance.choice([0, 6]),
                str(self.chance.random()),
            )
            return
        lease = self.leases.pop(self.chance.randrange(len(self.leases)))
        task = await self.store.owned(lease.owner)
        assert task is not None
        free = "worker = NULL, lease_until = NULL, next_run_at = now()"
        ended = "worker = NULL, lease_until = NULL, next_run_at = NULL, in_lane = false, completed_at = coalesce(completed_at, now())"
        match str(task.status):
            case "INGESTING" if not task.in_lane:
                await self.store.enter_lane(task, lease.owner)
                changes = [free]
            case "UPLOADED" | "VALIDATING":
                changes = [f"status = 'INGESTING', {free}", f"status = 'REJECTED', {ended}"]
            case "INGESTING" | "VERIFYING":
                later = free.replace("now()", "now() + interval '1 hour'")
                changes = [
                    f"status = 'VERIFYING', {free}",
                    later,
                    f"status = 'SUCCEEDED', load_state = 'LIVE', {ended}",
                ]
                changes += [
                    f"status = 'SUCCEEDED', load_state = 'REVERTING', undone_from = 'LIVE', in_lane = false, completed_at = now(), {free}"
                ]
                changes += ["lease_until = now() - interval '1 s'"]
            case "CLEANING":
                changes = [f"status = 'CANCELLED', {ended}", free]
            case _:
                changes = [f"load_state = 'REVERTED', {ended}"]
        change = self.chance.choice(changes)
        await self.sql.execute(
            f"UPDATE ingestion_tasks SET {change} WHERE task_id = $1", task.task_id
        )

    async def claim(self) -> None:
        """Claims what may be claimed, which has to be whose turn it is."""
        kind = self.chance.choice(list(Kind))
        expected = await whose_turn(self.sql, kind)
        lease = await self.worker_leases.claim(kind)
        if lease is None:
            assert expected == [], kind
        else:
            assert lease.owner.task_id in expected, kind
            self.leases.append(lease)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("seed", range(6))
async def test_turns_are_what_the_plain_condition_says(
    seed: int, store: Store, database: Database, database_url: str, sql: Sql
) -> None:
    chance = random.Random(seed)
    town = Town(sql, store, Leases(database, database_url, lease_s=3600), chance)
    for _ in range(chance.choice([5, 40])):
        await town.arrive()
    for _ in range(250):
        await chance.choices([town.arrive, town.work, town.claim], [1, 2, 2])[0]()
    assert town.made > 0


async def moved(sql: Sql, chance: random.Random) -> None:
    """Changes the backlog of one of two datasources, in one statement: a load comes, enters its
    lane, ends, or is cancelled.
    """
    waiting = "status = 'INGESTING' AND NOT in_lane"
    pick = "(SELECT task_id FROM ingestion_tasks WHERE {} ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED)"
    match chance.choice(["come", "come", "enter", "end", "cancel"]):
        case "come":
            name = chance.choice(["a", "b"])
            await sql.execute(_FILL, name, "INGESTING", chance.choice([1, 3]), 10, 2)
        case "enter":
            await sql.execute(
                f"UPDATE ingestion_tasks SET in_lane = true WHERE task_id = {pick.format(f'{waiting} AND lane_front')}"
            )
        case "end":
            await sql.execute(
                f"""UPDATE ingestion_tasks SET status = 'SUCCEEDED', load_state = 'LIVE', in_lane = false, completed_at = now(),
                next_run_at = NULL WHERE task_id = {pick.format("in_lane")}"""
            )
        case _:
            await sql.execute(
                f"""WITH changed AS (UPDATE ingestion_tasks SET status = 'CLEANING', clean_target = 'CANCELLED',
                    last_sequence = last_sequence + 1 WHERE task_id = {pick.format(waiting)} RETURNING *)
                SELECT append_task_event(task_id, last_sequence, 'STATE', status, '', attempt, NULL, NULL) FROM changed"""
            )


@pytest.mark.timeout(120)
async def test_every_backlog_has_a_front_whoever_changes_it_at_once(
    database_url: str, sql: Sql
) -> None:
    before = await sql.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )

    async def changing(seed: int) -> None:
        chance = random.Random(seed)
        own = await asyncpg.connect(database_url, server_settings=SERVER_SETTINGS)
        try:
            for _ in range(150):
                await moved(own, chance)
        finally:
            await own.close()

    await asyncio.gather(*(changing(seed) for seed in range(6)))
    # The first two of each client and size among the appends before the first replace, and that.
    unmarked = await sql.fetch(
        f"""WITH waiting AS (
            SELECT *, min(created_at) FILTER (WHERE load_mode = 'REPLACE') OVER (PARTITION BY datasource_name) AS barrier
            FROM ingestion_tasks WHERE status = 'INGESTING' AND NOT in_lane),
        fronts AS (
            SELECT *, row_number() OVER (PARTITION BY datasource_name, client, load_mode, file_size <= {SMALL_BYTES}
                ORDER BY created_at + make_interval(secs => least(file_size / 10485760.0, 60))) AS place
            FROM waiting WHERE load_mode = 'APPEND' AND (barrier IS NULL OR created_at < barrier))
        SELECT task_id FROM fronts WHERE place <= {APPENDS} AND NOT lane_front
        UNION ALL SELECT task_id FROM waiting WHERE load_mode = 'REPLACE' AND created_at = barrier AND NOT lane_front"""
    )
    assert unmarked == []
    assert (
        await sql.fetchval(
            "SELECT count(*) FROM ingestion_tasks WHERE status = 'INGESTING' AND NOT in_lane"
        )
        > 20
    )
    after = await sql.fetchval(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    )
    assert after == before


async def test_a_backlog_without_a_front_gets_one(
    store: Store, database: Database, database_url: str, sql: Sql
) -> None:
    await sql.execute(_FILL, "deep", "INGESTING", 10, 10, 1)
    await sql.execute("UPDATE ingestion_tasks SET lane_front = false")
    worker_leases = Leases(database, database_url, lease_s=3600)
    assert await worker_leases.claim(Kind.LOADS) is None
    await store.mark_lane_fronts()
    assert await worker_leases.claim(Kind.LOADS) is not None
