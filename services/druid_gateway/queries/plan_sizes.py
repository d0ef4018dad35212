"""Limits on what a short statement costs Druid's planner, and on the rows it makes from constants.

Druid has no limit of its own for any of this: it copies a CTE to each place that names it, plans
CUBE as all its grouping sets, joins the tables of INFORMATION_SCHEMA in the broker's memory and
sorts the rows of UNNEST and VALUES there (ADR 0031).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from services.druid_gateway.queries.sql_tokens import Kind, Token, too_expensive
from services.druid_gateway.queries.sql_tree import (
    Clause,
    Group,
    Node,
    is_symbol,
    parse_query,
    split,
    tokens_of,
)
from services.druid_gateway.queries.value_sizes import Sizes

MAX_COPIES = 100
"""Maximum number of SELECTs that copies of CTEs add to those in the text."""
MAX_ROWS = 100_000
"""Maximum number of rows that joins of UNNEST and VALUES may make."""
MAX_ROWS_CHARS = 20_000_000
"""The same, in characters of long values."""
MAX_SCHEMA_ROWS = 1_000
"""The same, in a query of INFORMATION_SCHEMA."""
MAX_GROUPING_SETS = 256

_SCHEMA = "information_schema"


@dataclass(frozen=True)
class _Plan:
    """`selects`: SELECTs once every CTE is copied; `rows`: rows made from constants."""

    selects: int
    rows: int


def check(sql: str, nodes: Sequence[Node], sizes: Sizes) -> None:
    """Raise SluiceError QUERY_TOO_EXPENSIVE if the plan or its rows could become too large."""
    tokens = list(tokens_of(nodes))
    written = sum(token.word == "SELECT" for token in tokens)
    reads_schema = any(token.name == _SCHEMA for token in tokens)
    _Planner(sql, MAX_COPIES + written, sizes, reads_schema).query(nodes, {})


def max_subquery_rows(sizes: Sizes) -> int | None:
    """Return how many rows of a subquery the broker may hold. None if the values are short: Druid's
    own limit, a number of rows regardless of their length, is enough then."""
    return max(1, MAX_ROWS_CHARS // sizes.row_chars) if sizes.row_chars else None


class _Planner:
    def __init__(self, sql: str, max_selects: int, sizes: Sizes, reads_schema: bool) -> None:
        self._sql = sql
        self._max_selects = max_selects
        self._array_elements = sizes.array_elements
        self._reads_schema = reads_schema
        self._max_rows = MAX_SCHEMA_ROWS if reads_schema else MAX_ROWS
        if sizes.row_chars:
            self._max_rows = min(self._max_rows, MAX_ROWS_CHARS // sizes.row_chars)
        self._schema_joins = 0

    def query(self, nodes: Sequence[Node], ctes: dict[str, _Plan]) -> _Plan:
        query = parse_query(nodes)
        known = dict(ctes) if query.ctes else ctes
        for name, group in query.ctes:
            known[name] = self.query(group.nodes, known)
        plans = [self._select(clauses, known) for clauses in query.members]
        selects = sum(each.selects for each in plans)
        if selects > self._max_selects:
            self._reject(
                nodes[0],
                f"The query uses its CTEs so often that Druid would plan more than "
                f"{self._max_selects:,} SELECTs, {MAX_COPIES} more than the text has",
            )
        return _Plan(selects, sum(each.rows for each in plans))

    def _select(self, clauses: Sequence[Clause], ctes: dict[str, _Plan]) -> _Plan:
        selects, rows = 1, 1
        for clause in clauses:
            if clause.word == "FROM":
                joined = self._from(clause.nodes, ctes)
                selects += joined.selects
                rows *= joined.rows
            else:
                selects += self._selects_in(clause.nodes, ctes)
            match clause.word:
                case "GROUP":
                    self._check_grouping_sets(clause.nodes)
                case "VALUES":
                    rows *= sum(1 for _ in split(clause.nodes, ","))
                case "LIMIT":
                    rows = min(rows, _limit(clause.nodes))
        return _Plan(selects, rows)

    def _selects_in(self, nodes: Sequence[Node], ctes: dict[str, _Plan]) -> int:
        """Count the SELECTs in the subqueries of an expression."""
        return sum(self.query(each.nodes, ctes).selects for each in _subqueries(nodes))

    def _from(self, nodes: Sequence[Node], ctes: dict[str, _Plan]) -> _Plan:
        selects, rows = 0, 1
        sources = [each for each in split(nodes, ",", "JOIN") if each]
        if self._reads_schema and len(sources) > 1:
            self._check_schema_join(sources)
        for source in sources:
            plan = self._source(source, ctes)
            selects += plan.selects
            rows *= plan.rows
            if rows > self._max_rows:
                self._reject(
                    source[0],
                    f"UNNEST and VALUES would make more than {self._max_rows:,} rows here",
                )
        return _Plan(selects, rows)

    def _source(self, nodes: Sequence[Node], ctes: dict[str, _Plan]) -> _Plan:
        """Plan a table with its alias and join condition."""
        selects, rows = 0, 1
        for at, node in enumerate(nodes):
            if isinstance(node, Group):
                plan = self._brackets(nodes[at - 1].name if at else None, node, ctes)
            elif node.name in ctes and not (
                is_symbol(nodes, at - 1, ".") or is_symbol(nodes, at + 1, ".")
            ):
                plan = ctes[node.name]
            else:
                continue
            selects += plan.selects
            rows *= max(1, plan.rows)
        return _Plan(selects, rows)

    def _brackets(self, name: str | None, group: Group, ctes: dict[str, _Plan]) -> _Plan:
        """Plan brackets of a FROM clause; `name` is the word before them."""
        if group.is_query:
            return self.query(group.nodes, ctes)
        if name is None:
            return self._from(group.nodes, ctes)
        # UNNEST, the column names of an alias, or a condition.
        rows = self._elements(group) if name == "unnest" else 1
        return _Plan(self._selects_in(group.nodes, ctes), rows)

    def _elements(self, array: Group) -> int:
        """Return how many rows UNNEST makes of an array; 1 if that depends only on stored rows."""
        match array.nodes:
            case [Token(word="ARRAY"), Group(kind="[", nodes=items)]:
                return sum(1 for _ in split(items, ","))
        return max(1, self._array_elements)

    def _check_schema_join(self, sources: Sequence[Sequence[Node]]) -> None:
        self._schema_joins += len(sources) - 1
        if self._schema_joins > 1 or not _matches_table_names(sources[1]):
            self._reject(
                sources[1][0],
                "Tables of INFORMATION_SCHEMA can only be joined in pairs, as a JOIN b ON a.TABLE_NAME = b.TABLE_NAME",
            )

    def _check_grouping_sets(self, nodes: Sequence[Node]) -> None:
        sets = 1
        for each in split(nodes, ","):
            sets *= _grouping_sets(each)
            if sets > MAX_GROUPING_SETS:
                self._reject(
                    each[0],
                    f"CUBE, ROLLUP and GROUPING SETS would make more than {MAX_GROUPING_SETS} grouping sets",
                )

    def _reject(self, node: Node, message: str) -> NoReturn:
        construct = node.text if isinstance(node, Token) else node.kind
        raise too_expensive(self._sql, node.start, construct, message)


def _grouping_sets(nodes: Sequence[Node]) -> int:
    """Count the sets that an item of GROUP BY stands for."""
    for before, node in pairwise(nodes):
        if isinstance(node, Group):
            columns = list(split(node.nodes, ","))
            match before.word:
                case "CUBE":
                    return int(2 ** min(len(columns), 64))
                case "ROLLUP":
                    return len(columns) + 1
                case "SETS":
                    return sum(map(_grouping_sets, columns))
    return 1


def _limit(nodes: Sequence[Node]) -> int:
    match nodes:
        case [Token(kind=Kind.NUMBER, text=digits)] if digits.isdecimal() and len(digits) < 10:
            return int(digits)
    return MAX_ROWS


def _matches_table_names(source: Sequence[Node]) -> bool:
    """Whether a table is joined by `a.TABLE_NAME = b.TABLE_NAME` or `USING (TABLE_NAME)`."""
    for before, node in pairwise(source):
        if before.word == "USING" and isinstance(node, Group):
            return any(token.name == "table_name" for token in tokens_of(node.nodes))
    _, *conditions = split(source, "ON")
    for condition in (each for some in conditions for each in split(some, "AND")):
        match [node.name or node.text for node in condition]:
            case [one, ".", "table_name", "=", other, ".", "table_name"] if one != other:
                return not any(node.word == "OR" for some in conditions for node in some)
    return False


def _subqueries(nodes: Sequence[Node]) -> Iterator[Group]:
    for node in nodes:
        if isinstance(node, Group):
            if node.is_query:
                yield node
            else:
                yield from _subqueries(node.nodes)
