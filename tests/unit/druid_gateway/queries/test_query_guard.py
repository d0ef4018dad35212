"""Allowed queries, and a table of attempts at forbidden ones."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import SluiceError
from services.druid_gateway.queries.query_guard import check

ALLOWED = [
    "SELECT 1",
    "select * from t",
    "  \n\t SELECT * FROM t  \n",
    "SELECT * FROM t;",
    "SELECT * FROM t ; ; -- that is all\n /* really */ ;",
    'SELECT "a;b", \'c;d\' FROM "x;y"',
    "SELECT 'it''s; DROP TABLE t -- not a comment' FROM t",
    "SELECT 'INSERT INTO sys.segments' FROM t",
    'SELECT "insert", "table", "extern" FROM "update"',
    "WITH a AS (SELECT 1 AS x), b AS (SELECT x FROM a) SELECT * FROM b",
    "(SELECT 1) UNION ALL (SELECT 2)",
    "((SELECT 1))",
    "EXPLAIN PLAN FOR SELECT * FROM t",
    "explain plan for with a as (select 1) select * from a",
    "SELECT * FROM druid.t",
    'SELECT * FROM "druid"."my table"',
    "SELECT * FROM INFORMATION_SCHEMA.TABLES",
    "SELECT * FROM information_schema.columns WHERE table_schema = 'sys'",
    "SELECT REPLACE(city, 'a', 'b') FROM t",
    "SELECT sys FROM t",
    "SELECT t.sys, t.lookup, t.view FROM t",
    'SELECT "sys.segments" FROM "sys.segments"',
    "SELECT LOOKUP(city, 'names') FROM t",
    "SELECT -1.5e-3, .5, 1., x[1], ARRAY[1,2] FROM t WHERE a <> b AND c != 'x' OR d || e = 'f' AND g % 2 = 0",
    "SELECT DATE'2020-01-01', TIMESTAMP'2020-01-01 00:00:00', INTERVAL'1'DAY",
    "SELECT größe, 数 FROM t",
    "SELECT a--comment\nFROM t//another\rWHERE /* third\n */ b = 1 /**/",
    "SELECT COUNT(*) FILTER (WHERE x IS NOT NULL), SUM(y) OVER (PARTITION BY z ORDER BY w) FROM t GROUP BY ROLLUP(a) HAVING 1=1 LIMIT 5",
    "SELECT * FROM t CROSS JOIN UNNEST(MV_TO_ARRAY(tags)) AS u(tag)",
    'SELECT settings, inserted, "set" FROM t',
    "SELECT '/* not a comment' FROM t WHERE x = '*/'",
    "SELECT '--' AS dashes, \"--\" FROM t",
]

FORBIDDEN = [
    # Other statements.
    "INSERT INTO t SELECT 1 PARTITIONED BY ALL",
    "insert into t select 1",
    "REPLACE INTO t OVERWRITE ALL SELECT 1 PARTITIONED BY ALL",
    "DELETE FROM t",
    "UPDATE t SET a = 1",
    "UPSERT INTO t VALUES (1)",
    "MERGE INTO t USING s ON a = b WHEN MATCHED THEN UPDATE SET a = 1",
    "DROP TABLE t",
    "CREATE TABLE t (a INT)",
    "ALTER SYSTEM SET x = 1",
    "TRUNCATE TABLE t",
    "GRANT ALL ON t TO x",
    "CALL f()",
    "DESCRIBE t",
    "SHOW TABLES",
    "USE sys",
    "VALUES (1)",
    "TABLE t",
    "SET timeout = 1",
    "SET useApproximateCountDistinct = false; SELECT 1",
    "RESET x",
    "BEGIN",
    "COMMIT",
    "EXPLAIN SELECT 1",
    "EXPLAIN PLAN FOR INSERT INTO t SELECT 1",
    "EXPLAIN PLAN FOR REPLACE INTO t OVERWRITE ALL SELECT 1",
    "EXPLAIN PLAN FOR EXPLAIN PLAN FOR SELECT 1",
    "EXPLAIN PLAN WITH TYPE FOR SELECT 1",
    "EXPLAIN PLAN FOR",
    '"SELECT" 1',
    "'SELECT 1'",
    "1 SELECT",
    "(INSERT INTO t SELECT 1)",
    # A write after an allowed statement.
    "SELECT 1; INSERT INTO t SELECT 1",
    "SELECT 1;SELECT 2",
    "SELECT 1; -- and\n DROP TABLE t",
    "SELECT 1; /* ; */ SELECT 2",
    ";SELECT 1",
    "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
    "WITH a AS (SELECT 1) REPLACE INTO t OVERWRITE ALL SELECT * FROM a",
    "WITH a AS (SELECT 1) DELETE FROM t",
    "-- SELECT\nINSERT INTO t SELECT 1",
    "/* SELECT */ INSERT INTO t SELECT 1",
    "SELECT 1 -- x\r; DROP TABLE t",
    "SELECT 1 // x\n; DROP TABLE t",
    # Inputs from outside.
    "SELECT * FROM TABLE(EXTERN('{}', '{}', '[]'))",
    "SELECT * FROM TABLE(extern('{}', '{}')) EXTEND (a VARCHAR)",
    "SELECT * FROM TABLE/**/(HTTP(uris => ARRAY['http://169.254.169.254/']))",
    "SELECT * FROM table (LOCALFILES(baseDir => '/etc'))",
    "SELECT * FROM TABLE(S3(uris => 's3://x/y'))",
    "SELECT * FROM TABLE(INLINE(data => 'x'))",
    "SELECT * FROM TABLE(APPEND('sys.segments', 't'))",
    "SELECT * FROM t, LATERAL TABLE(f(1))",
    "SELECT * FROM t EXTEND (a VARCHAR)",
    "SELECT EXTERN('x')",
    "(TABLE sys.segments)",
    # Tables that are not the user's.
    "SELECT * FROM sys.segments",
    "SELECT * FROM SYS.segments",
    'SELECT * FROM "sys".segments',
    'SELECT * FROM "sys"."segments"',
    'SELECT * FROM "SYS"."tasks"',
    "SELECT * FROM sys . servers",
    "SELECT * FROM sys/**/.servers",
    "SELECT * FROM sys--\n.servers",
    "SELECT * FROM sys./* */tasks",
    "SELECT * FROM t, sys.tasks",
    "SELECT * FROM t JOIN sys.supervisors ON 1 = 1",
    "SELECT (SELECT COUNT(*) FROM sys.servers) FROM t",
    "SELECT * FROM t WHERE x IN (SELECT server FROM sys.servers)",
    "WITH a AS (SELECT * FROM sys.server_segments) SELECT * FROM a",
    "SELECT * FROM (SELECT * FROM (SELECT * FROM sys.segments))",
    "SELECT 1 UNION ALL SELECT COUNT(*) FROM sys.segments",
    "EXPLAIN PLAN FOR SELECT * FROM sys.segments",
    "SELECT * FROM druid.sys.segments",
    "SELECT * FROM lookup.names",
    'SELECT * FROM "lookup"."names"',
    "SELECT * FROM view.v",
    'SELECT * FROM "ext"."files"',
    "SELECT sys.segments.size FROM t",
    "SELECT 'a' 'b' FROM sys.segments",
    "SELECT ''';' FROM sys.segments",
    "SELECT '--' FROM sys.segments",
    'SELECT "--" FROM sys.segments',
    "SELECT '/*' FROM sys.segments WHERE '*/' = ''",
    "SELECT 1.FROM sys.segments",
    "SELECT \u017fys.x FROM \u017fys.segments",
    # Text that Druid's parser would tokenize differently.
    "SELECT /*+ x */ 1",
    "SELECT /*+ ' */ FROM t -- ' */ * FROM sys.segments",
    r"SELECT E'\' FROM sys.segments -- '",
    r"SELECT 1e'\' , x FROM t -- '",
    "SELECT U&'\\0073ys' FROM t",
    'SELECT * FROM U&"\\0073ys".segments',
    "SELECT * FROM u&\"!0073ys\".segments UESCAPE '!'",
    "SELECT _utf8'x'",
    "SELECT N'x'",
    "SELECT X'00'",
    'SELECT a"b" FROM t',
    "SELECT * FROM `sys`.`segments`",
    "SELECT {fn NOW()}",
    "SELECT 1 \\; DROP TABLE t",
    "SELECT\u00a01",
    "SELECT\u20281",
    "SELECT \u200b* FROM t",
    "SELECT\x001",
    "SELECT \ufeff1",
    "\ufeffSELECT 1",
    "SELECT @@version",
    "SELECT :x",
    "SELECT $1",
    "SELECT #x",
    "SELECT 1 ~ 2",
    "SELECT * FROM t\x1a",
]

INVALID = [
    r"SELECT e'\'' FROM t",
    "",
    "   \n\t ",
    "-- nothing",
    "/* nothing */",
    ";",
    "SELECT 'open",
    "SELECT 'it''s open'' FROM sys.segments",
    'SELECT "open FROM t',
    "SELECT 1 /* open",
    "SELECT 1 /* open *\n/",
    "SELECT 1 /*/",
    'SELECT ""',
]


def test_the_table_is_large_enough() -> None:
    assert len(FORBIDDEN) >= 60
    assert len({*FORBIDDEN, *INVALID, *ALLOWED}) == len(FORBIDDEN) + len(INVALID) + len(ALLOWED)


@pytest.mark.parametrize("sql", ALLOWED)
def test_allowed(sql: str) -> None:
    statement = check(sql).sql
    assert ";" not in re.sub(r"'[^']*'|\"[^\"]*\"", "", statement)
    assert check(statement).sql.strip() == statement.strip()


@pytest.mark.parametrize("sql", FORBIDDEN)
def test_forbidden(sql: str) -> None:
    with pytest.raises(SluiceError) as refused:
        check(sql)
    assert refused.value.code == "QUERY_FORBIDDEN"
    assert refused.value.problem.line is not None


@pytest.mark.parametrize("sql", INVALID)
def test_invalid(sql: str) -> None:
    with pytest.raises(SluiceError) as refused:
        check(sql)
    assert refused.value.code == "QUERY_INVALID"


def test_comments_are_removed_and_lines_stay() -> None:
    with_comments = "SELECT a, -- one; '\n/* two\n\" */ b FROM t;"
    assert check(with_comments).sql.split("\n") == [
        "SELECT a, " + " " * 9,
        " " * 6,
        " " * 5 + "b FROM t",
    ]


@pytest.mark.parametrize(
    ("sql", "line"),
    [
        ("SELECT 1\nFROM\nsys.x", 3),
        ("SELECT 1;\r\nSELECT 2", 1),
        ("\r\r\n\nDROP TABLE t", 4),
        ("SELECT '\n' 'a", 2),
    ],
)
def test_the_line_is_named(sql: str, line: int) -> None:
    with pytest.raises(SluiceError) as refused:
        check(sql)
    assert refused.value.problem.line == line


blanks = st.sampled_from([" ", "\n", "\t", "/* x */", "/**/", "-- x\n", "// '\n", '/* " */'])


@given(
    st.lists(blanks, min_size=1),
    st.lists(blanks),
    st.sampled_from(["sys", "SYS", '"sys"', '"Sys"', "Lookup"]),
    st.text(),
)
def test_blanks_do_not_hide_a_schema(
    before: list[str], between: list[str], schema: str, text: str
) -> None:
    quoted = "'" + text.replace("'", "''") + "'"
    with pytest.raises(SluiceError) as refused:
        check(f"SELECT {quoted} FROM{''.join(before)}{schema}{''.join(between)}.segments")
    assert refused.value.code == "QUERY_FORBIDDEN"


def outcome(sql: str) -> tuple[str, str]:
    try:
        return check(sql).sql, ""
    except SluiceError as failure:
        return "", failure.code


@given(st.text(max_size=60))
def test_any_text_is_allowed_or_rejected_with_a_code(text: str) -> None:
    for sql in (text, f"SELECT {text} FROM t"):
        statement, code = outcome(sql)
        assert code in {"", "QUERY_FORBIDDEN", "QUERY_INVALID", "QUERY_TOO_EXPENSIVE"}
        if not code:
            assert check(statement).sql.strip() == statement.strip()
            bare = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")+\"", "''", statement)
            assert not re.search(r"--|//|/\*|;", bare)
