"""Queries on a real Druid."""

import asyncio
import json
import time

import grpc
import pytest
import pytest_asyncio
import structlog

from services.common import errors
from sluice.druid.v1 import druid_pb2 as pb
from tests.integration.druid_gateway.conftest import Datasources
from tests.integration.druid_gateway.loading import JANUARY, Gateway, rows

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def table(gateway: Gateway, datasources: Datasources) -> str:
    """A datasource of 3,000 rows."""
    name = datasources.fresh()
    await gateway.load(name, [*rows(2999), (JANUARY + 3_000_000_000, "last", -(2**63), None)])
    return name


async def refused(gateway: Gateway, sql: str, timeout_ms: int = 0) -> errors.SluiceError:
    with pytest.raises(grpc.RpcError) as raised:
        await gateway.query(sql, timeout_ms=timeout_ms)
    return errors.from_rpc(raised.value, "druid_gateway")


async def test_values_and_types_are_exact(gateway: Gateway, table: str) -> None:
    answer = await gateway.query(
        f'SELECT __time, city, n, v FROM "{table}" ORDER BY __time LIMIT 6'
    )
    assert answer.columns == [
        ("__time", "TIMESTAMP"),
        ("city", "VARCHAR"),
        ("n", "BIGINT"),
        ("v", "DOUBLE"),
    ]
    expected = rows(6)
    assert [row[1:] for row in answer.rows] == [list(row[1:]) for row in expected]
    assert [row[0] for row in answer.rows][:2] == [
        "2020-01-01T00:00:00.000Z",
        "2020-01-01T00:01:00.000Z",
    ]
    assert b"1152921504606846977" in answer.raw[0]
    extremes = await gateway.query(f'SELECT MIN(n), SUM(n / n), COUNT(v), COUNT(*) FROM "{table}"')
    assert extremes.rows == [[-(2**63), 3000, 2999, 3000]]


async def test_null_and_the_empty_text_differ(gateway: Gateway, table: str) -> None:
    counts = [
        f"COUNT(*) FILTER (WHERE {what})" for what in ("city IS NULL", "city = ''", "v IS NULL")
    ]
    answer = await gateway.query(f'SELECT {", ".join(counts)} FROM "{table}"')
    assert answer.rows == [[500, 500, 1]]


async def test_a_limit_cuts_and_says_so(gateway: Gateway, table: str) -> None:
    cut = await gateway.query(f'SELECT n FROM "{table}" ORDER BY __time', limit=10)
    assert [row[0] for row in cut.rows] == [2**60 + i for i in range(10)]
    assert (cut.summary.row_count, cut.summary.truncated) == (10, True)
    exact = await gateway.query(f'SELECT n FROM "{table}" ORDER BY __time LIMIT 10', limit=10)
    assert (exact.summary.row_count, exact.summary.truncated) == (10, False)
    default = await gateway.query(f'SELECT n FROM "{table}"')
    assert (default.summary.row_count, default.summary.truncated) == (1000, True)
    whole = await gateway.query(f'SELECT n FROM "{table}"', limit=1_000_000)
    assert (len(whole.rows), whole.summary.row_count, whole.summary.truncated) == (
        3000,
        3000,
        False,
    )
    unlimited = await gateway.query(f'SELECT n FROM "{table}"', all_rows=True)
    assert (len(unlimited.rows), unlimited.summary.truncated) == (3000, False)
    some = await gateway.query(f'SELECT n FROM "{table}"', limit=5, all_rows=True)
    assert (len(some.rows), some.summary.truncated) == (5, True)


async def test_no_row_is_an_answer(gateway: Gateway, table: str) -> None:
    answer = await gateway.query(f"SELECT city, v FROM \"{table}\" WHERE city = 'nowhere'")
    assert answer.columns == [("city", "VARCHAR"), ("v", "DOUBLE")]
    assert answer.rows == []
    assert (answer.summary.row_count, answer.summary.truncated) == (0, False)


async def test_shapes_of_statements(gateway: Gateway, table: str) -> None:
    for sql in (
        f'WITH t AS (SELECT city, SUM(v) AS s FROM "{table}" GROUP BY 1) SELECT COUNT(*) FROM t',
        f'SELECT COUNT(*) FROM "druid"."{table}";',
        f'(SELECT 1 FROM "{table}" LIMIT 1) UNION ALL (SELECT 2 FROM "{table}" LIMIT 1)',
        f'-- how many?\nSELECT /* all */ COUNT(*) FROM "{table}" // done',
        "SELECT REPLACE('a', 'a', 'b'), DATE'2020-01-01', TIMESTAMP '2020-01-01 00:00:00', CURRENT_TIMESTAMP + INTERVAL '1' DAY",
        "SELECT 1",
    ):
        answer = await gateway.query(sql)
        assert answer.summary.row_count >= 1, sql
    plan = await gateway.query(f'EXPLAIN PLAN FOR SELECT * FROM "{table}"')
    assert plan.columns[0] == ("PLAN", "VARCHAR")
    json.loads(plan.rows[0][0])
    tables = await gateway.query(
        "SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_SCHEMA = 'druid'",
        limit=100_000,
    )
    assert [table] in tables.rows


async def test_lists_are_json(gateway: Gateway) -> None:
    assert (await gateway.query("SELECT ARRAY[1, 2], ARRAY['a']")).rows == [[[1, 2], ["a"]]]


async def test_what_is_wrong_with_the_sql_is_said(gateway: Gateway, table: str) -> None:
    unknown = await refused(gateway, "SELECT COUNT(*)\nFROM no_such_table")
    assert (unknown.code, unknown.problem.line) == ("QUERY_INVALID", 2)
    assert "no_such_table" in unknown.problem.message
    column = await refused(gateway, f'SELECT "No Such" FROM "{table}"')
    assert (column.code, column.problem.line) == ("QUERY_INVALID", 1)
    syntax = await refused(gateway, "SELECT FROM WHERE")
    assert syntax.code == "QUERY_INVALID"
    assert "expecting" not in syntax.problem.message
    assert (await refused(gateway, "SELECT 1/0")).code == "QUERY_INVALID"
    assert (await refused(gateway, f'SELECT SUM(city2 FROM "{table}"')).code == "QUERY_INVALID"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM sys.segments",
        'SELECT * FROM "sys"/**/. servers',
        "INSERT INTO x SELECT 1 PARTITIONED BY ALL",
        """SELECT * FROM TABLE(EXTERN('{"type":"local","files":["/etc/passwd"]}', '{"type":"json"}', '[]'))""",
        "SELECT 1; SELECT 2",
    ],
)
async def test_what_must_not_be_asked(gateway: Gateway, sql: str) -> None:
    assert (await refused(gateway, sql)).code == "QUERY_FORBIDDEN"


async def test_a_query_that_takes_too_long_is_ended(gateway: Gateway, table: str) -> None:
    started = time.monotonic()
    failure = await refused(
        gateway, f'SELECT COUNT(*) FROM "{table}" a, "{table}" b, "{table}" c', timeout_ms=500
    )
    assert failure.code == "QUERY_TIMEOUT"
    assert time.monotonic() - started < 10


async def test_a_caller_that_goes_away_ends_the_query(gateway: Gateway, table: str) -> None:
    wanted = f'SELECT a.n FROM "{table}" a CROSS JOIN "{table}" b'
    call = gateway.stub.Query(pb.QueryRequest(sql=wanted, limit=1_000_000, timeout_ms=120_000))
    first = await call.read()
    assert isinstance(first, pb.QueryResponse)
    query_id = first.header.query_id
    await call.read()
    with structlog.testing.capture_logs() as lines:
        call.cancel()
        async with asyncio.timeout(10):
            while not any(  # noqa: ASYNC110 (a log has no event to wait for)
                line["event"] == "query.cancelled" and line["query_id"] == query_id
                for line in lines
            ):
                await asyncio.sleep(0.01)
    # Druid no longer knows a query that was cancelled.
    assert (await gateway.http.delete(f"/druid/v2/sql/{query_id}")).status_code == 404
