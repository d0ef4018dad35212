"""Recovery time of the measured fault: until the service responds again, and until a worker
continues the affected tasks.

No other fault is injected in the seconds after it.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

import asyncpg
import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.chaos.faults import World, strike
from tests.chaos.plan import QUIET_S, Fault

PAUSE_S = 0.03

_STATES_OF = {
    "validation": ("VALIDATING",),
    "druid_gateway": ("INGESTING", "VERIFYING", "CLEANING"),
}
"""States in which a task needs the service. Tasks that were not affected keep their attempt, or get
a new one for another reason, such as leaving the queue; they do not count.
"""

_HIT = """
SELECT t.task_id, t.attempt, t.completed_at, t.worker, EXISTS (
    SELECT FROM task_events e WHERE e.task_id = t.task_id AND e.sequence > w.last_sequence AND e.kind = 'RETRY') AS given_up
FROM unnest($1::text[], $2::bigint[]) AS w (task_id, last_sequence) JOIN ingestion_tasks t USING (task_id)
"""


@dataclass(frozen=True)
class Recovery:
    """The recovery from the measured fault."""

    fault: Fault
    service_s: float
    """Seconds until the service responded at its address, which also has its other replica."""
    task_s: float
    """Seconds until the last affected task had a new worker or attempt; 0 if there was none."""
    tasks: int

    @property
    def seconds(self) -> float:
        return max(self.service_s, self.task_s)


async def measure(world: World, fault: Fault) -> Recovery:
    """Inject the fault and measure the recovery."""
    service = fault.target.rpartition("-")[0]
    sql = await asyncpg.connect(world.database_url, timeout=10)
    try:
        before = {
            row["task_id"]: row
            for row in await sql.fetch(
                "SELECT task_id, attempt, worker, status, last_sequence FROM ingestion_tasks WHERE completed_at IS NULL"
            )
        }
        began = monotonic()
        pid = await strike(world, fault)
        answering = asyncio.create_task(_until_it_answers(world, service))
        hit = await _until_worked_on(sql, before, service, pid, began, QUIET_S[fault.action] - 1)
        service_s = await asyncio.wait_for(answering, 60) - began
    finally:
        await sql.close()
    return Recovery(fault, service_s, max(hit.values(), default=0.0), len(hit))


async def _until_worked_on(
    sql: "asyncpg.Connection[asyncpg.Record]",
    before: dict[str, asyncpg.Record],
    service: str,
    pid: int,
    began: float,
    within_s: float,
) -> dict[str, float]:
    """Return the seconds until each affected task had a higher attempt or had ended."""
    must = {
        task_id
        for task_id, row in before.items()
        if service == "status" and pid and f"-{pid}-" in (row["worker"] or "")
    }
    may = {
        task_id for task_id, row in before.items() if row["status"] in _STATES_OF.get(service, ())
    }
    found: dict[str, float] = {}
    watched = sorted(must | may)
    while monotonic() - began < within_s and (may or must - found.keys()):
        for row in await sql.fetch(
            _HIT, watched, [before[task_id]["last_sequence"] for task_id in watched]
        ):
            task_id = row["task_id"]
            resumed = (
                row["attempt"] > before[task_id]["attempt"]
                and row["worker"] is not None
                and (task_id in must or row["given_up"])
            )
            if task_id not in found and (
                resumed or (task_id in must and row["completed_at"] is not None)
            ):
                found[task_id] = monotonic() - began
        await asyncio.sleep(PAUSE_S)
    return {**found, **dict.fromkeys(must - found.keys(), within_s)}


async def _until_it_answers(world: World, service: str) -> float:
    """Wait until the service is healthy at its address; return that time."""
    while True:
        began = monotonic()
        with suppress(grpc.RpcError, httpx.TransportError):
            if await _answers(world, service):
                return monotonic()
        await asyncio.sleep(max(0.0, PAUSE_S - (monotonic() - began)))


async def _answers(world: World, service: str) -> bool:
    port = world.fleet.links[service].port
    if service == "gateway":
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"http://127.0.0.1:{port}/healthz", timeout=1)).is_success
    async with grpc.aio.insecure_channel(
        f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]
    ) as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(), timeout=1
        )
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def all_serving(world: World) -> None:
    """Wait until every service is healthy at its address."""
    await asyncio.gather(
        *(
            _until_it_answers(world, service)
            for service in ("status", "upload", "validation", "druid_gateway", "gateway")
        )
    )
