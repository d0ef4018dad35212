"""The seed's polling, getIngestionTaskStatus, at a steady rate during uploads of a big file,
compared with a bare read of the same row.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from uuid import uuid4

import aiohttp

from bench.files import data
from bench.support import harness
from bench.support.processes import ROOT, serving
from bench.support.stack import FILES
from local.instance import Instance
from local.services import everything

RATE = 200
WINDOW_S = 4.0
QUERY = """query GetIngestionTaskStatus($taskId: ID!) { getIngestionTaskStatus(taskId: $taskId) {
  taskId status message fileSize rowCount validationErrors errorMessage createdAt updatedAt } }"""

_UPLOAD = """
import sys, httpx
from pathlib import Path
from bench.clients.gateway import Gateway
with httpx.Client(base_url=sys.argv[1], timeout=60) as http:
    gateway = Gateway(http)
    while True:
        task_id = gateway.upload(Path(sys.argv[2]), sys.argv[3], allow_duplicate="true")
        http.post(f"/api/ingest/tasks/{task_id}/cancel").raise_for_status()
        gateway.until_terminal(task_id, seconds=120)
        http.delete(f"/api/ingest/tasks/{task_id}").raise_for_status()
"""

Ask = Callable[[], Awaitable[None]]


async def figures(instance: Instance, pairs: int, size_mib: int) -> dict[str, object]:
    """Return medians over the pairs: WINDOW_S seconds of Sluice and as many of the bare read."""
    path = data.sales_by_size(FILES / f"sales-{size_mib}-mib.csv", size_mib)
    environment = everything(instance.stack, instance.paths.stack.parent)
    ours: list[list[float]] = []
    bare: list[list[float]] = []
    async with (
        serving("gateway", environment=environment) as (gateway_addr, _),
        serving("bench.clients.bare", environment=environment) as (address, _),
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(total=30)
        ) as http,
        _uploading(gateway := f"http://{gateway_addr}", path),
    ):
        task_id = await _receiving(http, gateway)

        async def ask_ours() -> None:
            body = {"query": QUERY, "variables": {"taskId": task_id}}
            async with http.post(f"{gateway}/graphql", json=body) as answer:
                document = await answer.json()
                assert document["data"]["getIngestionTaskStatus"]["taskId"] == task_id, document

        async def ask_bare() -> None:
            async with http.get(f"http://{address}/tasks/{task_id}") as answer:
                assert (await answer.json())["task_id"] == task_id

        for ask in (ask_ours, ask_bare):
            await _steadily(ask, 0.5)
        uploaded = 0
        for _ in range(pairs):
            ours.append(await _steadily(ask_ours, WINDOW_S))
            bare.append(await _steadily(ask_bare, WINDOW_S))
            uploaded += await _is_receiving(http, gateway)
    return {
        "pairs": pairs,
        "requests_per_s": RATE,
        "upload_mib": size_mib,
        "windows_with_upload": uploaded,
        "status_p50_ms": harness.median(_share(each, 0.5) for each in ours),
        "status_p99_ms": harness.median(_share(each, 0.99) for each in ours),
        "status_p99_worst_ms": max(_share(each, 0.99) for each in ours),
        "bare_p50_ms": harness.median(_share(each, 0.5) for each in bare),
        "bare_p99_ms": harness.median(_share(each, 0.99) for each in bare),
        "ratio_bare": harness.median(
            _share(a, 0.99) / _share(b, 0.99) for a, b in zip(ours, bare, strict=True)
        ),
        "ratio_bare_p50": harness.median(
            _share(a, 0.5) / _share(b, 0.5) for a, b in zip(ours, bare, strict=True)
        ),
    }


@asynccontextmanager
async def _uploading(gateway: str, path: Path) -> AsyncIterator[None]:
    """Upload continuously in a separate process; each task is cancelled once its file is stored."""
    arguments = (gateway, str(path), f"bench_status_{uuid4().hex[:8]}")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _UPLOAD, *arguments, cwd=ROOT
    )
    try:
        yield
        assert process.returncode is None, "the upload broke"
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _receiving(http: aiohttp.ClientSession, gateway: str) -> str:
    """Return the id of the task whose file is being uploaded."""
    deadline = monotonic() + 60
    while monotonic() < deadline:
        async with http.get(f"{gateway}/api/ingest/tasks?status=PENDING&limit=1") as answer:
            if tasks := (await answer.json())["tasks"]:
                return str(tasks[0]["task_id"])
        await asyncio.sleep(0.05)
    raise TimeoutError("no upload began")


async def _is_receiving(http: aiohttp.ClientSession, gateway: str) -> bool:
    async with http.get(f"{gateway}/api/ingest/tasks?status=PENDING&limit=1") as answer:
        return bool((await answer.json())["tasks"])


async def _steadily(ask: Ask, seconds: float) -> list[float]:
    """Call `ask` RATE times per second, regardless of its duration; return the sorted milliseconds
    from the time that each call was due to its end.
    """
    began = monotonic()
    delays: list[float] = []

    async def one(due: float) -> None:
        await ask()
        delays.append((monotonic() - due) * 1000)

    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * RATE)):
            due = began + number / RATE
            await asyncio.sleep(max(0.0, due - monotonic()))
            group.create_task(one(due))
    return sorted(delays)


def _share(delays: list[float], share: float) -> float:
    return delays[min(int(len(delays) * share), len(delays) - 1)]
