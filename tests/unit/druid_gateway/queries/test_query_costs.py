"""Queries that would exhaust a Druid process's memory, in many notations, and harmless lookalikes."""

import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import SluiceError
from services.druid_gateway.ports import Value
from services.druid_gateway.queries.query_guard import check


def unnest(count: int, items: int = 10) -> str:
    numbers = ",".join(str(number) for number in range(items))
    return ", ".join(f"UNNEST(ARRAY[{numbers}]) AS u{i}(x{i})" for i in range(count))


def nested(function: str, depth: int, value: str, *rest: str) -> str:
    """Nest the function in itself; `rest` are its other arguments."""
    return (
        "SELECT "
        + f"{function}(" * depth
        + value
        + (", ".join(["", *rest]) + ")") * depth
        + " FROM t"
    )


def from_itself(select: str, depth: int, first: str) -> str:
    return f"{select} FROM (" * depth + first + ")" * depth


def doubled_in_ctes(levels: int) -> str:
    steps = ", ".join(f"a{i} AS (SELECT CONCAT(x, x) AS x FROM a{i - 1})" for i in range(1, levels))
    return f"WITH a0 AS (SELECT city AS x FROM t), {steps} SELECT x FROM a{levels - 1}"


def joined_with_itself(levels: int) -> str:
    steps = ", ".join(f"a{i} AS (SELECT l.x FROM a{i - 1} l, a{i - 1} r)" for i in range(1, levels))
    return f"WITH a0 AS (SELECT n AS x FROM t), {steps} SELECT COUNT(*) FROM a{levels - 1}"


ROUTINES = "INFORMATION_SCHEMA.ROUTINES"
TABLES = "INFORMATION_SCHEMA.TABLES"
COLUMNS = "INFORMATION_SCHEMA.COLUMNS"
LONG = "a" * 40_000

TOO_EXPENSIVE = [
    # Long values.
    "SELECT REPEAT('a', 1000000000)",
    "SELECT REPEAT('a', 1001)",
    "SELECT REPEAT('ab', 501)",
    "SELECT REPEAT(city, 1000) FROM t",
    "SELECT LPAD('a', 1000000000)",
    "SELECT LPAD('a', 1000000000, 'bc')",
    "SELECT RPAD(city, 1001, ' ') FROM t",
    "SELECT DISTINCT LPAD(city, 501) FROM t",
    "SELECT STRING_FORMAT('%1000000000s', 'a')",
    "SELECT STRING_FORMAT('%-1001s', city) FROM t",
    "SELECT STRING_FORMAT('%1$1000000000s', city) FROM t",
    "SELECT STRING_FORMAT('%.1000000000f', 1.5)",
    "SELECT STRING_FORMAT('%,01001d', n) FROM t",
    f"SELECT STRING_FORMAT('{'%1$s' * 2000}', city) FROM t",
    "SELECT CAST('a' AS CHAR(65536))",
    "SELECT CAST('a' AS CHARACTER(65536)) || 'b'",
    # The same in other notations.
    "SELECT repeat('a', 1000000000)",
    "SELECT RePeAt('a', 1000000000)",
    "SELECT REPEAT ('a', 1000000000)",
    "SELECT REPEAT\n\t('a',\n1000000000)",
    "SELECT REPEAT/**/('a'/* 1 */,/* 2 */1000000000--)\n)",
    "SELECT REPEAT--\n('a', 1000000000)",
    "SELECT REPEAT//\n('a', 1000000000)",
    "SELECT \"REPEAT\"('a', 1000000000)",
    "SELECT \"repeat\"('a', 1000000000)",
    "SELECT \"RePeaT\" /* x */ ('a', 1000000000)",
    "SELECT ((((REPEAT('a', 1000000000)))))",
    "EXPLAIN PLAN FOR SELECT REPEAT('a', 1000000000)",
    "WITH a AS (SELECT REPEAT('a', 1000000000) AS x) SELECT x FROM a",
    "WITH a AS (SELECT REPEAT('a', 1000000000) AS x) SELECT 1",
    "SELECT (SELECT REPEAT('a', 1000000000))",
    "(SELECT 1) UNION ALL (SELECT LENGTH(REPEAT('a', 1000000000)))",
    "SELECT 1 FROM t WHERE city = REPEAT('a', 1000000000)",
    "SELECT 1 FROM t WHERE city IN ('a', REPEAT('a', 1000000000))",
    "SELECT 1 FROM t GROUP BY REPEAT('a', 1000000000)",
    "SELECT 1 FROM t GROUP BY 1 HAVING MAX(city) > REPEAT('a', 1000000000)",
    "SELECT 1 FROM t ORDER BY REPEAT('a', 1000000000)",
    "SELECT 1 FROM t JOIN u ON t.a = REPEAT('a', 1000000000)",
    "SELECT CASE WHEN 1 = 1 THEN REPEAT('a', 1000000000) ELSE 'b' END",
    "SELECT COUNT(*) FILTER (WHERE city = REPEAT('a', 1000000000)) FROM t",
    "SELECT SUM(n) OVER (PARTITION BY REPEAT('a', 1000000000)) FROM t",
    "SELECT LENGTH(UPPER(TRIM(REPEAT('a', 1000000000))))",
    "SELECT COALESCE(city, REPEAT('a', 1000000000)) FROM t",
    "SELECT x FROM (VALUES (REPEAT('a', 1000000000))) v(x)",
    "SELECT ARRAY[REPEAT('a', 1000000000)]",
    "SELECT x[LENGTH(REPEAT('a', 1000000000))] FROM t",
    # Sizes other than small literals.
    "SELECT REPEAT('a', 1000 * 1000000)",
    "SELECT REPEAT('a', 500 + 500)",
    "SELECT REPEAT('a', (1000000000))",
    "SELECT REPEAT('a', CAST('1000000000' AS INTEGER))",
    "SELECT REPEAT('a', n) FROM t",
    "SELECT REPEAT('a', LENGTH(city)) FROM t",
    "SELECT REPEAT('a', (SELECT MAX(n) FROM t))",
    "SELECT REPEAT('a', CASE WHEN 1 = 1 THEN 1000000000 END)",
    "SELECT REPEAT('a', -(-1000000000))",
    "SELECT REPEAT('a', 0001000000000)",
    "SELECT LPAD('a', n) FROM t",
    "SELECT RPAD('a', 10 * 1000000)",
    "SELECT STRING_FORMAT('%' || '1000000000s', 'a')",
    "SELECT STRING_FORMAT(fmt, city) FROM t",
    "SELECT ROUND(1.5, 100000000)",
    "SELECT ROUND(v, n) FROM t",
    "SELECT ROUND(1.5, 10000 * 10000)",
    "SELECT STRING_AGG(city, ',', 2000000000) FROM t",
    "SELECT LISTAGG(city, ',', 2000000000) FROM t",
    "SELECT ARRAY_AGG(n, 2000000000) FROM t",
    "SELECT ARRAY_AGG(DISTINCT n, 2000000000) FROM t",
    "SELECT ARRAY_CONCAT_AGG(tags, 2000000000) FROM t",
    "SELECT LATEST(city, 2000000000) FROM t",
    "SELECT EARLIEST_BY(city, __time, 2000000000) FROM t",
    "SELECT ANY_VALUE(city, 2000000000, TRUE) FROM t",
    # Nested and repeated.
    "SELECT REPEAT(REPEAT('a', 1000), 1000)",
    "SELECT REPEAT(UPPER(REPEAT('a', 10)), 10)",
    "SELECT LPAD(RPAD(city, 10), 20) FROM t",
    "SELECT REPEAT(x, 1000) FROM (SELECT REPEAT('a', 1000) AS x)",
    "WITH a AS (SELECT REPEAT('a', 900) AS x), b AS (SELECT REPEAT(x, 90) AS y FROM a) SELECT * FROM b",
    "SELECT REPEAT(x, 999), (SELECT REPEAT(x, 99)) FROM (SELECT REPEAT('a', 500) AS x)",
    f"SELECT {', '.join(f'LPAD(city, 1000) AS c{i}' for i in range(9))} FROM t",
    # Growth without a size.
    f"SELECT REPLACE('{LONG}', 'a', '{LONG}')",
    f"SELECT REPLACE('{LONG}', '', 'bbb')",
    f"SELECT '{LONG}' || city AS x, COUNT(*) FROM t GROUP BY 1",
    f"SELECT DISTINCT CONCAT(city, '{LONG}') FROM t",
    f"SELECT REGEXP_REPLACE('{LONG}', 'a', '{LONG}')",
    f"SELECT REGEXP_REPLACE('{LONG}', '(?=(.*))', '$1')",
    f"SELECT \"regexp_replace\"('{LONG}', '', 'bbb')",
    nested("REPLACE", 12, "city", "'a'", "'aa'"),
    nested("REGEXP_REPLACE", 20, "city", "'.*'", "'$0$0'"),
    nested("TO_JSON_STRING", 20, "'a'"),
    from_itself("SELECT x || x AS x", 12, "SELECT city AS x FROM t"),
    from_itself("SELECT CONCAT(x, x) AS x", 12, "SELECT city AS x FROM t"),
    from_itself("SELECT textcat(x, x) AS x", 12, "SELECT city AS x FROM t"),
    from_itself("SELECT ARRAY_CONCAT(x, x) AS x", 12, "SELECT ARRAY[city] AS x FROM t"),
    from_itself("SELECT MV_CONCAT(x, x) AS x", 12, "SELECT tags AS x FROM t"),
    from_itself(
        "SELECT JSON_OBJECT(KEY 'a' VALUE x, KEY 'b' VALUE x) AS x",
        12,
        "SELECT payload AS x FROM t",
    ),
    from_itself("SELECT json_merge(x, x) AS x", 12, "SELECT payload AS x FROM t"),
    from_itself("SELECT UNHEARD_OF(x, x) AS x", 12, "SELECT city AS x FROM t"),
    doubled_in_ctes(13),
    f"SELECT {'||'.join(['x'] * 40)} FROM (SELECT {'||'.join(['x'] * 40)} AS x FROM (SELECT city AS x FROM t))",
    f"SELECT {'||'.join(['MAX(x) OVER ()'] * 40)} FROM (SELECT {'||'.join(['MAX(x) OVER ()'] * 40)} AS x FROM t)",
    f"SELECT ARRAY[{','.join(['x'] * 40)}] FROM (SELECT ARRAY_TO_STRING(ARRAY[{','.join(['city'] * 40)}], ',') AS x FROM t)",
    f"SELECT ARRAY_TO_STRING(STRING_TO_ARRAY('{LONG}', ''), '{LONG}')",
    f"SELECT MV_TO_STRING(STRING_TO_MV('{LONG}', ''), '{LONG}')",
    "SELECT z FROM t, "
    + ", ".join(f"UNNEST(ARRAY[{a}||{a}||{a}||{a}]) AS u_{a}({b})" for a, b in pairwise("abcdefz")),
    # Many rows and plans from a short text.
    f"SELECT x0 FROM {unnest(8)} ORDER BY x1",
    f"SELECT COUNT(*) FROM {unnest(1, 1000)} CROSS JOIN {unnest(1, 1000).replace('u0', 'v0')}",
    f"SELECT COUNT(*) FROM (SELECT * FROM {unnest(3)}) a, (SELECT * FROM {unnest(3)}) b",
    f"WITH a AS (SELECT * FROM {unnest(3)}) SELECT COUNT(*) FROM a x, a y",
    "SELECT * FROM "
    + ", ".join(f"(VALUES (1),(2),(3),(4),(5),(6),(7),(8),(9)) AS v{i}(x{i})" for i in range(8)),
    joined_with_itself(12),
    "WITH "
    + ", ".join(
        f"a{i} AS (SELECT (SELECT MAX(x) FROM a{i - 1}) + (SELECT MAX(x) FROM a{i - 1}) AS x)"
        if i
        else "a0 AS (SELECT 1 AS x)"
        for i in range(12)
    )
    + " SELECT x FROM a11",
    "WITH a AS (SELECT 1 UNION ALL SELECT 2), b AS (SELECT * FROM a, a c, a d, a e) SELECT "
    + ", ".join(["(SELECT MAX(1) FROM b)"] * 40),
    f"SELECT COUNT(*) FROM (SELECT ARRAY[{','.join(map(str, range(400)))}] AS a) t, UNNEST(t.a) u(x), UNNEST(t.a) v(y), UNNEST(t.a) w(z)",
    f"SELECT COUNT(*) FROM UNNEST(STRING_TO_ARRAY('{'a,' * 500}', ',')) u(x), UNNEST(STRING_TO_ARRAY('{'a,' * 500}', ',')) v(y)",
    f"SELECT x0, '{LONG}' || x1 AS y FROM {unnest(4)} ORDER BY y",
    f"SELECT x FROM t, (VALUES ('{LONG}')) v(x), {unnest(4)} ORDER BY x || x1",
    "SELECT x FROM (VALUES ('a')) v(x) CROSS JOIN (t CROSS JOIN "
    + " CROSS JOIN ".join(
        f"UNNEST(ARRAY[{a}||{a}||{a}||{a}]) AS u_{a}({b})" for a, b in pairwise("abcdefz")
    )
    + ")",
    "SELECT z FROM t, "
    + ", ".join(
        f"LATERAL (SELECT {a}||{a}||{a}||{a} AS {b}) AS u_{a}" for a, b in pairwise("abcdefz")
    ),
    "SELECT REPEAT((SELECT 'a'), 1000000000)",
    "SELECT REPEAT(SELECT 'a' FROM t, 1000000000)",
    "SELECT REPEAT((SELECT 'a') ORDER BY 1, 1000000000)",
    "SELECT REPEAT(CAST(PI() AS VARCHAR), 1000)",
    "SELECT TIME_FORMAT(TIME_PARSE(REPEAT('a', 1000000000)), 'yyyy')",
    "SELECT .5, x || x || x AS x FROM (" * 10 + "SELECT city AS x FROM t" + ")" * 10,
    "SELECT a IS DISTINCT FROM b, x || x || x AS x FROM (" * 10
    + "SELECT city AS x FROM t"
    + ")" * 10,
    "SELECT limit || x || x || x AS x FROM (" * 10 + "SELECT city AS x FROM t" + ")" * 10,
    "WITH A AS (SELECT REPEAT('a', 1000) AS x), \"b\" (x) AS (SELECT "
    + "||".join("x" * 12)
    + ' AS x FROM "A") SELECT '
    + "||".join("x" * 9)
    + " FROM B",
    "SELECT COUNT(*) FROM t GROUP BY CUBE(" + ", ".join(f"a{i}" for i in range(20)) + ")",
    "SELECT COUNT(*) FROM t GROUP BY CUBE(a, b, c, d, e), CUBE(f, g, h, i, j)",
    "SELECT COUNT(*) FROM t GROUP BY GROUPING SETS (CUBE(a, b, c, d, e, f, g, h, i))",
    f"SELECT COUNT(*) FROM {ROUTINES} a, {ROUTINES} b, {ROUTINES} c",
    f"SELECT COUNT(*) FROM {ROUTINES} a, {ROUTINES} b",
    f"SELECT COUNT(*) FROM {ROUTINES} a CROSS JOIN (VALUES (1),(2)) b",
    f"SELECT COUNT(*) FROM {ROUTINES} a, INFORMATION_SCHEMA.TABLES b",
    f"SELECT 1 FROM {TABLES} a JOIN {COLUMNS} b ON a.TABLE_NAME = a.TABLE_NAME",
    f"SELECT 1 FROM {TABLES} a JOIN {COLUMNS} b ON a.TABLE_NAME = b.TABLE_NAME OR 1 = 1",
    f"SELECT 1 FROM {TABLES} JOIN {COLUMNS} USING (TABLE_NAME) JOIN {TABLES} USING (TABLE_NAME)",
    f"WITH r AS (SELECT * FROM {ROUTINES}) SELECT COUNT(*) FROM r a, r b, r c",
    'SELECT COUNT(*) FROM "information_schema"."COLUMNS" a, "INFORMATION_SCHEMA".COLUMNS b',
    f"SELECT COUNT(*) FROM {COLUMNS} a JOIN {COLUMNS} b ON 1 = 1",
    "SELECT " + "(" * 5_000 + "1" + ")" * 5_000,
    "SELECT " + "CASE WHEN 1 = 1 THEN " * 3_000 + "1" + " END" * 3_000,
    "SELECT * FROM " + "(SELECT * FROM " * 500 + "t" + ")" * 500,
]

ALLOWED = [
    "SELECT REPEAT('-', 80)",
    "SELECT REPEAT('a', 1000)",
    "SELECT REPEAT(city, 3) FROM t",
    "SELECT REPEAT('ab', 0)",
    "SELECT LPAD(CAST(n AS VARCHAR), 8, '0'), RPAD(city, 20, '.') FROM t",
    "SELECT LPAD(m, 2, '0') || '-' || LPAD(d, 2, '0') || ' ' || LPAD(h, 2, '0') FROM t",
    "SELECT STRING_FORMAT('%05d: %-20s (%.2f)', n, city, v) FROM t",
    "SELECT STRING_FORMAT('100 %%') FROM t",
    "SELECT STRING_FORMAT('%s, %s and %s', a, b, c), STRING_FORMAT('%s/%s', d, e) FROM t",
    "SELECT CAST(city AS CHAR(10)), CAST(n AS VARCHAR), CAST(n AS VARCHAR(100000)) FROM t",
    "SELECT ROUND(v, 2), ROUND(v), ROUND(v, -3), ROUND(SUM(v) / COUNT(*), 4) FROM t",
    "SELECT TRUNC(v, 2), TRUNC(v, n) FROM t",
    "SELECT \"repeat\", lpad, t.rpad, 'REPEAT(x, 1000000000)' FROM t",
    "SELECT n AS \"REPEAT('a', 1000000000)\" FROM t -- REPEAT('a', 1000000000)",
    "SELECT /* REPEAT('a', 1000000000) */ 1",
    'SELECT * FROM "repeat" WHERE "lpad" = 1000000000',
    "SELECT 1000000000, n * 1000000000 FROM t WHERE n < 1000000000",
    "SELECT REPLACE(city, 'a', 'b') FROM t",
    "SELECT REPLACE(REPLACE(REPLACE(price, '$', ''), ',', ''), ' ', '') FROM t",
    "SELECT REPLACE(REPLACE(REPLACE(REPLACE(x, 'ä', 'ae'), 'ö', 'oe'), 'ü', 'ue'), 'ß', 'ss') FROM t",
    "SELECT REPLACE(x, '&', '&amp;'), REPLACE(a, b, c) FROM t",
    "SELECT REGEXP_REPLACE(x, '[^0-9]', ''), REGEXP_REPLACE(x, '(\\w+) (\\w+)', '$2, $1') FROM t",
    nested("REGEXP_REPLACE", 12, "x", "'\\s+'", "' '"),
    "SELECT TO_JSON_STRING(payload), JSON_VALUE(payload, '$.a.b'), JSON_OBJECT(KEY 'a' VALUE n) FROM t",
    "SELECT first || ' ' || last || ', ' || city || ' ' || zip AS address FROM t",
    "SELECT " + " || ',' || ".join(f'"column {i}"' for i in range(60)) + " FROM t",
    "SELECT CONCAT(a, '-', b, '-', c) AS key, COUNT(*) FROM t GROUP BY 1",
    "SELECT COALESCE(a, b, c, d) || ' ' || GREATEST(e, f) FROM t",
    "WITH a AS (SELECT x || y AS k, n FROM t), b AS (SELECT u || v AS k, m FROM s) SELECT a.k || '/' || b.k FROM a JOIN b ON a.n = b.m",
    "WITH "
    + ", ".join(f"c{i} AS (SELECT a || ' ' || b AS k FROM t{i})" for i in range(12))
    + " SELECT * FROM c0, c1",
    " UNION ALL ".join(f"SELECT a || b || c || d AS k FROM t{i}" for i in range(30)),
    "SELECT city, STRING_AGG(name, ', ', 10000), ARRAY_AGG(DISTINCT n, 65536) FROM t GROUP BY 1",
    "SELECT LISTAGG(name, ','), ARRAY_AGG(n), STRING_AGG(DISTINCT name, ';') FROM t",
    "SELECT LATEST(city, 1024), EARLIEST(n), LATEST_BY(city, __time), ANY_VALUE(city, 100) FROM t",
    "SELECT ARRAY_TO_STRING(ARRAY['a', 'b', city], ', '), ARRAY_CONCAT(ARRAY[1], ARRAY[2]) FROM t",
    "SELECT tag, COUNT(*) FROM t CROSS JOIN UNNEST(MV_TO_ARRAY(tags)) AS u(tag) GROUP BY 1 ORDER BY 2 DESC",
    "SELECT * FROM t, UNNEST(STRING_TO_ARRAY(tags, ',')) AS u(tag)",
    "SELECT * FROM (VALUES ('a', 1), ('b', 2)) v(x, y) JOIN t ON t.a = v.x",
    f"SELECT {', '.join(f'x{i}' for i in range(4))} FROM {unnest(4)} ORDER BY 1",
    "SELECT COUNT(*) FROM t WHERE city IN ("
    + ", ".join(f"'city number {i}'" for i in range(4000))
    + ")",
    f"SELECT COUNT(*) FROM t WHERE x = '{LONG}' AND a || b = 'c'",
    "SELECT COUNT(*) FROM t WHERE SCALAR_IN_ARRAY(x, ARRAY["
    + ", ".join(f"'number {i}'" for i in range(3000))
    + "])",
    "SELECT MV_FILTER_ONLY(tags, ARRAY["
    + ", ".join(f"'tag {i}'" for i in range(3000))
    + "]) FROM t",
    "SELECT * FROM UNNEST(STRING_TO_ARRAY('" + "abc," * 2000 + "', ',')) AS u(x)",
    f"SELECT '{LONG}' AS x FROM t",
    "SELECT CASE WHEN n < 10 THEN 'small' WHEN n < 100 THEN 'medium' ELSE 'large' END || ' ' || city FROM t",
    "SELECT a IS DISTINCT FROM b, EXTRACT(YEAR FROM __time), TRIM(BOTH ' ' FROM a), SUBSTRING(a FROM 2 FOR 3) FROM t",
    "SELECT TIME_FORMAT(__time, 'yyyy-MM-dd HH:mm:ss', 'UTC'), TIME_FLOOR(__time, 'P1D') FROM t",
    "SELECT city, RANK() OVER (PARTITION BY region ORDER BY SUM(v) DESC) AS r FROM t GROUP BY city, region",
    "SELECT a, b, COUNT(*) FROM t GROUP BY CUBE(a, b, c)",
    "SELECT COUNT(*) FROM t GROUP BY ROLLUP(a, b, c, d), GROUPING SETS ((e), (f, g), ())",
    "WITH a AS (SELECT * FROM t) SELECT * FROM a x JOIN a y ON x.n = y.m JOIN a z ON y.n = z.m",
    f"SELECT * FROM {COLUMNS} WHERE TABLE_SCHEMA = 'druid' ORDER BY TABLE_NAME, ORDINAL_POSITION",
    f"SELECT c.* FROM {TABLES} t JOIN {COLUMNS} c ON t.TABLE_SCHEMA = c.TABLE_SCHEMA AND t.TABLE_NAME = c.TABLE_NAME",
    f"SELECT * FROM {TABLES} LEFT JOIN {COLUMNS} USING (TABLE_SCHEMA, TABLE_NAME)",
    f"SELECT COUNT(*) FROM (SELECT TABLE_NAME FROM {COLUMNS} GROUP BY 1)",
    "SELECT " + "(" * 30 + "1" + ")" * 30,
    "SELECT 1 FROM t WHERE " + " OR ".join(f"(a = {i} AND b = 'x{i}')" for i in range(1000)),
    "SELECT " + ", ".join(f"SUM(c{i}) AS s{i}" for i in range(200)) + " FROM t",
    "SELECT * FROM t ORDER BY LPAD(code, 10, '0') LIMIT 10 OFFSET 20",
    "SELECT LENGTH(REPEAT('a', 10)) FROM t WHERE REPEAT('ab', 2) = 'abab'",
]


def test_the_tables_are_large_enough() -> None:
    assert len(set(TOO_EXPENSIVE)) == len(TOO_EXPENSIVE) >= 60
    assert len(set(ALLOWED)) == len(ALLOWED) >= 40


def refused(sql: str, *parameters: Value) -> SluiceError:
    with pytest.raises(SluiceError) as raised:
        check(sql, parameters)
    return raised.value


@pytest.mark.parametrize("sql", TOO_EXPENSIVE, ids=lambda sql: sql[:60])
def test_expensive_queries_are_rejected(sql: str) -> None:
    failure = refused(sql)
    assert failure.code == "QUERY_TOO_EXPENSIVE", failure
    assert failure.problem.line is not None
    assert failure.problem.action


@pytest.mark.parametrize("sql", ALLOWED, ids=lambda sql: sql[:60])
def test_harmless_queries_are_allowed(sql: str) -> None:
    check(sql)


def test_line_and_column_are_named() -> None:
    failure = refused("SELECT city,\n  /* x */ REPEAT('a', 5000) AS long\nFROM t")
    assert failure.problem.line == 2
    assert failure.metadata["sql_column"] == "11"
    assert "line 2, column 11" in failure.problem.message
    assert failure.problem.value == "REPEAT"


def test_parameters_count_as_their_values() -> None:
    check("SELECT ?, REPEAT('a', ?)", ["x", 10])
    check("SELECT REPLACE(city, ?, ?), LPAD(city, ?) FROM t", ["a", "b", 5])
    assert refused("SELECT REPEAT('a', ?)", 1_000_000_000).code == "QUERY_TOO_EXPENSIVE"
    assert (
        refused("SELECT ?, '?', \"?\", REPEAT('a', ?)", 1, 1_000_000_000).code
        == "QUERY_TOO_EXPENSIVE"
    )
    assert refused("SELECT REPEAT('a', ? + 1)", 999_999_999).code == "QUERY_TOO_EXPENSIVE"
    assert refused("SELECT REPEAT('a', ?)", "1000000000").code == "QUERY_TOO_EXPENSIVE"
    assert refused("SELECT REPEAT('a', ?)").code == "QUERY_TOO_EXPENSIVE"
    assert refused("SELECT REPEAT(?, 1000)", "ab").code == "QUERY_TOO_EXPENSIVE"
    assert refused("SELECT STRING_FORMAT(?, 'a')", "%1000000000s").code == "QUERY_TOO_EXPENSIVE"
    assert refused("SELECT REPLACE(?, 'a', ?)", LONG, LONG).code == "QUERY_TOO_EXPENSIVE"
    check("SELECT * FROM t WHERE a = ? LIMIT ?", ["x" * 200_000, 5])


def test_a_number_in_quotes_is_not_a_decimal() -> None:
    # Druid's planner never finishes with it.
    assert refused("SELECT DECIMAL '1e9999999'").code == "QUERY_FORBIDDEN"
    assert refused("SELECT decimal /**/ '1e9999999'").code == "QUERY_FORBIDDEN"


@pytest.mark.parametrize(
    "sql", ["SELECT (1", "SELECT 1)", "SELECT ARRAY[1", "SELECT ARRAY[1)", "SELECT SUM(city FROM t"]
)
def test_an_unmatched_bracket_is_named(sql: str) -> None:
    failure = refused(sql)
    assert failure.code == "QUERY_INVALID"
    assert failure.problem.line == 1


blanks = st.sampled_from(
    ["", " ", "\n", "\t", "/* x */", "/**/", "-- x\n", "// '\n", '/* " */', "/*)*/"]
)
cases = st.lists(st.booleans(), min_size=6, max_size=6)


@given(
    cases,
    st.booleans(),
    st.lists(blanks, max_size=3),
    st.lists(blanks, max_size=3),
    st.integers(1001, 2**31 - 1),
)
def test_neither_case_nor_quotes_nor_comments_hide_a_function(
    upper: list[bool], quoted: bool, before: list[str], inside: list[str], size: int
) -> None:
    name = "".join(
        letter.upper() if big else letter for letter, big in zip("repeat", upper, strict=True)
    )
    name = f'"{name}"' if quoted else name
    assert (
        refused(
            f"SELECT {name}{''.join(before)}({''.join(inside)}'a',{''.join(inside)}{size})"
        ).code
        == "QUERY_TOO_EXPENSIVE"
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "||".join(["'a'"] * 19_000),
        "SELECT 1" + "+1" * 45_000,
        "SELECT 1 FROM t" + ", t" * 30_000,
        "WITH " + ", ".join(f"a{i} AS (SELECT 1)" for i in range(4_000)) + " SELECT 1",
        "SELECT " + ",".join(["(((1)))"] * 12_000),
        "SELECT " + "CASE WHEN a THEN b END," * 4_000 + "1",
        "SELECT" + " UNION ALL SELECT 1".join([" 1"] * 4_500),
        "SELECT " + "REPLACE(" * 9_000,
        "SELECT * FROM " + "(" * 50 + "t" + ")" * 50,
        "SELECT 1 FROM " + "(t JOIN " * 50 + "u" + " ON a || b = c)" * 50,
        "SELECT " + "CONCAT(a, " * 50 + "b" + ")" * 50 + ", " + ", ".join(["x || y"] * 10_000),
        "SELECT " + "(SELECT a || " * 50 + "b" + " FROM t)" * 50,
    ],
    ids=lambda sql: sql[:40],
)
def test_long_statements_are_checked_quickly(sql: str) -> None:
    started = time.process_time()
    try:
        check(sql[:100_000])
    except SluiceError as failure:
        assert failure.code in {"QUERY_TOO_EXPENSIVE", "QUERY_INVALID"}  # noqa: PT017
    assert time.process_time() - started < 3.0
