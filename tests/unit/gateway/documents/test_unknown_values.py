"""Enum values of newer services are shown as unknown, and break nothing else."""

import httpx
import pytest

from gateway.documents import history, wire
from gateway.documents import loads as load_documents
from gateway.rest import webhooks as webhooks_http
from services.common import errors
from sluice.common.v1.errors_pb2 import Problem
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import (
    GetHistoryResponse,
    GetPlanResponse,
    GetReceiptResponse,
    GetStatisticsResponse,
    ListTasksResponse,
    Task,
    TaskEvent,
    TaskQuality,
    WebhookDelivery,
)
from sluice.validation.v1.validation_pb2 import Report
from tests.unit.gateway.edge_fakes import TASK_ID, FakeTasks
from tests.unit.gateway.rest.test_tasks import client
from tests.unit.unknown_values import UNKNOWN, filled


class Newer(FakeTasks):
    """Lists two tasks, one in a state that only a newer release knows."""

    async def list(self, wanted: object) -> ListTasksResponse:
        known = Task(task_id="known", state=TaskState.TASK_STATE_SUCCEEDED)
        return ListTasksResponse(tasks=[known, filled(Task(task_id="newer"))])


async def test_rest_lists_tasks_with_an_unknown_state() -> None:
    async with client(Newer()) as http:
        response = await http.get("/api/ingest/tasks")
    assert response.status_code == 200
    known, newer = response.json()["tasks"]
    assert (known["status"], newer["status"]) == ("SUCCEEDED", "UNKNOWN")
    assert (newer["load_state"], newer["mode"]) == ("UNKNOWN", "unknown")
    assert (newer["error"]["code"], newer["error"]["actor"]) == ("ERROR_9999", "unknown")


async def test_graphql_lists_tasks_with_an_unknown_state() -> None:
    query = "{ listIngestionTasks { taskId status loadState mode error validationWarnings } }"
    async with client(Newer()) as http:
        response = await http.post("/graphql", json={"query": query})
    assert "errors" not in response.json()
    known, newer = response.json()["data"]["listIngestionTasks"]
    assert (known["status"], newer["status"]) == ("SUCCEEDED", "UNKNOWN")


async def test_unknown_is_not_a_valid_filter() -> None:
    async with client(Newer()) as http:
        response = await http.get("/api/ingest/tasks?status=UNKNOWN")
    assert (response.status_code, response.json()["code"]) == (400, "REQUEST_INVALID")


def test_every_document_shows_unknown_values() -> None:
    assert wire.event(filled(TaskEvent())).kind == "unknown"
    plan = filled(GetPlanResponse())
    plan.plan.segment_granularity = "WEEK"
    shown = load_documents.plan(plan)
    assert (shown.mode, shown.segment_granularity) == ("unknown", "WEEK")
    assert [each.change for each in shown.columns] == ["UNKNOWN"]
    assert load_documents.receipt(filled(GetReceiptResponse())).load_state == "UNKNOWN"
    assert history.history_of(filled(GetHistoryResponse())).runs[0].outcome == "UNKNOWN"
    figures = history.statistics_of(filled(GetStatisticsResponse()))
    assert figures.top_errors[0].code == "ERROR_9999"
    assert webhooks_http.delivery(filled(WebhookDelivery())).status == "UNKNOWN"


@pytest.mark.parametrize("kind", [Report, TaskQuality])
def test_every_value_of_a_report_is_shown(kind: type[Report] | type[TaskQuality]) -> None:
    assert "UNKNOWN" in str(wire.message(filled(kind())))


def test_an_unknown_state_is_terminal_if_the_task_is_completed() -> None:
    task = Task(state=UNKNOWN)  # type: ignore[arg-type]
    assert not wire.has_ended(task)
    task.complete_time.GetCurrentTime()
    assert wire.has_ended(task)


async def test_an_error_with_an_unknown_code_is_returned() -> None:
    class Refusing(FakeTasks):
        async def get(self, task_id: str) -> Task:
            raise errors.SluiceError(filled(Problem(message="It is too new.", action="Wait.")))

    async with client(Refusing()) as http:
        answers: list[httpx.Response] = [await http.get(f"/api/ingest/tasks/{TASK_ID}")]
        query = f'{{ getIngestionTaskStatus(taskId: "{TASK_ID}") {{ status }} }}'
        answers.append(await http.post("/graphql", json={"query": query}))
    assert answers[0].status_code == 500
    assert answers[0].json()["code"] == "ERROR_9999"
    assert "ERROR_9999" in answers[1].text
    assert all("It is too new." in response.text for response in answers)
