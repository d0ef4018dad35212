"""Server-sent events over real HTTP and gRPC."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import httpx

from sluice.common.v1.task_pb2 import TaskState
from tests.integration.gateway.conftest import Edge


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    """Each event's id and data."""
    number = ""
    async for line in answer.aiter_lines():
        if line.startswith("id: "):
            number = line.removeprefix("id: ")
        elif line.startswith("data: "):
            yield number, json.loads(line.removeprefix("data: "))


async def test_events_are_followed_to_the_end_and_resumed(edge: Edge) -> None:
    task_id = str(uuid.uuid4())
    status = edge.fakes.status
    status.put(task_id, TaskState.TASK_STATE_PENDING)
    seen = []
    async with (
        asyncio.timeout(10),
        edge.http.stream("GET", f"/api/ingest/tasks/{task_id}/events") as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for number, event in events(answer):
            seen.append((number, event["sequence"], event["status"]))
            if event["status"] == "PENDING":
                status.put(task_id, TaskState.TASK_STATE_UPLOADED)
            elif event["status"] == "UPLOADED":
                status.put(task_id, TaskState.TASK_STATE_REJECTED)
    assert seen == [("1", 1, "PENDING"), ("2", 2, "UPLOADED"), ("3", 3, "REJECTED")]
    later = await edge.http.get(
        f"/api/ingest/tasks/{task_id}/events", headers={"Last-Event-ID": "2"}
    )
    assert [line for line in later.text.splitlines() if line.startswith("id:")] == ["id: 3"]
    done = await edge.http.get(
        f"/api/ingest/tasks/{task_id}/events", headers={"Last-Event-ID": "3"}
    )
    assert (done.status_code, done.content) == (204, b"")


async def test_a_watch_that_breaks_is_resumed_without_gap_or_repeat(edge: Edge) -> None:
    task_id = str(uuid.uuid4())
    status = edge.fakes.status
    status.put(task_id, TaskState.TASK_STATE_PENDING)
    seen = []
    async with (
        asyncio.timeout(20),
        edge.http.stream("GET", f"/api/ingest/tasks/{task_id}/events") as answer,
    ):
        async for _, event in events(answer):
            seen.append(event["sequence"])
            if event["status"] == "PENDING":
                status.break_watches.set()
                status.put(task_id, TaskState.TASK_STATE_VALIDATING)
            elif event["status"] == "VALIDATING":
                status.put(task_id, TaskState.TASK_STATE_SUCCEEDED)
    assert seen == [1, 2, 3]


async def test_all_who_follow_a_task_share_one_watch(edge: Edge) -> None:
    task_id = str(uuid.uuid4())
    status = edge.fakes.status
    status.put(task_id, TaskState.TASK_STATE_PENDING)
    begun = asyncio.Semaphore(0)

    async def follow() -> list[int]:
        seen = []
        async with edge.http.stream("GET", f"/api/ingest/tasks/{task_id}/events") as answer:
            async for _, event in events(answer):
                seen.append(event["sequence"])
                begun.release()
        return seen

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        followers = [group.create_task(follow()) for _ in range(8)]
        for _ in followers:
            await begun.acquire()
        metrics = (await edge.http.get("/metrics")).text
        status.put(task_id, TaskState.TASK_STATE_SUCCEEDED)
    assert [follower.result() for follower in followers] == [[1, 2]] * 8
    assert status.watches == 1
    assert "sluice_open_watches 1.0" in metrics


async def test_unknown_tasks_and_wrong_numbers_are_refused(edge: Edge) -> None:
    missing = await edge.http.get("/api/ingest/tasks/nobody/events")
    assert (missing.status_code, missing.json()["code"]) == (404, "TASK_NOT_FOUND")
    wrong = await edge.http.get("/api/ingest/tasks/nobody/events", headers={"Last-Event-ID": "x"})
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["column"]) == (
        400,
        "REQUEST_INVALID",
        "last-event-id",
    )


async def test_streams_end_when_the_gateway_stops(edge: Edge) -> None:
    task_id = str(uuid.uuid4())
    edge.fakes.status.put(task_id, TaskState.TASK_STATE_PENDING)
    async with (
        asyncio.timeout(5),
        edge.http.stream("GET", f"/api/ingest/tasks/{task_id}/events") as answer,
    ):
        follower = events(answer)
        assert (await anext(follower))[1]["sequence"] == 1
        stopping = asyncio.create_task(edge.life.aclose())
        assert [event async for event in follower] == []
        await stopping
