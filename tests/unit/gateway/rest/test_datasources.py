"""Datasources and starter queries."""

from httpx import ASGITransport, AsyncClient

from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import Task
from tests.unit.gateway.edge_fakes import TASK_ID, FakeTasks, application


async def _get(
    path: str, state: "TaskState.ValueType" = TaskState.TASK_STATE_SUCCEEDED
) -> tuple[int, object]:
    tasks = FakeTasks()
    tasks.task = Task(task_id=TASK_ID, state=state, datasource="sales")
    async with AsyncClient(
        transport=ASGITransport(application(tasks)), base_url="http://127.0.0.1"
    ) as http:
        response = await http.get(path)
        return response.status_code, response.json()


async def test_datasources_are_listed_described_and_previewed() -> None:
    size = {
        "name": "sales",
        "rows": 2,
        "bytes": 300,
        "segments": 1,
        "start": "1970-01-01T00:00:00.000Z",
        "end": "1970-01-02T00:00:00.000Z",
    }
    columns = [{"name": "n", "type": "BIGINT"}]
    assert await _get("/api/datasources") == (200, {"datasources": [size]})
    loads = [{"task_id": TASK_ID, "rows": 2, "first": size["start"], "last": size["end"]}]
    assert await _get("/api/datasources/sales") == (
        200,
        {**size, "columns": columns, "loads": loads},
    )
    assert await _get("/api/datasources/sales/preview?limit=2") == (
        200,
        {"columns": columns, "rows": [[1], [2]], "row_count": 2},
    )
    for limit in (0, 1001, "x"):
        status, problem = await _get(f"/api/datasources/sales/preview?limit={limit}")
        assert (status, isinstance(problem, dict) and (problem["code"], problem["column"])) == (
            400,
            ("REQUEST_INVALID", "limit"),
        )


async def test_starter_queries_require_a_succeeded_task() -> None:
    path = f"/api/ingest/tasks/{TASK_ID}/queries"
    assert await _get(path) == (
        200,
        [{"title": "Rows per day", "sql": "SELECT 1", "chart": "line"}],
    )
    status, problem = await _get(path, TaskState.TASK_STATE_INGESTING)
    assert (status, isinstance(problem, dict) and problem["code"]) == (409, "STATE_CONFLICT")
