"""Cost limits of GraphQL documents, and the cost of checking them."""

import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from graphql import get_introspection_query, parse, print_ast, separate_operations

from gateway.graphql import guard
from gateway.graphql.schema import schema
from tests.seed_documents import STATUS, UPLOAD
from tests.unit.gateway.edge_fakes import FakeTasks
from tests.unit.gateway.graphql.test_schema import context

TASKS = "listIngestionTasks"
TYPE = "IngestionTaskStatus"
PAGE = Path(__file__).parents[4] / "frontend/src/api"


def fanned(depth: int, spreads: int = 3) -> str:
    """Fragments that each spread the next one several times: `spreads` to the power of `depth`
    fields."""
    fans = [f"fragment f{n} on {TYPE} {{ {f'...f{n + 1} ' * spreads} }}" for n in range(depth)]
    return " ".join(
        [f"{{ {TASKS} {{ ...f0 }} }}", *fans, f"fragment f{depth} on {TYPE} {{ taskId }}"]
    )


def fanned_fields(depth: int) -> str:
    """The same, of fragments on Query that hold one another within fields."""
    fans = [f"fragment f{n} on Query {{ {f'...f{n + 1} ' * 3} }}" for n in range(depth)]
    return " ".join(["{ ...f0 }", *fans, f"fragment f{depth} on Query {{ {TASKS} {{ taskId }} }}"])


def unused(depth: int) -> str:
    """The same fragments, which no operation spreads."""
    return "{ __typename } " + fanned(depth).split("} } ", 1)[1]


def chained(length: int) -> str:
    """Every fragment spreads the next one once."""
    return fanned(length, 1)


def repeated(times: int) -> str:
    """One field over and over: graphql-core compares each with each."""
    return "{" + f"{TASKS} {{ taskId }} " * times + "}"


def listed(times: int) -> str:
    """Different fields, as a plain long document has them."""
    return (
        "{"
        + "".join(
            f'getIngestionTaskStatus(taskId: "{number}") {{ taskId }} ' for number in range(times)
        )
        + "}"
    )


async def calls_of(text: str) -> int:
    """Python calls that a document costs from its text to its answer."""
    guard.cached_check.cache_clear()
    asked, calls = context(FakeTasks()), 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(count)
    try:
        await schema.execute(text, context_value=asked)
    finally:
        sys.setprofile(None)
    return calls


SHAPES: list[Callable[[int], str]] = [fanned, fanned_fields, unused, chained, repeated, listed]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
async def test_a_document_costs_no_more_than_its_length(shape: Callable[[int], str]) -> None:
    # Twice as long, at most 2.5 times as many calls, at every length: 3 to the power of 8 fields
    # would be 6,561 times as many.
    figures = [await calls_of(shape(size)) for size in (4, 8, 16, 32)]
    assert all(more <= 2.5 * less for less, more in pairwise(figures)), figures


async def test_nothing_costs_more_than_the_longest_documents_that_are_taken() -> None:
    # As calls, so that it is no matter of the machine: a million of them take about 0.1 s.
    hostile = [
        fanned(200, 8),
        repeated(160),
        "{__schema{" + "types{name} " * 190 + "}}",
        "{" + "__typename " * 490 + "}",
        get_introspection_query(),
        "{" + " ".join(f"x{number}" for number in range(490)) + "}",
        "query(" + " ".join(f"$v{number}: Int" for number in range(240)) + ") {__typename}",
        "{" * 5000,
        "{a(b:" + "[" * 100_000,
        "# " + "x" * 100_000 + "\n{__typename}",
    ]
    assert [each[:40] for each in hostile if await calls_of(each) > 1_000_000] == []


REFUSED = {
    "fragments that fan out": (fanned(12), "500 fields"),
    "fragments within fields": (fanned_fields(12), "500 fields"),
    "many fields": ("{" + "__typename " * 501 + "}", "500 fields"),
    "aliases": (
        "{" + " ".join(f"a{number}: __typename" for number in range(21)) + "}",
        "20 aliases",
    ),
    "a thousand aliases": (
        "{" + " ".join(f"a{number}: __typename" for number in range(1000)) + "}",
        "1,000 tokens",
    ),
    "aliases by fragments": (
        "{...a ...a ...a} fragment a on Query {"
        + " ".join(f"x{n}: __typename" for n in range(7))
        + "}",
        "20 al",
    ),
    "deep": ("{" + "a{" * 20 + "b" + "}" * 21, "20 fields within"),
    "depth 50": ("{" + "a{" * 50 + "b" + "}" * 51, "40 brackets"),
    "deep by fragments": (
        "{...a} "
        + " ".join(
            f"fragment {x} on Query {{a{{a{{a{{a{{...{y}}}}}}}}}}}" for x, y in pairwise("abcdefg")
        )
        + " fragment g on Query {a}",
        "20 fields within",
    ),
    "a circle": ("{...a} fragment a on Query {...b} fragment b on Query {...a}", "spreads itself"),
    "a circle of one": ("{...a} fragment a on Query {...a}", "spreads itself"),
    "a circle that no operation spreads": ("{__typename} fragment a on Query {...a}", "spread"),
    "deep values": (
        "{updateDatasourceSettings(settings: " + "{a:" * 50 + "1" + "}" * 50 + ") }",
        "40 brackets",
    ),
    "100,000 brackets": ("{a(b: " + "[" * 100_000 + ")}", "40 brackets"),
    "definitions": (
        "{__typename}" + " ".join(f"fragment f{n} on Query {{__typename}}" for n in range(51)),
        "50 def",
    ),
    "tokens": ("{" + "a b " * 501 + "}", "1,000 tokens"),
    "characters": ("{__typename} #" + "x" * 140_000, "131,072 characters"),
    "aliases within an introspection": (
        "{__schema{a: types{name} b: types{name}}}",
        "aliases within an introspection",
    ),
    "aliases within it by a fragment": (
        "{__schema{...a}} fragment a on __Schema {x: types{name} y: types{name}}",
        "aliases within an introspection",
    ),
    "fields of fields": (
        "{__schema{types{fields{type{fields{name}}}}}}",
        "lists of a type's parts",
    ),
    "many introspections": (
        "{" + " ".join(f"a{n}:__schema{{types{{name}}}}" for n in range(4)) + "}",
        "3 introspections",
    ),
    "fields of one name": (repeated(160), "aborted"),
    "no document": ("", "Syntax Error"),
    "a lone surrogate": ('{getIngestionTaskStatus(taskId: "\\ud800") {taskId}}', "Syntax Error"),
    "an unknown fragment": ("{...a}", "Unknown fragment"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
async def test_what_costs_too_much_is_refused_with_a_code(text: str, words: str) -> None:
    asked = context(FakeTasks())
    result = await schema.execute(text, context_value=asked)
    assert result.errors
    assert words in result.errors[0].message
    assert {guard.with_code(each.formatted)["extensions"]["code"] for each in result.errors} == {
        "REQUEST_INVALID"
    }
    # As a WebSocket asks.
    streamed = [each async for each in await schema.stream(text, context_value=asked)]
    assert [each.message for each in streamed[0].errors] == [each.message for each in result.errors]


async def test_one_name_that_is_both_kinds_is_no_budget_s_business() -> None:
    result = await schema.execute(
        "{a: __typename a: datasources}", context_value=context(FakeTasks())
    )
    assert result.errors
    assert "conflict" in result.errors[0].message


TAKEN = {
    "introspection": get_introspection_query(),
    "introspection with everything": get_introspection_query(
        input_value_deprecation=True,
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
    ),
    "the first clients' documents": UPLOAD,
    "a status": STATUS,
    **{
        f"the page's {name}": print_ast(document)
        for name, document in separate_operations(
            parse("".join(path.read_text() for path in PAGE.glob("*.graphql")))
        ).items()
    },
    "a query of 30 KB": '{queryData(sql: "' + "x" * 30_000 + '") {rowCount}}',
}


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_what_clients_send_is_within_the_budget(text: str) -> None:
    assert guard.check(schema._schema, text).errors == ()


def test_a_document_is_checked_once() -> None:
    guard.cached_check.cache_clear()
    text = "{ __typename }"
    first: Any = guard.check(schema._schema, text)
    assert guard.check(schema._schema, text) is first
    assert guard.cached_check.cache_info().maxsize == guard.DOCUMENTS_KEPT


def test_documents_that_are_too_long_are_not_cached() -> None:
    before = guard.cached_check.cache_info().currsize
    assert guard.check(schema._schema, "{__typename} #" + "x" * guard.MAX_CHARS).errors
    assert guard.cached_check.cache_info().currsize == before


async def test_deep_variables_are_refused_by_what_they_should_be() -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    text = 'query ($value: JSON!) { queryData(sql: "x", parameters: $value) { rowCount } }'
    result = await schema.execute(
        text, variable_values={"value": deep}, context_value=context(FakeTasks())
    )
    assert result.errors
    assert (result.errors[0].extensions or {})["code"] == "REQUEST_INVALID"
