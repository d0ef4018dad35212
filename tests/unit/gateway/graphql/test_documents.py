"""Typed fields have the same documents as their JSON twins."""

from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLObjectType,
    get_named_type,
    is_leaf_type,
    is_object_type,
)
from strawberry.utils.str_converters import to_camel_case

from gateway.graphql.schema import schema
from gateway.ports import Services
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import DatasourceSettings, ListQualityResponse, TaskQuality
from sluice.validation.v1.validation_pb2 import Report
from tests.unit.gateway.edge_fakes import (
    TASK_ID,
    FakeQuality,
    FakeQueries,
    FakeReports,
    FakeTasks,
    FakeUploads,
    FakeWebhooks,
)
from tests.unit.gateway.graphql.test_schema import with_services
from tests.unit.unknown_values import filled

ROOTS: list[GraphQLObjectType] = [
    each for each in (schema._schema.query_type, schema._schema.mutation_type) if each
]
ARGUMENTS = {"taskId": f'"{TASK_ID}"', "name": '"sales"', "settings": "{}"}


class FullReports(FakeReports):
    """A report with every field set."""

    async def report(self, task_id: str, attempt: int) -> Report:
        return filled(Report())


class FullJudging(FakeQuality):
    """Settings and qualities with every field set."""

    async def settings(self, datasource: str) -> DatasourceSettings:
        return filled(DatasourceSettings())

    async def quality(self, datasource: str, limit: int) -> ListQualityResponse:
        return ListQualityResponse(tasks=[filled(TaskQuality()), TaskQuality()])


def services(tasks: FakeTasks, reports: FakeReports) -> Services:
    return Services(tasks, FakeUploads(), reports, FullJudging(), FakeQueries(), FakeWebhooks())


def everything(type_: Any) -> str:
    """Select every field of a type."""
    named = get_named_type(type_)
    if not is_object_type(named):
        return ""
    fields = (f"{name} {everything(field.type)}" for name, field in named.fields.items())
    return f"{{ {' '.join(fields)} }}"


def camel_case(document: Any) -> Any:
    if isinstance(document, list):
        return [camel_case(each) for each in document]
    if isinstance(document, dict):
        return {to_camel_case(name): camel_case(value) for name, value in document.items()}
    return document


def twins() -> list[tuple[str, str, str]]:
    """Operation, JSON field and typed field."""
    return [
        (root.name.lower(), name, reason.removeprefix("Use ").removesuffix(", which is typed."))
        for root in ROOTS
        for name, field in root.fields.items()
        if (reason := field.deprecation_reason)
    ]


def call(name: str, field: GraphQLField) -> str:
    passed = [f"{each}: {ARGUMENTS[each]}" for each in field.args if each in ARGUMENTS]
    return f"{name}({', '.join(passed)})" if passed else name


@pytest.mark.parametrize(("operation", "old", "new"), twins())
@pytest.mark.parametrize("reports", [FakeReports(), FullReports()], ids=["empty", "full"])
async def test_a_typed_field_has_the_document_of_its_json_twin(
    operation: str, old: str, new: str, reports: FakeReports
) -> None:
    tasks = FakeTasks()
    tasks.task.state, tasks.task.report_attempt = TaskState.TASK_STATE_SUCCEEDED, 1
    fields = next(root.fields for root in ROOTS if root.name.lower() == operation)
    query = (
        f"{operation} {{ {call(old, fields[old])} "
        f"{call(new, fields[new])} {everything(fields[new].type)} }}"
    )
    result = await schema.execute(query, context_value=with_services(services(tasks, reports)))
    assert result.errors is None
    assert result.data is not None
    assert result.data[new] == camel_case(result.data[old])
    assert result.data[new]


def test_every_json_document_of_a_known_shape_has_a_typed_twin() -> None:
    query, mutation = ROOTS
    assert {
        name
        for root in (query, mutation)
        for name, field in root.fields.items()
        if is_leaf_type(get_named_type(field.type)) and not field.deprecation_reason
    } == set()
    assert {old for _, old, _ in twins()} == {
        "datasource",
        "datasourceQuality",
        "datasourceSettings",
        "datasources",
        "ingestionHistory",
        "ingestionPlan",
        "ingestionReceipt",
        "ingestionReport",
        "ingestionStats",
        "previewRows",
        "readyQueries",
        "updateDatasourceSettings",
    }


async def test_the_problems_of_a_task_are_typed() -> None:
    tasks = FakeTasks()
    filled(tasks.task)
    query = """{ getIngestionTaskStatus(taskId: "t") {
      validationErrors validationWarnings error timings
      problems { code message line column value action actor }
      warnings { code message line column value action actor }
      failure { code message line column value action actor }
      stageTimings { stage seconds startedAt completedAt }
    } }"""
    for state in (TaskState.TASK_STATE_REJECTED, TaskState.TASK_STATE_SUCCEEDED):
        tasks.task.state = state
        asked = with_services(services(tasks, FakeReports()))
        result = await schema.execute(query, context_value=asked)
        assert result.errors is None
        assert result.data is not None
        task = result.data["getIngestionTaskStatus"]
        assert task["problems"] == (task["validationErrors"] or [])
        assert task["warnings"] == (task["validationWarnings"] or [])
        assert bool(task["problems"]) != bool(task["warnings"])
        assert task["failure"] == task["error"] is not None
        assert task["stageTimings"] == camel_case(task["timings"]) != []
