"""Druid's failures over HTTP: what is retried, and which errors result. Responses of Druid 33.0.0."""

import json
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
import respx
import structlog

from services.common.backoff import Backoff
from services.common.errors import SluiceError
from services.druid_gateway.http import client as druid_http
from services.druid_gateway.http.client import HttpDruid
from services.druid_gateway.loads.load import Interval, SubTasks

URL = "http://druid.test"
EXISTS = {
    "error": "druidException",
    "errorCode": "entryAlreadyExists",
    "category": "INVALID_INPUT",
    "errorMessage": "Task[a] already exists",
}
HTML = "<html><body><h2>HTTP ERROR 500 java.lang.NullPointerException</h2></body></html>"


@pytest_asyncio.fixture
async def druid(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HttpDruid]:
    monkeypatch.setattr(druid_http, "RETRY", Backoff(0.001, 1))
    async with druid_http.client(URL, 1.0) as client:
        yield HttpDruid(client)


@pytest.fixture
def web() -> "respx.MockRouter":
    return respx.mock(base_url=URL, assert_all_called=True)


async def test_a_known_id_was_submitted_before(druid: HttpDruid, web: respx.MockRouter) -> None:
    with web:
        web.post("/druid/indexer/v1/task").mock(
            side_effect=[httpx.Response(200, json={"task": "a"}), httpx.Response(400, json=EXISTS)]
        )
        assert await druid.submit({"id": "a"}) is True
        assert await druid.submit({"id": "a"}) is False


async def test_a_lost_response_is_retried(druid: HttpDruid, web: respx.MockRouter) -> None:
    with web:
        web.post("/druid/indexer/v1/task").mock(
            side_effect=[
                httpx.ReadError("gone"),
                httpx.Response(503, text=HTML),
                httpx.Response(400, json=EXISTS),
            ]
        )
        assert await druid.submit({"id": "a"}) is False


async def test_a_rejected_spec(druid: HttpDruid, web: respx.MockRouter) -> None:
    refusal = {
        "error": "Cannot construct instance of X, problem: at http://s3/b/k?X-Amz-Signature=0123abcd"
    }
    with web, structlog.testing.capture_logs() as lines:
        web.post("/druid/indexer/v1/task").respond(400, json=refusal)
        with pytest.raises(SluiceError) as raised:
            await druid.submit({"id": "a", "uris": ["http://s3/b/k?X-Amz-Signature=0123abcd"]})
    assert raised.value.code == "DRUID_SPEC_REFUSED"
    assert "Cannot construct" in raised.value.problem.value
    assert "0123abcd" not in raised.value.problem.value + json.dumps(lines)


async def test_a_router_without_an_overlord_is_no_verdict_on_the_spec(
    druid: HttpDruid, web: respx.MockRouter
) -> None:
    answer = {
        "error": "Unable to determine destination[/druid/indexer/v1/task]; is your coordinator/overlord running?"
    }
    with web:
        route = web.post("/druid/indexer/v1/task").respond(503, json=answer)
        with pytest.raises(SluiceError) as raised:
            await druid.submit({"id": "a"})
        assert route.call_count == druid_http.TRIES
    assert raised.value.code == "DRUID_UNAVAILABLE"


async def test_a_full_queue(druid: HttpDruid, web: respx.MockRouter) -> None:
    with web:
        web.post("/druid/indexer/v1/task").respond(429, json={"errorMessage": "Task queue is full"})
        with pytest.raises(SluiceError) as raised:
            await druid.submit({"id": "a"})
    assert raised.value.code == "DRUID_NO_CAPACITY"


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("no"),
        httpx.ReadTimeout("slow"),
        httpx.Response(500, text=HTML),
        httpx.Response(502),
    ],
)
async def test_the_retry_budget_ends(
    druid: HttpDruid, web: respx.MockRouter, failure: httpx.Response | Exception
) -> None:
    with web:
        route = web.post("/druid/indexer/v1/taskStatus").mock(
            side_effect=[failure] * druid_http.TRIES
        )
        with pytest.raises(SluiceError) as raised:
            await druid.task_statuses(["a"])
        assert route.call_count == druid_http.TRIES
    assert raised.value.code == "DRUID_UNAVAILABLE"
    assert "<html" not in raised.value.problem.message


async def test_an_error_with_a_message_is_not_retried(
    druid: HttpDruid, web: respx.MockRouter
) -> None:
    answer = {
        "error": "druidException",
        "category": "UNCATEGORIZED",
        "errorMessage": "/ by zero",
        "context": {},
    }
    with web:
        route = web.post("/druid/v2/sql").respond(500, json=answer)
        with pytest.raises(SluiceError) as raised:
            await druid.sql("SELECT 1/0", [])
        assert route.call_count == 1
    assert raised.value.code == "QUERY_INVALID"


async def test_unknown_tasks(druid: HttpDruid, web: respx.MockRouter) -> None:
    with web:
        web.post("/druid/indexer/v1/taskStatus").respond(200, json={})
        web.route(path__regex=r"/druid/indexer/v1/task/nope.*").respond(
            404, text="Cannot find any task with id: [nope]"
        )
        assert await druid.task_statuses(["nope"]) == {}
        assert await druid.task_report("nope") is None
        assert await druid.task_target("nope") is None
        await druid.shut_down("nope")


async def test_load_status_of_nothing(druid: HttpDruid, web: respx.MockRouter) -> None:
    with web:
        route = web.get("/druid/coordinator/v1/datasources/sales/loadstatus")
        route.side_effect = [
            httpx.Response(204),
            httpx.Response(200, text="No used segment found for the given datasource and interval"),
            httpx.Response(200, json={"sales": 100.0}),
        ]
        found = [
            await druid.loaded_percent("sales", Interval(0, 1), refresh=True) for _ in range(3)
        ]
        assert found == [None, None, 100.0]
        asked = route.calls.last.request.url.params
        assert (asked["forceMetadataRefresh"], asked["interval"]) == (
            "true",
            "1970-01-01T00:00:00.000Z/1970-01-01T00:00:00.001Z",
        )


async def test_segments_are_marked_used_despite_status_500(
    druid: HttpDruid, web: respx.MockRouter
) -> None:
    with web:
        web.post("/druid/coordinator/v1/datasources/sales/markUsed").respond(500)
        await druid.mark_used("sales", ["s1"])


async def test_names_are_escaped_in_paths(druid: HttpDruid, web: respx.MockRouter) -> None:
    with web:
        route = web.post(url__startswith=URL).respond(200, json={})
        await druid.shut_down("../../x?y=1#z")
        assert (
            route.calls.last.request.url.raw_path
            == b"/druid/indexer/v1/task/..%2F..%2Fx%3Fy%3D1%23z/shutdown"
        )


async def test_a_user_query_is_not_retried(druid: HttpDruid, web: respx.MockRouter) -> None:
    with web:
        route = web.post("/druid/v2/sql").mock(side_effect=httpx.ConnectError("no"))
        with pytest.raises(SluiceError) as raised:
            async with druid.query("SELECT 1", "id", 1, 1000):
                pytest.fail("nothing answered")
        assert route.call_count == 1
    assert raised.value.code == "DRUID_UNAVAILABLE"
    assert "again in a moment" in raised.value.problem.action


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (httpx.RemoteProtocolError("peer closed connection"), "QUERY_FAILED"),
        (httpx.ReadError("reset"), "QUERY_FAILED"),
        (httpx.ReadTimeout("slow"), "QUERY_TIMEOUT"),
        (httpx.ConnectTimeout("slow"), "DRUID_UNAVAILABLE"),
    ],
)
async def test_an_interrupted_query(
    druid: HttpDruid, web: respx.MockRouter, failure: Exception, code: str
) -> None:
    with web:
        web.post("/druid/v2/sql").mock(side_effect=failure)
        with pytest.raises(SluiceError) as raised:
            async with druid.query("SELECT 1", "id", 1, 1000):
                pytest.fail("nothing answered")
    assert raised.value.code == code
    assert "othing to do" not in raised.value.problem.action


async def test_a_broker_that_crashes_during_a_query(
    druid: HttpDruid, web: respx.MockRouter
) -> None:
    with web:
        web.post("/druid/v2/sql").respond(502, text=HTML)
        with pytest.raises(SluiceError) as raised:
            async with druid.query("SELECT REPEAT('a', 1000000000)", "id", 1, 1000):
                pytest.fail("nothing answered")
    assert raised.value.code == "QUERY_FAILED"
    assert "<html" not in raised.value.problem.message


async def test_an_incomplete_response(druid: HttpDruid, web: respx.MockRouter) -> None:
    with web:
        web.post("/druid/v2/sql").respond(200, content=b'["a"]\n["LONG"]\n["BIGINT"]\n[1]\n')
        async with druid.query("SELECT 1", "id", 1, 1000) as lines:
            assert [await anext(lines) for _ in range(4)][-1] == b"[1]"
            with pytest.raises(SluiceError) as raised:
                await anext(lines)
    assert raised.value.code == "QUERY_FAILED"


async def test_a_query_with_long_values_may_hold_fewer_rows(
    druid: HttpDruid, web: respx.MockRouter
) -> None:
    with web:
        route = web.post("/druid/v2/sql").respond(200, content=b"\n")
        async with (
            druid.query("SELECT 1", "id", 1, 1000),
            druid.query("SELECT 1", "id", 1, 1000, max_subquery_rows=7),
        ):
            pass
    contexts = [json.loads(call.request.content)["context"] for call in route.calls]
    assert [context.get("maxSubqueryRows") for context in contexts] == [None, 7]


async def test_cancelling_never_fails(druid: HttpDruid, web: respx.MockRouter) -> None:
    with web:
        web.delete("/druid/v2/sql/id").mock(
            side_effect=[httpx.Response(404), httpx.ConnectError("no")]
        )
        await druid.cancel_query("id")
        await druid.cancel_query("id")


async def test_capacity(druid: HttpDruid, web: respx.MockRouter) -> None:
    workers = [
        {"worker": {"capacity": 4}, "currCapacityUsed": 1},
        {"worker": {"capacity": 2}, "currCapacityUsed": 2},
    ]
    with web:
        web.get("/druid/indexer/v1/workers").mock(
            side_effect=[httpx.Response(200, json=workers), httpx.Response(404)]
        )
        assert await druid.free_slots() == 3
        assert await druid.free_slots() is None


@pytest.mark.parametrize("answer", [HTML, "[]", ""])
async def test_an_unreadable_response_does_not_hide_a_task(
    druid: HttpDruid, web: respx.MockRouter, answer: str
) -> None:
    with web:
        web.post("/druid/indexer/v1/taskStatus").respond(200, text=answer)
        with pytest.raises(SluiceError) as raised:
            await druid.task_statuses(["a"])
    assert raised.value.code == "DRUID_UNAVAILABLE"


@pytest.mark.parametrize("status", [307, 500, 404])
async def test_a_router_without_an_overlord_has_not_rejected_the_load(
    druid: HttpDruid, web: respx.MockRouter, status: int
) -> None:
    with web:
        web.post("/druid/indexer/v1/task").respond(status, text="" if status == 307 else HTML)
        with pytest.raises(SluiceError) as raised:
            await druid.submit({"id": "a"})
    assert raised.value.code == "DRUID_UNAVAILABLE"


async def test_the_sub_tasks_of_one_load(druid: HttpDruid, web: respx.MockRouter) -> None:
    states = [
        ("a", "SUCCESS"),
        ("a", "SUCCESS"),
        ("a", "RUNNING"),
        ("a", "FAILED"),
        ("b", "SUCCESS"),
    ]
    answer = [
        {"id": f"sub_{n}", "groupId": group, "statusCode": state}
        for n, (group, state) in enumerate(states)
    ]
    with web:
        web.get(
            "/druid/indexer/v1/tasks",
            params={"datasource": "sales", "type": "single_phase_sub_task"},
        ).respond(json=answer)
        assert await druid.sub_tasks("a", "sales") == SubTasks(done=2, running=1)
