"""SUCCEEDED must mean that the rows are queryable: loads small files, 8 concurrently; an
independent client counts each as soon as it SUCCEEDED.
"""

import asyncio
import random
from time import monotonic
from uuid import uuid4

import httpx

from bench.clients.gateway import TERMINAL
from bench.support import harness
from bench.support.stack import running
from local.instance import Instance

CONCURRENCY = 8
DATASOURCES = 8
MAX_ROWS = 2_000
DEADLINE_S = 300.0
POLL_S = 0.05
ATTEMPTS = 3


def main(loads: int, seed: int, instance: str) -> None:
    """Print the JSON line with loads and false_done: loads whose rows a query did not all count as
    soon as they SUCCEEDED.
    """
    with running(instance) as stack:
        figures = asyncio.run(_measure(stack, loads, seed))
    harness.conclude(bench="false_done", seed=seed, **figures)


async def _measure(stack: Instance, loads: int, seed: int) -> dict[str, object]:
    chance, run = random.Random(seed), uuid4().hex[:8]
    names = [f"bench_done_{run}_{number}" for number in range(DATASOURCES)]
    files = [
        (chance.choice(names), chance.randrange(1, MAX_ROWS + 1), chance.random())
        for _ in range(loads)
    ]
    slots = asyncio.Semaphore(CONCURRENCY)
    ends: list[str] = []
    false_done: list[str] = []
    seconds: list[float] = []
    async with (
        httpx.AsyncClient(base_url=stack.stack.gateway_url, timeout=120) as gateway,
        httpx.AsyncClient(base_url=stack.stack.druid_url, timeout=60) as druid,
    ):

        async def load(datasource: str, rows: int, salt: float) -> None:
            async with slots:
                began = monotonic()
                file = {"file": ("small.csv", _csv(rows, salt))}
                task_id = await _upload(gateway, datasource, file)
                status = await _end(gateway, task_id)
                ends.append(status)
                if (
                    status == "SUCCEEDED"
                    and (counted := await _counted(druid, datasource, task_id)) != rows
                ):
                    false_done.append(f"{task_id}: {counted} of {rows}")
                seconds.append(monotonic() - began)

        started = monotonic()
        await asyncio.gather(*(load(*file) for file in files))
        took = monotonic() - started
        for name in names:
            await druid.delete(f"/druid/coordinator/v1/datasources/{name}")
    for each in false_done:
        print(each)
    return {
        "loads": ends.count("SUCCEEDED"),
        "false_done": len(false_done),
        "not_succeeded": loads - ends.count("SUCCEEDED"),
        "p50_s": harness.median(seconds),
        "loads_per_s": loads / took,
    }


async def _upload(
    gateway: httpx.AsyncClient, datasource: str, file: dict[str, tuple[str, bytes]]
) -> str:
    """Upload with one idempotency key; retry server errors."""
    key = {"Idempotency-Key": uuid4().hex}
    for _ in range(ATTEMPTS):
        answer = await gateway.post(
            "/api/ingest/upload", data={"datasource_name": datasource}, files=file, headers=key
        )
        if not answer.is_server_error:
            break
    return str(answer.raise_for_status().json()["task_id"])


async def _end(gateway: httpx.AsyncClient, task_id: str) -> str:
    deadline = monotonic() + DEADLINE_S
    while True:
        status = str(
            (await gateway.get(f"/api/ingest/tasks/{task_id}")).raise_for_status().json()["status"]
        )
        if status in TERMINAL:
            return status
        if monotonic() > deadline:
            raise TimeoutError(f"task {task_id} is still {status}")
        await asyncio.sleep(POLL_S)


async def _counted(druid: httpx.AsyncClient, datasource: str, task_id: str) -> int:
    query = {"query": f"SELECT COUNT(*) AS n FROM \"{datasource}\" WHERE __load_id = '{task_id}'"}
    answer = await druid.post("/druid/v2/sql", json=query)
    return int(answer.json()[0]["n"]) if answer.status_code == httpx.codes.OK else -1


def _csv(rows: int, salt: float) -> bytes:
    """Return a unique file."""
    lines = ["order_date,order_id,region,quantity,revenue"]
    lines += [
        f"2024-0{number % 3 + 1}-{number % 28 + 1:02}T10:00:00Z,{number},north,{number % 20},{salt + number}"
        for number in range(rows)
    ]
    return "\n".join(lines).encode()
