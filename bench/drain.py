"""Small tasks queued during a Druid outage: all must succeed afterwards, with bounded memory and
without overloading Druid.
"""

import asyncio
import random
from time import monotonic
from uuid import uuid4

import asyncpg
import httpx

from bench.support import harness
from bench.support.stack import running
from local.instance import Instance

ROLES = ("druid_indexer", "druid_historical", "druid_broker", "druid_router", "druid_coordinator")
PROCESSES = ("gateway", "upload", "validation", "status", "druid_gateway")
DATASOURCES = 20
CONCURRENCY = 8
ROWS = 20
TIMEOUT_S = 3600.0


def main(tasks: int, away_s: float, seed: int, instance: str) -> None:
    """Print the table, and the JSON line with succeeded, drain_s, tries_while_away and the memory
    growth.
    """
    with running(instance) as stack:
        figures = asyncio.run(_drain(stack, tasks, away_s, seed))
    harness.table(
        f"{tasks:,} tasks, Druid unavailable for {away_s:g} s", ["figure", "value"], figures.items()
    )
    harness.conclude(bench="drain", seed=seed, **figures)


async def _drain(stack: Instance, tasks: int, away_s: float, seed: int) -> dict[str, object]:
    chance, run = random.Random(seed), uuid4().hex[:8]
    pids = {name: stack.pid(name) for name in PROCESSES}
    before = {name: harness.rss_mib(pid) for name, pid in pids.items()}
    for pid in pids.values():
        harness.reset_peak(pid)
    for role in ROLES:
        stack.stop_program(role)
    stopped_at = monotonic()
    async with httpx.AsyncClient(base_url=stack.stack.gateway_url, timeout=120) as http:
        slots = asyncio.Semaphore(CONCURRENCY)

        async def upload(number: int) -> str:
            async with slots:
                name = f"bench_drain_{run}_{chance.randrange(DATASOURCES)}"
                answer = await http.post(
                    "/api/ingest/upload",
                    data={"datasource_name": name},
                    files={"file": ("s.csv", _csv(number))},
                )
                return str(answer.raise_for_status().json()["task_id"])

        task_ids = await asyncio.gather(*(upload(number) for number in range(tasks)))
        queued_s = monotonic() - stopped_at
        sql = await asyncpg.connect(stack.stack.database_url)
        try:
            await asyncio.sleep(max(0.0, away_s - queued_s))
            tries = "SELECT count(*) FROM stage_runs WHERE task_id = ANY($1) AND state = 'INGESTING' AND outcome = 'GIVEN_BACK'"
            tried = await sql.fetchval(tries, task_ids)
            began = monotonic()
            for role in reversed(ROLES):
                stack.start_program(role)
            max_loading = await _until_ended(sql, task_ids)
            drain_s = monotonic() - began
            succeeded = await sql.fetchval(
                "SELECT count(*) FROM ingestion_tasks WHERE task_id = ANY($1) AND status = 'SUCCEEDED'",
                task_ids,
            )
            rows = await sql.fetchval(
                "SELECT sum(row_count) FROM ingestion_tasks WHERE task_id = ANY($1)", task_ids
            )
        finally:
            await sql.close()
    return {
        "tasks": tasks,
        "succeeded": succeeded,
        "rows_missing": tasks * ROWS - int(rows or 0),
        "away_s": monotonic() - stopped_at - drain_s,
        "queued_s": queued_s,
        "drain_s": drain_s,
        "tries_while_away": tried,
        "most_at_druid": max_loading,
        **{
            f"growth_{name}_mib": harness.peak_mib(pid) - before[name] for name, pid in pids.items()
        },
    }


async def _until_ended(sql: "asyncpg.Connection[asyncpg.Record]", task_ids: list[str]) -> int:
    """Wait for the end of all tasks; return the maximum number of concurrent loads in Druid."""
    max_loading, deadline = 0, monotonic() + TIMEOUT_S
    running = """SELECT count(*) FILTER (WHERE completed_at IS NULL) AS left,
        count(*) FILTER (WHERE status = 'INGESTING' AND druid_task_id IS NOT NULL) AS loading
        FROM ingestion_tasks WHERE task_id = ANY($1)"""
    while monotonic() < deadline:
        row = await sql.fetchrow(running, task_ids)
        assert row is not None
        max_loading = max(max_loading, int(row["loading"]))
        if not row["left"]:
            return max_loading
        await asyncio.sleep(0.2)
    raise TimeoutError(f"not all tasks ended within {TIMEOUT_S:g} s")


def _csv(number: int) -> bytes:
    lines = ["order_date,order_id,region,product,quantity,revenue"]
    lines += [
        f"2024-01-{row % 28 + 1:02} 10:00:00,{number * ROWS + row},north,thing,{row},{row / 4}"
        for row in range(ROWS)
    ]
    return "\n".join(lines).encode()
