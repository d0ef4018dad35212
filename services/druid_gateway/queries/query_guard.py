"""Allows a single read-only SQL statement over user tables that Druid can run within limits.
Comments are blanked out, so that Druid does not see them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common import errors
from services.druid_gateway.http.endpoints import FORBIDDEN_SCHEMAS
from services.druid_gateway.ports import Value
from services.druid_gateway.queries import plan_sizes, sql_tree, value_sizes
from services.druid_gateway.queries.sql_tokens import Kind, Token, forbidden, tokenize
from sluice.common.v1.errors_pb2 import ErrorReason

_STARTS = {"SELECT", "WITH"}
_WRITES = {
    "INSERT",
    "UPSERT",
    "UPDATE",
    "DELETE",
    "MERGE",
    "CREATE",
    "DROP",
    "ALTER",
    "GRANT",
    "REVOKE",
    "TRUNCATE",
    "CALL",
    "DESCRIBE",
}
"""Reserved words of Calcite, so none of them can be a column's name without quotes."""
_TABLE_FUNCTIONS = {"TABLE", "EXTERN", "EXTEND"}
_TYPED_STRINGS = {"DATE", "TIME", "TIMESTAMP", "INTERVAL"}
"""Words allowed directly before a string's quote. Others, such as E and U&, change how the string
is read.
"""


@dataclass(frozen=True)
class Statement:
    """A statement that Druid may run. `sql`: its text without comments and final semicolon, on the
    same lines; `max_subquery_rows`: rows of a subquery that the broker may hold, None for Druid's
    own limit."""

    sql: str
    max_subquery_rows: int | None = None


def check(sql: str, parameters: Sequence[Value] = ()) -> Statement:
    """Check a statement; `parameters` are the values of its `?` placeholders.

    Raises:
        SluiceError: QUERY_FORBIDDEN for a statement that is not allowed, QUERY_INVALID for text
            that is not SQL, QUERY_TOO_EXPENSIVE for a statement that could exhaust Druid's memory;
            with the line.
    """
    tokens, bare = tokenize(sql)
    if not tokens:
        raise errors.error(ErrorReason.ERROR_REASON_QUERY_INVALID, "The query is empty.")
    _check_start(sql, tokens)
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        _check_word(sql, token, following)
        _check_schema(sql, token, following)
        _check_string_prefix(sql, token, following)
    nodes = sql_tree.build(sql, tokens)
    sizes = value_sizes.measure(sql, nodes, parameters)
    plan_sizes.check(sql, nodes, sizes)
    return Statement(bare, plan_sizes.max_subquery_rows(sizes))


def _check_start(sql: str, tokens: Sequence[Token]) -> None:
    words = [token.word for token in tokens]
    if words[0] == "EXPLAIN":
        if words[1:3] != ["PLAN", "FOR"]:
            raise forbidden(sql, tokens[0].start, "EXPLAIN is only allowed as EXPLAIN PLAN FOR.")
        tokens = tokens[3:]
    first = next((token for token in tokens if token.text != "("), None)
    if first is None or first.word not in _STARTS:
        at = first.start if first else len(sql)
        raise forbidden(sql, at, "Only a SELECT, WITH or EXPLAIN PLAN FOR statement is allowed.")


def _check_word(sql: str, token: Token, following: Token | None) -> None:
    after = following.word if following else ""
    if token.word in _WRITES or (token.word == "REPLACE" and after == "INTO"):
        raise forbidden(sql, token.start, f"{token.word} is not allowed in a query.")
    if token.word in _TABLE_FUNCTIONS:
        raise forbidden(
            sql, token.start, f"{token.word} is not allowed: a query can only read datasources."
        )


def _check_schema(sql: str, token: Token, following: Token | None) -> None:
    if token.name in FORBIDDEN_SCHEMAS and following is not None and following.text == ".":
        raise forbidden(
            sql,
            token.start,
            f"{token.text} is neither a schema that queries can read nor allowed as a table alias; use druid or no schema.",
        )


def _check_string_prefix(sql: str, token: Token, following: Token | None) -> None:
    if token.kind is not Kind.WORD or following is None:
        return
    if token.word == "DECIMAL" and following.kind is Kind.STRING:
        # Druid's planner never finishes with a large exponent.
        raise forbidden(
            sql,
            token.start,
            "DECIMAL before a string is not allowed; write the number without quotes.",
        )
    adjacent = following.start == token.end and following.kind in (Kind.STRING, Kind.QUOTED)
    if adjacent and token.word not in _TYPED_STRINGS:
        raise forbidden(
            sql,
            token.start,
            f"A string or name with the prefix {token.text} is not allowed; write it without.",
        )
