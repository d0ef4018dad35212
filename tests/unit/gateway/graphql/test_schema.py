"""The GraphQL schema and how it executes queries."""

import json

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
    FakeQuality,
    FakeQueries,
    FakeReports,
    FakeTasks,
    FakeUploads,
    FakeWebhooks,
)


def context(tasks: FakeTasks, queries: FakeQueries | None = None) -> Context:
    return with_services(
        Services(
            tasks,
            FakeUploads(),
            FakeReports(),
            FakeQuality(),
            queries or FakeQueries(),
            FakeWebhooks(),
        )
    )


def with_services(services: Services) -> Context:
    metrics = Metrics()
    watches = Watches(services.tasks, metrics.watches)
    return Context(services, watches, AllWatch(services.tasks), metrics)


def test_the_committed_schema_is_current() -> None:
    assert SDL.read_text() == schema.as_str() + "\n"


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
