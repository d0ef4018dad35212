"""The GraphQL multipart request specification, as a stream."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.graphql.multipart_request import Operation, operation_of, read_operation
from gateway.intake.form import IncomingFile
from services.common.errors import SluiceError
from tests.unit.gateway.edge_fakes import END, cut, form, part

OPERATIONS = {
    "query": "mutation ($file: Upload!) { a }",
    "variables": {"file": None},
    "operationName": "A",
}
MAP = {"0": ["variables.file"]}
FILE = part("0", b"a,b\r\n", "a.csv")


def body(operations: Any = OPERATIONS, mapping: Any = MAP, file: bytes = FILE + END) -> bytes:
    """A request; texts are sent as they are, everything else as JSON."""
    texts = [each if isinstance(each, str) else json.dumps(each) for each in (operations, mapping)]
    return part("operations", texts[0].encode()) + part("map", texts[1].encode()) + file


@given(st.lists(st.integers(0, 1000), max_size=20))
def test_the_operation_is_known_before_the_file_s_first_byte(cuts: list[int]) -> None:
    async def run() -> tuple[Operation, bytes]:
        operation = await read_operation(form(*cut(body(), cuts)))
        file = operation.variables["file"]
        assert isinstance(file, IncomingFile)
        assert file.filename == "a.csv"
        return operation, b"".join([piece async for piece in file.pieces()])

    operation, content = asyncio.run(run())
    assert (operation.query, operation.name, content) == (OPERATIONS["query"], "A", b"a,b\r\n")


async def test_a_file_deep_within_the_variables() -> None:
    operations = {"query": "q", "variables": {"input": {"file": None, "other": 1}}}
    operation = await read_operation(form(body(operations, {"0": ["variables.input.file"]})))
    assert operation.variables["input"]["file"].filename == "a.csv"
    assert operation.variables["input"]["other"] == 1


WRONG = {
    "map first": (part("map", b"{}") + FILE + END, "FIELD_ORDER", "operations"),
    "file before map": (
        part("operations", json.dumps(OPERATIONS).encode()) + FILE + END,
        "FIELD_ORDER",
        "map",
    ),
    "no map": (part("operations", json.dumps(OPERATIONS).encode()) + END, "FIELD_ORDER", "map"),
    "operations not JSON": (body(operations="{"), "REQUEST_INVALID", "operations"),
    "a list of operations": (body(operations=[OPERATIONS]), "REQUEST_INVALID", "operations"),
    "operations too long": (body(operations="x" * 300), "REQUEST_INVALID", "operations"),
    "map not JSON": (body(mapping="{"), "REQUEST_INVALID", "map"),
    "map a list": (body(mapping=[]), "REQUEST_INVALID", "map"),
    "map of texts": (body(mapping={"0": "variables.file"}), "REQUEST_INVALID", "map"),
    "map empty": (body(mapping={}), "FIELD_MISSING", "map"),
    "map without a place": (body(mapping={"0": []}), "FIELD_MISSING", "map"),
    "two files": (
        body(mapping={"0": ["variables.file"], "1": ["variables.other"]}),
        "SECOND_FILE",
        "map",
    ),
    "one file twice": (
        body(mapping={"0": ["variables.file", "variables.other"]}),
        "SECOND_FILE",
        "map",
    ),
    "a place outside of the variables": (body(mapping={"0": ["query"]}), "REQUEST_INVALID", "map"),
    "a batch's place": (body(mapping={"0": ["0.variables.file"]}), "REQUEST_INVALID", "map"),
    "a place that is not there": (body(mapping={"0": ["variables.fil"]}), "REQUEST_INVALID", "map"),
    "a place below a value": (
        body(mapping={"0": ["variables.file.deeper"]}),
        "REQUEST_INVALID",
        "map",
    ),
    "a place that is taken": (
        body({"query": "q", "variables": {"file": "x"}}),
        "REQUEST_INVALID",
        "map",
    ),
    "another part than the map names": (
        body(file=part("1", b"a", "a.csv") + END),
        "FIELD_MISSING",
        "0",
    ),
    "no file": (body(file=END), "FIELD_MISSING", "0"),
    "no file chosen": (body(file=part("0", b"", "") + END), "FIELD_MISSING", "0"),
}


@pytest.mark.parametrize(("sent", "code", "column"), WRONG.values(), ids=WRONG)
async def test_what_is_wrong_is_named(sent: bytes, code: str, column: str) -> None:
    with pytest.raises(SluiceError) as refused:
        await read_operation(form(sent))
    assert (refused.value.code, refused.value.problem.column) == (code, column)


@pytest.mark.parametrize(
    ("value", "column"),
    [
        (None, "operations"),
        ("q", "operations"),
        ({}, "query"),
        ({"query": " "}, "query"),
        ({"query": 1}, "query"),
        ({"query": "q", "variables": []}, "variables"),
        ({"query": "q", "operationName": 1}, "operationName"),
    ],
)
def test_a_value_that_is_no_operation(value: object, column: str) -> None:
    with pytest.raises(SluiceError) as refused:
        operation_of(value)
    assert (refused.value.code, refused.value.problem.column) == ("REQUEST_INVALID", column)


def test_variables_may_be_left_out() -> None:
    assert operation_of({"query": "q", "variables": None, "operationName": ""}) == Operation(
        "q", {}, None
    )
