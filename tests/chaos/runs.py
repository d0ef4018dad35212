"""Runs of the whole stack: users upload files, faults are injected, and then the invariants must
hold.
"""

import asyncio
import json
import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

import asyncpg
import httpx

from local.instance import Instance
from local.stack import Stack
from services.common import s3
from services.common.settings import S3Settings
from tests.chaos import files, fleet, plan, recovery, users
from tests.chaos.faults import World, heal, strike
from tests.chaos.invariants import Evidence, Verdict, check, drop_path
from tests.chaos.plan import Action, Plan
from tests.chaos.recovery import Recovery
from tests.chaos.users import Sent

STUCK_S = 240.0
"""A task that has not ended this long after the last fault is stuck."""


@dataclass
class Run:
    """A run and its verdict."""

    plan: Plan
    verdict: Verdict
    recovery: Recovery
    sent: Sequence[Sent] = field(repr=False)


@dataclass(frozen=True)
class Site:
    """The place of the runs: the stores of an instance with a separate schema and bucket, and a
    fleet.
    """

    world: World
    stores: "_Stores"


@dataclass(frozen=True)
class _Stores:
    """The stores' addresses without links."""

    stack: Stack
    database_url: str

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Evidence]:
        settings = S3Settings(
            aws_access_key_id=self.stack.s3_access_key,
            aws_secret_access_key=self.stack.s3_secret_key,
            aws_default_region=self.stack.s3_region,
            aws_endpoint_url_s3=self.stack.s3_endpoint,
            s3_bucket_name=self.stack.s3_bucket,
        )
        async with AsyncExitStack() as stack:
            objects = await stack.enter_async_context(s3.client(settings))
            druid = await stack.enter_async_context(
                httpx.AsyncClient(base_url=self.stack.druid_url, timeout=30, trust_env=False)
            )
            sql = await asyncpg.connect(self.database_url, timeout=10)
            stack.push_async_callback(sql.close)
            await sql.set_type_codec(
                "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
            )
            yield Evidence(sql, objects, self.stack.s3_bucket, druid)


@asynccontextmanager
async def site(instance: Instance) -> AsyncIterator[Site]:
    """Create a site on the running stores of the instance; remove it afterwards."""
    name = f"chaos{uuid4().hex[:10]}"
    real = instance.stack
    url = f"{real.database_url}?search_path={name}&application_name={name}"
    mine = replace(real, database_url=url, s3_bucket=name)
    stores = _Stores(mine, url)
    async with AsyncExitStack() as stack:
        async with stores.open() as evidence:
            await evidence.sql.execute(f"CREATE SCHEMA {name}")
            await evidence.objects.create_bucket(Bucket=name)
        stack.push_async_callback(_remove, stores, name)
        replicas = await fleet.start(stack, mine, instance.paths.spool, instance.paths.logs)
        world = World(instance, replicas, url, name)
        await asyncio.wait_for(recovery.all_serving(world), 300)
        yield Site(world, stores)


async def _remove(stores: _Stores, name: str) -> None:
    async with stores.open() as evidence:
        # The table does not exist if the fleet was stopped before it was ready.
        if await evidence.sql.fetchval("SELECT to_regclass('ingestion_tasks')"):
            for row in await evidence.sql.fetch(
                "SELECT DISTINCT datasource_name FROM ingestion_tasks"
            ):
                await evidence.druid.delete(drop_path(row["datasource_name"]))
        await evidence.sql.execute(f"DROP SCHEMA {name} CASCADE")


async def run(at: Site, seed: int, short: bool = False) -> Run:
    """Run the seed's plan."""
    scenario = plan.make(seed, short)
    id_prefix = uuid4().hex[:8]
    async with httpx.AsyncClient(base_url=at.world.fleet.gateway_url, trust_env=False) as http:
        began = asyncio.get_running_loop().time()

        async def send(upload: plan.Upload) -> Sent:
            file = await asyncio.to_thread(files.make, scenario, upload)
            await _until(began + upload.at_s)
            return await users.send(http, scenario, upload, file, id_prefix)

        async def inject(fault: plan.Fault) -> None:
            await _until(began + fault.at_s)
            await strike(at.world, fault)

        sending = [asyncio.create_task(send(each)) for each in scenario.uploads]
        first, *others = scenario.faults
        breaking = [asyncio.create_task(inject(each)) for each in others]
        await _until(began + first.at_s)
        recovered = await recovery.measure(at.world, first)
        await asyncio.gather(*breaking)
        await heal(at.world)
        sent = await asyncio.gather(*sending)
    await asyncio.wait_for(recovery.all_serving(at.world), 300)
    async with at.stores.open() as evidence:
        verdict = await check(evidence, sent, STUCK_S)
    return Run(scenario, verdict, recovered, sent)


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))


def figures(runs: Sequence[Run]) -> dict[str, Any]:
    """Return the figures of all runs for the JSON line."""
    tasks_before = 0
    tasks = 0
    for each in runs:
        # The schema still has the tasks of earlier runs.
        tasks += each.verdict.tasks - tasks_before
        tasks_before = each.verdict.tasks
    return {
        "runs": len(runs),
        "faults": sum(len(each.plan.faults) for each in runs),
        "tasks": tasks,
        "lost": _different(runs, "lost"),
        "doubled": _different(runs, "doubled"),
        "stuck": _different(runs, "stuck"),
        "recovery_p99_s": _p99(runs, Action.KILL),
        "recovery_term_p99_s": _p99(runs, Action.TERM),
        "broken": _different(runs, "broken"),
    }


def _different(runs: Sequence[Run], kind: str) -> int:
    """Count distinct findings: a violation after one run remains after the next."""
    return len({finding for each in runs for finding in getattr(each.verdict, kind)})


def _p99(runs: Sequence[Run], action: Action) -> float | None:
    seconds = [each.recovery.seconds for each in runs if each.recovery.fault.action is action]
    return (
        statistics.quantiles(seconds, n=100, method="inclusive")[98]
        if len(seconds) > 1
        else next(iter(seconds), None)
    )
