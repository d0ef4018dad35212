"""Task lists, retries, deletes, statistics, webhooks, and following all tasks."""

import asyncio
from contextlib import aclosing

import httpx
import pytest

from gateway.live import all_watch
from gateway.live.all_watch import AllWatch
from services.common.errors import SluiceError
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import Task, TaskEvent, WatchTasksResponse
from tests.unit.gateway.edge_fakes import TASK_ID, FakeTasks, application


def client(tasks: FakeTasks) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(application(tasks)), base_url="http://localhost:8000"
    )


async def test_lists_are_filtered() -> None:
    tasks = FakeTasks()
    params: list[tuple[str, str | int | float | bool | None]] = [
        ("datasource", "sales"),
        ("status", "FAILED"),
        ("status", "TIMEOUT"),
        ("text", "x%"),
        ("since", "2026-01-31T12:00:00Z"),
        ("until", "2026-02-01"),
        ("limit", "7"),
        ("page_token", "t"),
    ]
    async with client(tasks) as http:
        assert (await http.get("/api/ingest/tasks", params=params)).status_code == 200
    (asked,) = tasks.listed
    assert (asked.datasource, asked.text, asked.page_size, asked.page_token) == (
        "sales",
        "x%",
        7,
        "t",
    )
    assert list(asked.states) == [TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_TIMEOUT]
    assert (asked.since.ToJsonString(), asked.until.ToJsonString()) == (
        "2026-01-31T12:00:00Z",
        "2026-02-01T00:00:00Z",
    )


async def test_graphql_has_the_same_filters() -> None:
    tasks = FakeTasks()
    query = '{ listIngestionTasks(status: ["FAILED"], dataSourceName: "sales", text: "x", since: "2026-01-31T12:00:00+01:00") { taskId } }'
    async with client(tasks) as http:
        assert "errors" not in (await http.post("/graphql", json={"query": query})).json()
        wrong = (
            await http.post(
                "/graphql", json={"query": '{ listIngestionTasks(status: ["DONE"]) { taskId } }'}
            )
        ).json()
    (asked,) = tasks.listed
    assert (asked.datasource, asked.text, list(asked.states)) == (
        "sales",
        "x",
        [TaskState.TASK_STATE_FAILED],
    )
    assert asked.since.ToJsonString() == "2026-01-31T11:00:00Z"
    assert wrong["errors"][0]["extensions"]["code"] == "REQUEST_INVALID"


async def test_an_invalid_time_is_rejected() -> None:
    async with client(FakeTasks()) as http:
        response = await http.get("/api/ingest/tasks", params={"since": "yesterday"})
    assert (response.status_code, response.json()["code"], response.json()["column"]) == (
        400,
        "REQUEST_INVALID",
        "since",
    )


async def test_a_retry_returns_both_task_ids() -> None:
    tasks = FakeTasks()
    async with client(tasks) as http:
        response = await http.post(
            f"/api/ingest/tasks/{TASK_ID}/retry", headers={"Idempotency-Key": "once"}
        )
    new = response.json()["task_id"]
    assert (response.status_code, response.json()) == (
        202,
        {"task_id": new, "status": "ACCEPTED", "retry_of": TASK_ID},
    )
    assert response.headers["location"] == f"/api/ingest/tasks/{new}"
    assert [(each.task_id, each.request_id) for each in tasks.retried] == [(TASK_ID, "once")]


async def test_deleting_files_returns_the_task() -> None:
    async with client(FakeTasks()) as http:
        response = await http.delete(f"/api/ingest/tasks/{TASK_ID}")
    assert (response.status_code, response.json()["files_deleted_at"]) == (
        200,
        "1970-01-01T00:00:01.000Z",
    )


@pytest.mark.parametrize(
    "name", ["cancelIngestionTask", "retryIngestionTask", "deleteIngestionTaskFiles"]
)
async def test_graphql_retries_and_deletes_files(name: str) -> None:
    async with client(FakeTasks()) as http:
        response = await http.post(
            "/graphql",
            json={"query": f'mutation {{ {name}(taskId: "{TASK_ID}") {{ taskId status }} }}'},
        )
    assert response.json()["data"][name]["taskId"]
    assert "errors" not in response.json()


def task_event(number: int, datasource: str = "sales") -> WatchTasksResponse:
    return WatchTasksResponse(
        event=TaskEvent(task_id=TASK_ID, position=number),
        task=Task(task_id=TASK_ID, datasource=datasource),
    )


async def test_followers_of_all_tasks_share_one_stream() -> None:
    tasks = FakeTasks()
    watch = AllWatch(tasks)

    async def first(datasource: str, count: int) -> list[int]:
        seen: list[int] = []
        async with aclosing(watch.follow(datasource, 5)) as events:
            async for item in events:
                seen += [item[0].position] if item else []
                if len(seen) == count:
                    break
        return seen

    following = [
        asyncio.create_task(first("", 3)),
        asyncio.create_task(first("sales", 2)),
        asyncio.create_task(first("", 3)),
    ]
    await asyncio.sleep(0)
    for item in (task_event(1), task_event(2, "other"), task_event(3)):
        tasks.all.put_nowait(item)
    assert await asyncio.gather(*following) == [[1, 2, 3], [1, 3], [1, 2, 3]]
    await watch.close()


async def test_a_follower_that_reads_too_slowly_gets_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(all_watch, "KEPT_EVENTS", 4)
    tasks = FakeTasks()
    watch = AllWatch(tasks)
    async with aclosing(watch.follow("", 5)) as slow:
        tasks.all.put_nowait(task_event(0))
        assert await anext(slow)
        async with aclosing(watch.follow("", 5)) as quick:
            for number in range(1, 7):
                tasks.all.put_nowait(task_event(number))
                item = await anext(quick)
                assert item is not None
                assert item[0].position == number
        with pytest.raises(SluiceError):
            await anext(slow)
    await watch.close()


STATS = {
    "hours": 7,
    "buckets": [
        {
            "start": "1970-01-01T00:00:00.000Z",
            "tasks": 3,
            "succeeded": 1,
            "rejected": 1,
            "failed": 1,
            "rows": 2**53 + 1,
            "bytes": 10,
        }
    ],
    "stages": [{"stage": "ingest", "p50_seconds": 1.5, "p95_seconds": 2.5}],
    "top_errors": [{"code": "NO_ROWS", "count": 7}],
    "queue": {"waiting": 4, "running": 2},
}


async def test_statistics_and_history_over_rest_and_graphql() -> None:
    query = f'{{ ingestionStats(hours: 7) ingestionHistory(taskId: "{TASK_ID}") }}'
    async with client(FakeTasks()) as http:
        stats = (await http.get("/api/stats", params={"hours": 7})).json()
        history = (await http.get(f"/api/ingest/tasks/{TASK_ID}/history")).json()
        both = (await http.post("/graphql", json={"query": query})).json()["data"]
        wrong = await http.get("/api/stats", params={"hours": 0})
    assert stats == both["ingestionStats"] == STATS
    assert history["runs"] == both["ingestionHistory"]
    assert [(run["stage"], run["seconds"], run["outcome"]) for run in history["runs"]] == [
        ("validate", 2.0, "LOST")
    ]
    assert (wrong.status_code, wrong.json()["code"]) == (400, "REQUEST_INVALID")


async def test_webhooks_are_set_read_and_removed() -> None:
    place = "/api/datasources/sales/webhook"
    shown = {
        "datasource_name": "sales",
        "url": "https://example.org/",
        "created_at": "1970-01-01T00:00:01.000Z",
        "updated_at": "1970-01-01T00:00:02.000Z",
    }
    async with client(FakeTasks()) as http:
        put = await http.put(place, json={"url": "https://example.org/"})
        got = await http.get(place)
        tried = await http.get(f"{place}/deliveries", params={"limit": 3})
        removed = await http.delete(place)
        wrong = await http.put(place, json={})
    assert put.json() == {**shown, "secret": "s3cret"}
    assert got.json() == shown
    assert [
        (each["id"], each["status"], each["attempts"]) for each in tried.json()["deliveries"]
    ] == [(7, "SUCCEEDED", 3)]
    assert tried.json()["deliveries"][0]["last_http_status"] is None
    assert (removed.status_code, removed.content) == (204, b"")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "REQUEST_INVALID")
