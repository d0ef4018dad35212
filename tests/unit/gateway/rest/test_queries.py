"""Query results in all formats are complete, or visibly incomplete."""

import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from httpx import ASGITransport, AsyncClient, Response
from hypothesis import given
from hypothesis import strategies as st

from gateway.documents.column_names import unique
from gateway.ports import Parameter
from gateway.rest.queries import FIRST_BYTES
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import (
    QueryColumn,
    QueryHeader,
    QueryResponse,
    QueryRows,
    QuerySummary,
)
from tests.unit.gateway.edge_fakes import FakeQueries, application

NDJSON, CSV = "application/x-ndjson", "text/csv"
MAX_ROWS = 5_000
"""Maximum and default rows of the fake druid_gateway."""


class Table(FakeQueries):
    """A druid_gateway with `rows` rows for every query."""

    def __init__(
        self,
        rows: Sequence[Sequence[Any]],
        columns: Sequence[str] = ("a", "b"),
        fails_after: int | None = None,
    ) -> None:
        super().__init__()
        self.rows, self.columns, self.fails_after = rows, columns, fails_after
        self.limits: list[int | None] = []

    async def query(
        self, sql: str, limit: int | None, parameters: Sequence[Parameter] = ()
    ) -> AsyncIterator[QueryResponse]:
        self.limits.append(limit)
        maximum = MAX_ROWS if limit is None else limit
        columns = [QueryColumn(name=name, type="VARCHAR") for name in self.columns]
        yield QueryResponse(header=QueryHeader(query_id="q", columns=columns))
        for start in range(0, min(maximum, len(self.rows)), 2):
            some = self.rows[start : min(start + 2, maximum)]
            if self.fails_after is not None and start >= self.fails_after:
                raise error(ErrorReason.ERROR_REASON_QUERY_TIMEOUT, "Too slow.")
            yield QueryResponse(
                rows=QueryRows(json=json.dumps(some, ensure_ascii=False).encode(), count=len(some))
            )
        returned = min(maximum, len(self.rows))
        yield QueryResponse(
            summary=QuerySummary(row_count=returned, truncated=len(self.rows) > returned)
        )


class AbortedError(Exception):
    """The response started but did not end; `received` are its bytes."""

    def __init__(self, status: int, headers: dict[str, str], received: bytes) -> None:
        super().__init__(status, received[-200:])
        self.status, self.headers, self.received = status, headers, received


async def run_query(table: Table, accept: str, **body: Any) -> Response:
    """The response; raises BrokenOffError if it ends abruptly."""
    app = application(queries=table)
    ended = False
    status, headers, received = 0, {}, bytearray()

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def seen(message: Any) -> None:
            nonlocal ended, status, headers
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                received.extend(message.get("body", b""))
                ended = not message.get("more_body", False)
            await send(message)

        await app(scope, receive, seen)
        if not ended:
            raise AbortedError(status, headers, bytes(received))

    async with AsyncClient(transport=ASGITransport(watched), base_url="http://127.0.0.1") as http:
        return await http.post(
            "/api/query", json={"sql": "SELECT 1", **body}, headers={"Accept": accept}
        )


def rows(count: int, text: str = "x") -> list[list[Any]]:
    return [[f"{text}{number}", number] for number in range(count)]


async def test_ndjson_has_one_object_per_line() -> None:
    table = Table([['x,"y"', 2**60 + 1], ["=1+1", None], ["北", -2]])
    response = await run_query(table, NDJSON)
    assert [json.loads(line) for line in response.text.splitlines()] == [
        {"a": 'x,"y"', "b": 2**60 + 1},
        {"a": "=1+1", "b": None},
        {"a": "北", "b": -2},
    ]


async def test_csv_has_a_header_and_escapes_formulas() -> None:
    response = await run_query(
        Table([['x,"y"', 2**60 + 1], ["=1+1", None], ["-5", "+49 30 1"], ["北", -2]]), CSV
    )
    assert (
        response.text
        == 'a,b\r\n"x,""y""",1152921504606846977\r\n\'=1+1,\r\n-5,\'+49 30 1\r\n北,-2\r\n'
    )


@pytest.mark.parametrize("accept", [NDJSON, CSV])
async def test_without_a_limit_all_rows_are_returned(accept: str) -> None:
    table = Table(rows(3_000))
    response = await run_query(table, accept)
    assert table.limits == [None]
    lines = response.text.splitlines()
    assert len(lines) == 3_000 + (accept == CSV)
    assert "2999" in lines[-1]
    assert "X-Truncated" not in response.headers or response.headers["X-Truncated"] == "false"


@pytest.mark.parametrize("accept", [NDJSON, CSV])
async def test_more_rows_than_the_maximum_are_an_error(accept: str) -> None:
    response = await run_query(Table(rows(MAX_ROWS + 1)), accept)
    assert response.status_code == 422
    problem = response.json()
    assert problem["code"] == "QUERY_TRUNCATED"
    assert "5,000" in problem["message"]
    assert problem["action"]


@pytest.mark.parametrize("accept", [NDJSON, CSV])
async def test_a_started_response_is_aborted_at_the_cut(accept: str) -> None:
    long = "x" * (2 * FIRST_BYTES // MAX_ROWS)
    with pytest.raises(AbortedError) as aborted:
        await run_query(Table(rows(MAX_ROWS + 1, long)), accept)
    assert aborted.value.status == 200
    last = aborted.value.received.splitlines()[-1]
    if accept == NDJSON:
        assert json.loads(last)["error"]["code"] == "QUERY_TRUNCATED"
    else:
        assert last.endswith(b",4999")


@pytest.mark.parametrize("accept", [NDJSON, CSV])
async def test_a_client_s_limit_cuts_and_sets_the_header(accept: str) -> None:
    cut = await run_query(Table(rows(30)), accept, limit=10)
    assert cut.status_code == 200
    assert len(cut.text.splitlines()) == 10 + (accept == CSV)
    assert cut.headers["X-Truncated"] == "true"
    whole = await run_query(Table(rows(10)), accept, limit=10)
    assert len(whole.text.splitlines()) == 10 + (accept == CSV)
    assert whole.headers["X-Truncated"] == "false"


@pytest.mark.parametrize("accept", [NDJSON, CSV])
async def test_a_cut_after_the_header_was_sent_aborts_the_response(
    accept: str,
) -> None:
    long = "x" * (2 * FIRST_BYTES // 1_000)
    with pytest.raises(AbortedError) as aborted:
        await run_query(Table(rows(1_001, long)), accept, limit=1_000)
    assert "X-Truncated" not in aborted.value.headers
    whole = await run_query(Table(rows(1_000, long)), accept, limit=1_000)
    assert len(whole.text.splitlines()) == 1_000 + (accept == CSV)


@pytest.mark.parametrize("accept", [NDJSON, CSV])
async def test_a_failure_after_few_rows_still_sets_the_status(
    accept: str,
) -> None:
    response = await run_query(Table(rows(100), fails_after=50), accept)
    assert (response.status_code, response.json()["code"]) == (504, "QUERY_TIMEOUT")
    with pytest.raises(AbortedError) as aborted:
        await run_query(Table(rows(100, "x" * FIRST_BYTES), fails_after=50), accept)
    if accept == NDJSON:
        assert (
            json.loads(aborted.value.received.splitlines()[-1])["error"]["code"] == "QUERY_TIMEOUT"
        )


async def test_json_contains_truncated() -> None:
    table = Table(rows(3_000))
    assert (await run_query(table, "application/json")).json()["truncated"] is True
    assert table.limits == [1_000]


async def test_columns_of_the_same_name_become_unique() -> None:
    table = Table([[1, 2, 3, 4, 5]], columns=["a", "a", "b", "a_2", "a"])
    [line] = (await run_query(table, NDJSON)).text.splitlines()
    assert json.loads(line) == {"a": 1, "a_3": 2, "b": 3, "a_2": 4, "a_4": 5}
    assert line.startswith('{"a":1,"a_3":2,"b":3')
    [record] = csv.DictReader(io.StringIO((await run_query(table, CSV)).text))
    assert record == {"a": "1", "a_3": "2", "b": "3", "a_2": "4", "a_4": "5"}
    response = (await run_query(table, "application/json")).json()
    assert [column["name"] for column in response["columns"]] == ["a", "a", "b", "a_2", "a"]
    assert response["rows"] == [[1, 2, 3, 4, 5]]


@given(st.lists(st.sampled_from(["a", "a_2", "a_3", "b", "", "a_2_2"]), max_size=12))
def test_unique_keeps_the_first_of_each_name(names: list[str]) -> None:
    made = unique(names)
    assert len(set(made)) == len(made) == len(names)
    for place, name in enumerate(names):
        assert made[place] == name or name in names[:place]


def test_many_columns_of_one_name_are_fast() -> None:
    assert unique(["a"] * 20_000)[-1] == "a_20000"


async def test_graphql_keeps_columns_of_the_same_name() -> None:
    table = Table([[1, 2], [3, 4]], columns=["a", "a"])
    query = '{ queryData(sql: "SELECT 1", limit: 1) { columns { name } rows truncated } }'
    async with AsyncClient(
        transport=ASGITransport(application(queries=table)), base_url="http://127.0.0.1"
    ) as http:
        response = (await http.post("/graphql", json={"query": query})).json()
    assert response["data"]["queryData"] == {
        "columns": [{"name": "a"}, {"name": "a"}],
        "rows": [[1, 2]],
        "truncated": True,
    }
