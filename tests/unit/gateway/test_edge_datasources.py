"""What is in Druid, and answers of queries in other forms."""

import json

from httpx import ASGITransport, AsyncClient

from gateway.query_http import as_csv, ndjson
from sluice.common.v1.task_pb2 import TaskState
from sluice.druid.v1.druid_pb2 import QueryColumn, QueryHeader, QueryResponse, QueryRows, QuerySummary
from sluice.status.v1.status_pb2 import Task
from tests.unit.gateway.edge_fakes import TASK_ID, FakeTasks, application

STEPS = [
    QueryResponse(header=QueryHeader(query_id="q", columns=[QueryColumn(name="a", type="VARCHAR"), QueryColumn(name="b", type="BIGINT")])),
    QueryResponse(rows=QueryRows(json=b'[["x,\\"y\\"",1152921504606846977],["=1+1",null]]', count=2)),
    QueryResponse(rows=QueryRows(json=b'[["\xe5\x8c\x97",-2]]', count=1)),
    QueryResponse(summary=QuerySummary(row_count=3)),
]


async def _steps(steps: list[QueryResponse]):  # type: ignore[no-untyped-def]
    for step in steps:
        yield step


async def _asked(path: str, state: "TaskState.ValueType" = TaskState.TASK_STATE_SUCCEEDED) -> tuple[int, object]:
    tasks = FakeTasks()
    tasks.task = Task(task_id=TASK_ID, state=state, datasource="sales")
    async with AsyncClient(transport=ASGITransport(application(tasks)), base_url="http://127.0.0.1") as http:
        answer = await http.get(path)
        return answer.status_code, answer.json()


async def test_ndjson_has_an_object_a_line() -> None:
    text = b"".join([piece async for piece in ndjson(_steps(STEPS))]).decode()
    assert [json.loads(line) for line in text.splitlines()] == [
        {"a": 'x,"y"', "b": 2**60 + 1},
        {"a": "=1+1", "b": None},
        {"a": "北", "b": -2},
    ]


async def test_csv_has_a_header_and_no_formula() -> None:
    text = b"".join([piece async for piece in as_csv(_steps(STEPS))]).decode()
    assert text == 'a,b\r\n"x,""y""",1152921504606846977\r\n\'=1+1,\r\n北,-2\r\n'


async def test_datasources_are_listed_described_and_shown() -> None:
    size = {"name": "sales", "rows": 2, "bytes": 300, "segments": 1, "start": "1970-01-01T00:00:00.000Z", "end": "1970-01-02T00:00:00.000Z"}
    columns = [{"name": "n", "type": "BIGINT"}]
    assert await _asked("/api/datasources") == (200, {"datasources": [size]})
    loads = [{"task_id": TASK_ID, "rows": 2, "first": size["start"], "last": size["end"]}]
    assert await _asked("/api/datasources/sales") == (200, {**size, "columns": columns, "loads": loads})
    assert await _asked("/api/datasources/sales/preview?limit=2") == (200, {"columns": columns, "rows": [[1], [2]], "row_count": 2})
    for limit in (0, 1001, "x"):
        status, problem = await _asked(f"/api/datasources/sales/preview?limit={limit}")
        assert (status, isinstance(problem, dict) and (problem["code"], problem["column"])) == (400, ("REQUEST_INVALID", "limit"))


async def test_queries_are_proposed_once_there_is_something_to_ask() -> None:
    path = f"/api/ingest/tasks/{TASK_ID}/queries"
    assert await _asked(path) == (200, [{"title": "Rows per day", "sql": "SELECT 1", "chart": "line"}])
    status, problem = await _asked(path, TaskState.TASK_STATE_INGESTING)
    assert (status, isinstance(problem, dict) and problem["code"]) == (409, "STATE_CONFLICT")
