"""Plans, receipts and the load fields of uploads, over REST and GraphQL."""

from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient

from gateway.intake.destination import destination
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, TaskState
from sluice.status.v1.status_pb2 import Task
from tests.unit.gateway.edge_fakes import TASK_ID, FakeTasks, application

DAY = "1970-01-01T00:00:00.000Z/1970-01-02T00:00:00.000Z"
TASK = f"/api/ingest/tasks/{TASK_ID}"


async def _request(
    tasks: FakeTasks, method: str, path: str, body: object = None
) -> tuple[int, Any, Any]:
    async with AsyncClient(
        transport=ASGITransport(application(tasks)), base_url="http://127.0.0.1"
    ) as http:
        response = await http.request(method, path, json=body)
        return response.status_code, response.json(), response.headers


async def test_a_plan_is_returned_and_applied() -> None:
    tasks = FakeTasks()
    tasks.task = Task(
        task_id=TASK_ID,
        state=TaskState.TASK_STATE_INGESTING,
        load_mode=LoadMode.LOAD_MODE_REPLACE_ALL,
    )
    status, plan, _ = await _request(tasks, "GET", f"{TASK}/plan")
    assert status == 200
    assert (plan["plan_hash"], plan["mode"], plan["interval"], plan["segment_granularity"]) == (
        "h",
        "replace_all",
        DAY,
        "DAY",
    )
    assert plan["columns"] == [
        {"name": "n", "change": "CHANGED", "type": "DOUBLE", "existing_type": "BIGINT"}
    ]
    assert plan["chunks"] == [{"interval": DAY, "rows_added": 3, "rows_replaced": 2}]
    assert plan["replaced_segments"] == [{"id": "s", "interval": DAY}]
    assert (
        plan["rows_added"],
        plan["rows_replaced"],
        plan["parts"],
        plan["estimated_seconds"],
    ) == (3, 2, 1, 1.3)
    status, task, _ = await _request(tasks, "POST", f"{TASK}/apply", {"plan_hash": "h"})
    assert (status, task["status"], task["mode"], tasks.applied) == (
        202,
        "INGESTING",
        "replace_all",
        [(TASK_ID, "h")],
    )
    assert (await _request(tasks, "POST", f"{TASK}/apply", {}))[0] == 400


async def test_a_task_without_a_plan() -> None:
    tasks = FakeTasks()
    tasks.failure = error(
        ErrorReason.ERROR_REASON_NOT_PLANNED, "The task has no plan: it is INGESTING."
    )
    status, problem, _ = await _request(tasks, "GET", f"{TASK}/plan")
    assert (status, problem["code"]) == (409, "NOT_PLANNED")


async def test_a_receipt_is_a_file() -> None:
    status, receipt, headers = await _request(FakeTasks(), "GET", f"{TASK}/receipt")
    assert status == 200
    assert headers["content-disposition"] == f'attachment; filename="receipt-{TASK_ID}.json"'
    assert list(receipt)[:3] == ["task_id", "status", "load_state"]
    assert (
        receipt["rows_read"],
        receipt["rows_loaded"],
        receipt["rows_rejected"],
        receipt["rows_skipped"],
    ) == (4, 3, 1, 0)
    assert (receipt["rows_counted"], receipt["sums"]) == (
        3,
        [{"column": "n", "expected": 6.0, "counted": 6.0}],
    )
    assert (receipt["sha256"], receipt["interval"], receipt["chunks"]) == ("00" * 32, DAY, [DAY])


async def test_plans_and_receipts_over_graphql() -> None:
    tasks = FakeTasks()
    query = f'{{ ingestionPlan(taskId: "{TASK_ID}") ingestionReceipt(taskId: "{TASK_ID}") }}'
    _, response, _ = await _request(tasks, "POST", "/graphql", {"query": query})
    assert (
        response["data"]["ingestionPlan"]["plan_hash"],
        response["data"]["ingestionReceipt"]["rows_counted"],
    ) == ("h", 3)
    mutation = (
        f'mutation {{ applyIngestionPlan(taskId: "{TASK_ID}", planHash: "h") {{ taskId mode }} }}'
    )
    _, response, _ = await _request(tasks, "POST", "/graphql", {"query": mutation})
    assert (response["data"]["applyIngestionPlan"]["taskId"], tasks.applied) == (
        TASK_ID,
        [(TASK_ID, "h")],
    )


def test_an_upload_passes_its_load_fields() -> None:
    fields = {
        "datasource_name": "s",
        "mode": "replace_interval",
        "interval": "2024-01-01/2024-02-01T00:00:00+01:00",
        "apply": "false",
    }
    said = destination(fields, None)
    assert (said.mode, said.plan_first) == (LoadMode.LOAD_MODE_REPLACE_INTERVAL, True)
    assert said.replace is not None
    assert (said.replace.start_millis, said.replace.end_millis) == (
        1_704_067_200_000,
        1_706_742_000_000,
    )
    assert destination({"datasource_name": "s"}, None).plan_first is False
    assert (
        destination({"datasource_name": "s", "mode": "replace_all"}, None).mode
        == LoadMode.LOAD_MODE_REPLACE_ALL
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"mode": "replace_interval"},
        {"mode": "replace", "interval": "2024-01-01/2024-02-01"},
        {"mode": "replace_interval", "interval": "2024-01-01"},
        {"mode": "replace_interval", "interval": "January/February"},
        {"mode": "upsert"},
        {"apply": "perhaps"},
    ],
)
def test_contradictory_fields_are_rejected(fields: dict[str, str]) -> None:
    with pytest.raises(SluiceError) as refused:
        destination({"datasource_name": "s", **fields}, None)
    assert refused.value.code == "REQUEST_INVALID"
