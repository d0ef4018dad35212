"""The GraphQL schema against the documents that clients of the first hour send."""

import json

from graphql import build_schema, parse, validate

from gateway.graphql.schema import SDL, schema
from gateway.graphql.types import Context
from gateway.live.all_watch import AllWatch
from gateway.live.watches import Watches
from gateway.metrics import Metrics
from gateway.ports import Services
from sluice.common.v1.task_pb2 import TaskState
from sluice.druid.v1.druid_pb2 import (
    QueryColumn,
    QueryHeader,
    QueryResponse,
    QueryRows,
    QuerySummary,
)
from tests.unit.gateway.edge_fakes import (
    FakeJudging,
    FakeQueries,
    FakeReports,
    FakeTasks,
    FakeUploads,
    FakeWebhooks,
)

DOCUMENTS = """
mutation UploadSalesData($file: Upload!, $dataSourceName: String!) {
  uploadSalesData(file: $file, dataSourceName: $dataSourceName) { taskId status message }
}
query GetIngestionTaskStatus($taskId: ID!) {
  getIngestionTaskStatus(taskId: $taskId) {
    taskId status message fileSize rowCount validationErrors errorMessage createdAt updatedAt
  }
}
query All { listIngestionTasks(limit: 2, offset: 1) { datasourceName originalFilename startedAt completedAt } }
"""


def context(tasks: FakeTasks, queries: FakeQueries | None = None) -> Context:
    metrics = Metrics()
    services = Services(
        tasks, FakeUploads(), FakeReports(), FakeJudging(), queries or FakeQueries(), FakeWebhooks()
    )
    return Context(services, Watches(tasks, metrics.watches), AllWatch(tasks), metrics)


def test_the_committed_schema_is_current_and_takes_the_documents() -> None:
    text = SDL.read_text()
    assert text == schema.as_str() + "\n"
    assert validate(build_schema(text), parse(DOCUMENTS)) == []


async def test_counts_are_exact_and_no_errors_are_null() -> None:
    tasks = FakeTasks()
    tasks.task.file_size = 2**53 + 1
    tasks.task.state = TaskState.TASK_STATE_SUCCEEDED
    query = '{ getIngestionTaskStatus(taskId: "t") { status fileSize rowCount validationErrors error } }'
    result = await schema.execute(query, context_value=context(tasks))
    assert result.errors is None
    assert result.data == {
        "getIngestionTaskStatus": {
            "status": "SUCCEEDED",
            "fileSize": 2**53 + 1,
            "rowCount": None,
            "validationErrors": None,
            "error": None,
        }
    }


async def test_a_query_s_integers_stay_what_they_are() -> None:
    queries = FakeQueries(
        QueryResponse(
            header=QueryHeader(query_id="q", columns=[QueryColumn(name="n", type="BIGINT")])
        ),
        QueryResponse(rows=QueryRows(json=b"[[9007199254740993]]", count=1)),
        QueryResponse(summary=QuerySummary(row_count=1)),
    )
    result = await schema.execute(
        '{ queryData(sql: "x") { rows rowCount } }', context_value=context(FakeTasks(), queries)
    )
    assert json.dumps(result.data) == '{"queryData": {"rows": [[9007199254740993]], "rowCount": 1}}'


async def test_a_document_that_is_too_deep_or_too_long_is_refused() -> None:
    deep = "{ __schema { types { " + "fields { type { " * 8 + "name" + " } }" * 8 + " } } }"
    wide = "{" + " ".join(f"a{number}: __typename" for number in range(21)) + "}"
    long = "{" + "__typename " * 2001 + "}"
    asked = context(FakeTasks())
    for query in (deep, wide, long):
        assert (await schema.execute(query, context_value=asked)).errors, query
