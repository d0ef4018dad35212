"""Watching and cancelling a task through the gateway."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from time import monotonic
from typing import Any

import httpx

from tests.e2e.gateway import Gateway
from tests.tables import sales_csv


async def events(
    http: httpx.AsyncClient, task_id: str, after: int | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Yield the task's server-sent events until the server ends the stream."""
    headers = {} if after is None else {"Last-Event-ID": str(after)}
    async with http.stream(
        "GET", f"/api/ingest/tasks/{task_id}/events", headers=headers, timeout=60
    ) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


async def test_events_are_complete_and_resumable(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    task_id = await gateway.upload("watched.csv", sales_csv(300), new_datasource("watched"))
    live = [event async for event in events(gateway.http, task_id)]
    assert [event["sequence"] for event in live] == list(range(1, len(live) + 1))
    states = [event["status"] for event in live if event["kind"] == "state"]
    assert states == ["PENDING", "UPLOADED", "VALIDATING", "INGESTING", "VERIFYING", "SUCCEEDED"]
    resumed = [event async for event in events(gateway.http, task_id, after=3)]
    assert [event["sequence"] for event in resumed] == list(range(4, len(live) + 1))


async def test_an_unknown_task(gateway: Gateway) -> None:
    for path in ("", "/events", "/report", "/rejects"):
        answer = await gateway.http.get(
            f"/api/ingest/tasks/00000000-0000-0000-0000-000000000000{path}"
        )
        assert (answer.status_code, answer.json()["code"]) == (404, "TASK_NOT_FOUND")


async def test_cancel_while_ingesting(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("cancelled")
    task_id = await gateway.upload("cancelled.csv", sales_csv(60_000), datasource)
    await gateway.until(task_id, {"INGESTING"})
    answer = await gateway.http.post(f"/api/ingest/tasks/{task_id}/cancel")
    assert answer.status_code in {200, 202}, answer.text
    task = await gateway.until(task_id, {"CANCELLED"}, seconds=15)
    assert task["error"]["code"] == "CANCELLED"
    assert await gateway.rows_in_druid(datasource) == 0
    again = await gateway.http.post(f"/api/ingest/tasks/{task_id}/cancel")
    assert again.status_code in {200, 202}


async def test_a_client_that_disconnects_leaves_nothing(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    """The connection breaks during the upload: CANCELLED with CLIENT_GONE."""
    datasource, begun = new_datasource("gone"), asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield (
            f'--x\r\nContent-Disposition: form-data; name="datasource_name"\r\n\r\n{datasource}\r\n'
            '--x\r\nContent-Disposition: form-data; name="file"; filename="gone.csv"\r\n\r\n'
        ).encode()
        yield sales_csv(50_000)
        begun.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(
        gateway.http.post(
            "/api/ingest/upload",
            content=body(),
            headers={"Content-Type": "multipart/form-data; boundary=x"},
        )
    )
    await begun.wait()
    task_id = await until_listed(gateway, datasource)
    sending.cancel()
    task = await gateway.until(task_id, {"CANCELLED"}, seconds=20)
    assert task["error"]["code"] == "CLIENT_GONE"


async def until_listed(gateway: Gateway, datasource: str, seconds: float = 20) -> str:
    """Return the id of the first task of a datasource, once it exists."""
    deadline = monotonic() + seconds
    while True:
        listed = (
            await gateway.http.get("/api/ingest/tasks", params={"datasource_name": datasource})
        ).json()["tasks"]
        if listed:
            return str(listed[0]["task_id"])
        assert monotonic() < deadline, f"no task of {datasource} after {seconds:g} s"
        await asyncio.sleep(0.05)
