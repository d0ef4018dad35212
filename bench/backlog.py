"""What a long backlog of one datasource costs a claim, on the stack's own PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import perf_counter
from uuid import uuid4

import asyncpg

from bench.support import harness
from bench.support.stack import running
from services.status.db.database import Database
from services.status.db.leases import Leases
from services.status.db.migrate import migrate
from services.status.tasks.queues import Kind

FEW, MANY = 10, 10_000
WARM_UP = 20

_FILL = """
INSERT INTO ingestion_tasks (task_id, request_id, datasource_name, original_filename, file_uri,
    status, upload_mode, load_mode, file_size, next_run_at, client, created_at)
SELECT id, id, 'deep', 'f.csv', 's3://bucket/key', 'INGESTING', 'ONE_SHOT', 'APPEND', 1000, now(),
    'client', now() - make_interval(mins => 60) + make_interval(secs => i * 0.1)
FROM (SELECT gen_random_uuid()::text AS id, i FROM generate_series(1, $1) AS i) AS numbers
"""


def main(pairs: int, claims: int, instance: str) -> None:
    """Prints the milliseconds of a claim with few and with many loads waiting, and the line with
    claim_ratio, the median of the pairs' ratios. A pair is `claims` claims of each, in turn.
    """
    with running(instance, "postgres") as stack:
        few, many = asyncio.run(_measure(stack.stack.database_url, pairs, claims))
    ratios = [slow / fast for fast, slow in zip(few, many, strict=True)]
    harness.table(
        f"A claim, {pairs} pairs of {claims} each, medians",
        ["waiting", "ms", "spread"],
        [(f"{FEW:,}", *_ms(few)), (f"{MANY:,}", *_ms(many)), ("ratio", *_spread(ratios))],
    )
    harness.conclude(
        bench="backlog",
        pairs=pairs,
        claims=claims,
        claim_few_ms=harness.median(few) * 1000,
        claim_many_ms=harness.median(many) * 1000,
        claim_ratio=harness.median(ratios),
    )


def _ms(seconds: list[float]) -> tuple[str, str]:
    return _spread([each * 1000 for each in seconds])


def _spread(figures: list[float]) -> tuple[str, str]:
    return f"{harness.median(figures):.2f}", f"{min(figures):.2f} to {max(figures):.2f}"


async def _measure(database_url: str, pairs: int, claims: int) -> tuple[list[float], list[float]]:
    """Median seconds of a claim in each pair, with few and with many waiting."""
    few, many = list[float](), list[float]()
    async with AsyncExitStack() as stack:
        short = await stack.enter_async_context(_backlog(database_url, FEW))
        long = await stack.enter_async_context(_backlog(database_url, MANY))
        await _claims(short, WARM_UP)
        await _claims(long, WARM_UP)
        for _ in range(pairs):
            few.append(harness.median(await _claims(short, claims)))
            many.append(harness.median(await _claims(long, claims)))
    return few, many


@asynccontextmanager
async def _backlog(database_url: str, waiting: int) -> AsyncIterator[Leases]:
    """The leases of a process on a schema in which loads of one datasource wait."""
    schema = f"bench_backlog_{uuid4().hex[:8]}"
    url = f"{database_url}{'&' if '?' in database_url else '?'}search_path={schema}"
    observer = await asyncpg.connect(database_url)
    try:
        await observer.execute(f"CREATE SCHEMA {schema}")
        await migrate(url)
        await observer.execute(f"SET search_path = {schema}")
        await observer.execute(_FILL, waiting)
        await observer.execute("VACUUM ANALYZE ingestion_tasks")
        async with AsyncExitStack() as stack:
            database = Database(url, connections=1)
            await database.open(stack)
            await database.migrated.wait()
            yield Leases(database, url, lease_s=60)
        await observer.execute(f"DROP SCHEMA {schema} CASCADE")
    finally:
        await observer.close()


async def _claims(leases: Leases, count: int) -> list[float]:
    """Seconds of each claim. Each is given back before the next."""
    took = []
    for _ in range(count):
        began = perf_counter()
        lease = await leases.claim(Kind.LOADS)
        took.append(perf_counter() - began)
        if lease is None:
            raise RuntimeError("nothing was due")
        await leases.release(lease)
    return took
