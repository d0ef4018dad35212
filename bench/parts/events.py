"""Latency from the commit of a transition to the watchers behind the gateway, and a reconnect storm
of 2,000 watchers.

Starts its own gateway and its own status service, without a pipeline and in a separate schema of
the stack's PostgreSQL. The transitions are committed through StatusService. Half of the watchers
use SSE, half GraphQL subscriptions. An event's time is the database's, just before the commit.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

import aiohttp
import asyncpg

from bench.clients.watchers import Sse, Subscription, Watcher
from bench.support import harness
from bench.support.processes import serving
from local.instance import Instance
from local.services import everything
from services.common.serving.channels import connect
from sluice.common.v1.task_pb2 import LoadMode, UploadMode
from sluice.status.v1 import status_pb2
from sluice.status.v1.status_pb2_grpc import StatusServiceStub

TASKS = 50
WATCHERS = 500
EVENTS_PER_S = 100
STORM_WATCHERS = 2000
TIMEOUT_S = 60.0


@dataclass
class Target:
    """The measured processes."""

    status: StatusServiceStub
    http: aiohttp.ClientSession
    sql: "asyncpg.Connection[asyncpg.Record]"
    pids: dict[str, int]


@asynccontextmanager
async def target(instance: Instance) -> AsyncIterator[Target]:
    """Start a status service and a gateway."""
    schema = f"bench_{uuid.uuid4().hex[:12]}"
    url = instance.stack.database_url
    sql = await asyncpg.connect(url)
    await sql.execute(f"CREATE SCHEMA {schema}")
    try:
        await sql.execute(f"SET search_path TO {schema}")
        environment = everything(instance.stack, instance.paths.stack.parent)
        own = {
            **environment,
            "PIPELINE_WORKERS": "0",
            "DATABASE_URL": f"{url}{'&' if '?' in url else '?'}search_path={schema}",
        }
        async with (
            serving("services.status", environment=own) as (status_addr, status_pid),
            serving("gateway", environment={**environment, "STATUS_ADDR": status_addr}) as (
                gateway_addr,
                gateway_pid,
            ),
            aiohttp.ClientSession(
                f"http://{gateway_addr}",
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=TIMEOUT_S),
            ) as http,
            connect(status_addr) as channel,
        ):
            await channel.channel_ready()
            yield Target(
                StatusServiceStub(channel),
                http,
                sql,
                {"status": status_pid, "gateway": gateway_pid},
            )
    finally:
        await sql.execute(f"DROP SCHEMA {schema} CASCADE")
        await sql.close()


async def latency(target: Target, rounds: int) -> dict[str, object]:
    """Return the figures of `rounds` rounds of TASKS tasks with WATCHERS watchers and two
    transitions per task, at EVENTS_PER_S in total.

    A first round is reported separately: all watchers connect to two fresh processes.
    """
    first = await _round(target)
    delays: list[float] = []
    cpu_before, began = harness.cpu_seconds(target.pids.values()), monotonic()
    for _ in range(rounds):
        delays += await _round(target)
    seconds = monotonic() - began
    cpu = (harness.cpu_seconds(target.pids.values()) - cpu_before) / seconds
    return {
        "events": rounds * TASKS * 2,
        "deliveries": len(delays),
        "event_latency_p50_ms": _percentile_ms(delays, 50),
        "event_latency_p99_ms": _percentile_ms(delays, 99),
        "event_latency_max_ms": max(delays) * 1000,
        "first_round_p99_ms": _percentile_ms(first, 99),
        "cores_used": cpu,
    }


async def _round(target: Target) -> list[float]:
    """Return the seconds from each event to each of its watchers."""
    tasks = await _create(target, TASKS)
    watchers = _watchers(target.http, tasks, WATCHERS)
    async with _following(watchers) as following:
        await _commit(target, tasks)
        await asyncio.wait_for(asyncio.gather(*following), TIMEOUT_S)
    return await _delays(target, watchers)


def _percentile_ms(seconds: list[float], percent: int) -> float:
    return sorted(seconds)[len(seconds) * percent // 100] * 1000


async def storm(target: Target) -> dict[str, object]:
    """Return the figures of STORM_WATCHERS watchers that lose their connections while the tasks
    end.
    """
    tasks = await _create(target, TASKS)
    watchers = _watchers(target.http, tasks, STORM_WATCHERS)
    began = monotonic()
    async with _following(watchers) as following:
        connected_s = monotonic() - began
        memory = {f"{name}_mib": harness.peak_mib(pid) for name, pid in target.pids.items()}
        held = sum(not task.done() for task in following)
        ending = asyncio.create_task(_commit(target, tasks))
        began = monotonic()
        for watcher in watchers:
            watcher.drop()
        await ending
        await asyncio.wait(following, timeout=TIMEOUT_S)
        storm_s = monotonic() - began
    missed = sum("CANCELLED" not in watcher.received for watcher in watchers)
    gaps = sum(watcher.sequences != [1, 2, 3] for watcher in watchers if isinstance(watcher, Sse))
    return {
        "watchers_held": held,
        "connect_s": connected_s,
        "storm_missed_terminal": missed,
        "storm_gaps": gaps,
        "storm_s": storm_s,
        **memory,
    }


async def _create(target: Target, count: int) -> list[str]:
    async def create(task_id: str) -> str:
        request = status_pb2.CreateTaskRequest(
            request_id=task_id,
            task_id=task_id,
            datasource="bench",
            filename="sales.csv",
            file_uri=f"s3://bucket/uploads/bench/{task_id}.csv",
            upload_mode=UploadMode.UPLOAD_MODE_ONE_SHOT,
            load_mode=LoadMode.LOAD_MODE_APPEND,
        )
        await target.status.CreateTask(request)
        return task_id

    return list(await asyncio.gather(*(create(str(uuid.uuid4())) for _ in range(count))))


def _watchers(http: aiohttp.ClientSession, tasks: Sequence[str], count: int) -> list[Watcher]:
    kinds: list[type[Sse] | type[Subscription]] = [Sse, Subscription]
    return [
        kinds[number // len(tasks) % 2](http, tasks[number % len(tasks)]) for number in range(count)
    ]


async def _commit(target: Target, tasks: Sequence[str]) -> None:
    """Move each task to UPLOADED, then each to CANCELLED, at EVENTS_PER_S."""
    began = monotonic()
    uploaded: dict[str, asyncio.Task[None]] = {}
    async with asyncio.TaskGroup() as calls:
        for number in range(2 * len(tasks)):
            await asyncio.sleep(max(0.0, began + number / EVENTS_PER_S - monotonic()))
            task_id = tasks[number % len(tasks)]
            if number < len(tasks):
                uploaded[task_id] = calls.create_task(_upload(target, task_id))
            else:
                calls.create_task(_cancel(target, task_id, uploaded[task_id]))


async def _upload(target: Target, task_id: str) -> None:
    await target.status.CompleteUpload(
        status_pb2.CompleteUploadRequest(task_id=task_id, file_size=1000)
    )


async def _cancel(target: Target, task_id: str, uploaded: "asyncio.Task[None]") -> None:
    await uploaded
    await target.status.CancelTask(status_pb2.CancelTaskRequest(task_id=task_id))


@asynccontextmanager
async def _following(watchers: Sequence[Watcher]) -> AsyncIterator[list["asyncio.Task[None]"]]:
    """Start the watchers; cancel the remaining ones afterwards."""
    following = [asyncio.create_task(watcher.follow()) for watcher in watchers]
    try:
        await asyncio.wait_for(
            asyncio.gather(*(watcher.following.wait() for watcher in watchers)), TIMEOUT_S
        )
        yield following
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def _delays(target: Target, watchers: Sequence[Watcher]) -> list[float]:
    """Return the seconds from each event to each watcher. A status that a watcher skipped counts as
    received with the next one.
    """
    rows = await target.sql.fetch(
        "SELECT task_id, state, extract(epoch FROM created_at)::float8 AS at FROM task_events WHERE kind = 'STATE' AND sequence > 1"
    )
    committed = {(row["task_id"], row["state"]): row["at"] for row in rows}
    delays = []
    for watcher in watchers:
        ended = watcher.received["CANCELLED"]
        delays += [
            watcher.received.get(state, ended) - committed[watcher.task_id, state]
            for state in ("UPLOADED", "CANCELLED")
        ]
    return delays
