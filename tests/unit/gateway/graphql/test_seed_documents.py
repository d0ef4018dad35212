"""Documents of existing clients run unchanged, and the fields that they know keep their types."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from graphql import (
    DefinitionNode,
    InputValueDefinitionNode,
    ObjectTypeDefinitionNode,
    TypeNode,
    parse,
    print_ast,
)

from gateway.graphql.multipart_request import read_operation
from gateway.graphql.schema import schema
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import TaskState
from tests.seed_documents import SCHEMA, STATUS, UPLOAD
from tests.unit.gateway.edge_fakes import END, LIMITS, TASK_ID, FakeTasks, form, part
from tests.unit.gateway.graphql.test_schema import context


async def test_the_upload_mutation() -> None:
    variables = {"file": None, "dataSourceName": "sales_data"}
    operation = await read_operation(
        form(
            part("operations", json.dumps({"query": UPLOAD, "variables": variables}).encode()),
            part("map", b'{"0": ["variables.file"]}'),
            part("0", b"a,b\r\n", "a.csv"),
            END,
            limits=replace(LIMITS, field_bytes=4096),
        )
    )
    tasks = FakeTasks()
    tasks.task.state, tasks.task.message = TaskState.TASK_STATE_UPLOADED, "Waiting."
    result = await schema.execute(
        operation.query, variable_values=operation.variables, context_value=context(tasks)
    )
    assert result.errors is None
    assert result.data == {
        "uploadSalesData": {"taskId": TASK_ID, "status": "UPLOADED", "message": "Waiting."}
    }


async def ask_status(tasks: FakeTasks) -> dict[str, Any]:
    result = await schema.execute(
        STATUS, variable_values={"taskId": TASK_ID}, context_value=context(tasks)
    )
    assert result.errors is None
    assert result.data is not None
    status: dict[str, Any] = result.data["getIngestionTaskStatus"]
    return status


async def test_the_status_query_of_a_loaded_file() -> None:
    tasks = FakeTasks()
    tasks.task.state = TaskState.TASK_STATE_SUCCEEDED
    tasks.task.file_size, tasks.task.rows_loaded = 2048, 40
    tasks.task.create_time.seconds = 1
    assert await ask_status(tasks) == {
        "taskId": TASK_ID,
        "status": "SUCCEEDED",
        "message": None,
        "fileSize": 2048,
        "rowCount": 40,
        "validationErrors": None,
        "errorMessage": None,
        "createdAt": "1970-01-01T00:00:01.000Z",
        "updatedAt": None,
    }


async def test_validation_errors_are_a_leaf_that_can_be_printed_as_json() -> None:
    tasks = FakeTasks()
    tasks.task.state = TaskState.TASK_STATE_REJECTED
    tasks.task.validation_errors.append(
        Problem(code=ErrorReason.ERROR_REASON_NO_ROWS, message="No rows.")
    )
    found = await ask_status(tasks)
    assert [(each["code"], each["message"]) for each in found["validationErrors"]] == [
        ("NO_ROWS", "No rows.")
    ]
    assert json.loads(json.dumps(found["validationErrors"])) == found["validationErrors"]


def seed_fields() -> Iterator[tuple[str, str, TypeNode, tuple[InputValueDefinitionNode, ...]]]:
    definitions: tuple[DefinitionNode, ...] = parse(SCHEMA).definitions
    for definition in definitions:
        if isinstance(definition, ObjectTypeDefinitionNode):
            for field in definition.fields or ():
                yield definition.name.value, field.name.value, field.type, field.arguments or ()


@pytest.mark.parametrize(
    ("type_", "name", "returned", "arguments"),
    list(seed_fields()),
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_fields_of_the_first_schema_keep_their_types(
    type_: str, name: str, returned: TypeNode, arguments: tuple[InputValueDefinitionNode, ...]
) -> None:
    object_type: Any = schema._schema.type_map[type_]
    field = object_type.fields[name]
    # Files have more bytes and rows than the Int of GraphQL holds.
    expected = "Long" if name in ("fileSize", "rowCount") else print_ast(returned)
    assert str(field.type) == expected
    assert field.deprecation_reason is None
    assert {each.name.value: print_ast(each.type) for each in arguments}.items() <= {
        key: str(given.type) for key, given in field.args.items()
    }.items()
