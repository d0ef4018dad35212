"""Queries at the limits on a real Druid: what is refused never reaches it, what is let through does
not end it, and a value is never longer than its bound."""

import random
from collections.abc import Callable

import grpc
import pytest
import pytest_asyncio

from local.instance import Instance
from services.common import errors
from services.druid_gateway.queries import query_guard, sql_tokens, sql_tree, value_sizes
from tests.integration.druid_gateway.conftest import Datasources
from tests.integration.druid_gateway.loading import Gateway, rows
from tests.unit.druid_gateway.queries.test_query_costs import TOO_EXPENSIVE, unnest

pytestmark = pytest.mark.asyncio(loop_scope="session")

BROKERS = ("druid_broker", "druid_historical", "druid_router")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def table(gateway: Gateway, datasources: Datasources) -> str:
    """A datasource of 2,000 rows."""
    name = datasources.fresh()
    await gateway.load(name, rows(2_000))
    return name


@pytest.fixture
def processes(instance: Instance) -> Callable[[], dict[str, int | None]]:
    """The process ids of those that answer queries."""
    return lambda: {each.name: each.pid for each in instance.states() if each.name in BROKERS}


async def outcome(gateway: Gateway, sql: str) -> str:
    """OK, or the code."""
    try:
        await gateway.query(sql, limit=1_000, timeout_ms=60_000)
    except grpc.RpcError as failure:
        return errors.from_rpc(failure, "druid_gateway").code
    return "OK"


async def test_what_would_end_druid_is_refused(
    gateway: Gateway, processes: Callable[[], dict[str, int | None]]
) -> None:
    before = processes()
    assert all(before.values())
    assert {sql: await outcome(gateway, sql) for sql in TOO_EXPENSIVE} == dict.fromkeys(
        TOO_EXPENSIVE, "QUERY_TOO_EXPENSIVE"
    )
    assert processes() == before


def at_the_limits(table: str) -> list[str]:
    number = "x0 + 10 * x1 + 100 * x2 + 1000 * x3"
    long = f"LPAD(CAST({number} AS VARCHAR), 500, 'x')"
    return [
        "SELECT REPEAT('a', 1000)",
        f'SELECT REPEAT(city, 10), COUNT(*) FROM "{table}" GROUP BY 1',
        f"SELECT {long} AS y FROM {unnest(4)} ORDER BY y",
        f"SELECT MAX(r) FROM (SELECT {long} AS y, ROW_NUMBER() OVER (ORDER BY x0) AS r FROM {unnest(4)})",
        f"SELECT SUM(x0) FROM {unnest(5)}",
        f"SELECT x0, x1, x2, x3, x4 FROM {unnest(5)} ORDER BY 1, 2, 3",
        f'SELECT LENGTH({" || ".join(["LPAD(city, 50)"] * 10)}) FROM "{table}" LIMIT 3',
        "SELECT LENGTH(" + "REPLACE(" * 9 + "'aaaa'" + ", 'a', 'aa')" * 9 + ")",
        "SELECT LENGTH(" + "TO_JSON_STRING(" * 4 + "'\\\\'" + ")" * 4 + ")",
        'SELECT COUNT(*) FROM "' + table + '" GROUP BY CUBE(city, n, v)',
        "WITH a AS (SELECT 1 AS x), b AS (SELECT a.x FROM a, a c, a d), c AS (SELECT b.x FROM b, b d, b e) SELECT x FROM c",
        "SELECT ARRAY_LENGTH(STRING_TO_ARRAY('" + "a" * 15_000 + "', ''))",
        "SELECT c.COLUMN_NAME FROM INFORMATION_SCHEMA.TABLES t JOIN INFORMATION_SCHEMA.COLUMNS c ON t.TABLE_NAME = c.TABLE_NAME",
        "SELECT " + "(" * 50 + "1" + ")" * 50,
        f'SELECT a.city FROM "{table}" a JOIN "{table}" b ON a.n = b.n ORDER BY a.city LIMIT 3',
        f"SELECT STRING_AGG(city, ',', 100000), ARRAY_AGG(n, 100000), LATEST(city, 100000) FROM \"{table}\"",
        f'SELECT ROUND(v, 400), ROUND(v, -400) FROM "{table}" LIMIT 3',
        "SELECT STRING_FORMAT('%990s', 'a'), STRING_FORMAT('%f', 1e308)",
    ]


async def test_what_is_at_the_limits_does_not_end_druid(
    gateway: Gateway, table: str, processes: Callable[[], dict[str, int | None]]
) -> None:
    before = processes()
    outcomes = {sql: await outcome(gateway, sql) for sql in at_the_limits(table)}
    assert processes() == before
    assert {sql: code for sql, code in outcomes.items() if code != "OK"} == {}


def grown(chance: random.Random, depth: int) -> str:
    """A random expression that may make its text longer."""
    if depth == 0:
        return chance.choice(
            ["'a'", "'ab\"c\\'", "'x,y'", "''", "'Straße'", "CAST(1.5 AS VARCHAR)"]
        )
    inner = [grown(chance, depth - 1) for _ in range(3)]
    literal = chance.choice(["''", "'a'", "'xyz'", "'$0$0'", "'ab'"])
    pattern = chance.choice(["'a'", "'.'", "'x*'", "''", "'(?=(.*))'", "'[a-z]+'", "'\\w'"])
    replacement = chance.choice(["''", "'a'", "'$0'", "'xy$0z'", "'12345'"])
    return chance.choice(
        [
            f"{inner[0]} || {inner[1]}",
            f"CONCAT({', '.join(inner)})",
            f"TEXTCAT({inner[0]}, {inner[1]})",
            f"REPLACE({inner[0]}, {literal}, {inner[1]})",
            f"REPLACE({inner[0]}, 'a', 'bcd')",
            f"REGEXP_REPLACE({inner[0]}, {pattern}, {replacement})",
            f"TO_JSON_STRING({inner[0]})",
            f"UPPER({inner[0]})",
            f"COALESCE({inner[0]}, {inner[1]})",
            f"CASE WHEN 1 = 1 THEN {inner[0]} ELSE {inner[1]} END",
            f"ARRAY_TO_STRING(ARRAY[{', '.join(inner)}], {literal})",
            f"ARRAY_TO_STRING(STRING_TO_ARRAY({inner[0]}, ''), {literal})",
            f"ARRAY_TO_STRING(ARRAY_CONCAT(ARRAY[{inner[0]}], ARRAY[{inner[1]}, {inner[2]}]), '-')",
            f"STRING_FORMAT('%s and %1$s', {inner[0]})"
            if "STRING_FORMAT" not in inner[0]
            else inner[0],
            f"REVERSE({inner[0]})",
        ]
    )


def bound_of(expression: str) -> int | None:
    """The bound of its length; None where it is refused."""
    sql = f"SELECT {expression}"
    try:
        query_guard.check(sql)
    except errors.SluiceError:
        return None
    nodes = sql_tree.build(sql, sql_tokens.tokenize(sql)[0])
    return value_sizes.measure(sql, nodes, []).longest_value


@pytest.mark.parametrize("seed", range(6))
async def test_no_value_is_longer_than_its_bound(gateway: Gateway, seed: int) -> None:
    chance = random.Random(seed)
    found: dict[str, int] = {}
    while len(found) < 40:
        expression = grown(chance, chance.randint(1, 4))
        bound = bound_of(expression)
        if bound is not None and len(expression) < 2_000:
            found[expression] = bound
    for expression, bound in found.items():
        answer = await gateway.query(f"SELECT LENGTH({expression})")
        length = answer.rows[0][0]
        assert (length or 0) <= bound, expression
