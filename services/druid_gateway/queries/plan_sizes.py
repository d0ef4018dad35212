"""How much a short statement asks of Druid's planner, and how many rows it makes out of nothing.
Druid copies a CTE to each place that names it, plans CUBE as all its grouping sets, joins the
tables of INFORMATION_SCHEMA inside the broker's memory and sorts the rows of UNNEST and VALUES
there; it sets a limit to none of these (ADR 0031).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NoReturn

from services.druid_gateway.queries.sql_tokens import Kind, Token, too_expensive
from services.druid_gateway.queries.sql_tree import Clause, Group, Node, parse, split, tokens_of
from services.druid_gateway.queries.value_sizes import Sizes

MAX_COPIES = 100
"""Most SELECTs that a statement may become, beyond those that are written in it."""
MAX_ROWS = 100_000
"""Most rows that UNNEST of constants and VALUES may make when they are joined."""
MAX_ROWS_CHARS = 20_000_000
"""The same, in characters of long values."""
MAX_SCHEMA_ROWS = 1_000
"""The same, in a query of INFORMATION_SCHEMA."""
MAX_GROUPING_SETS = 256

_SCHEMA = "information_schema"


@dataclass(frozen=True)
class _Plan:
    """`selects`: SELECTs once every CTE is copied; `rows`: rows made out of constants."""

    selects: int
    rows: int


def check(sql: str, nodes: Sequence[Node], sizes: Sizes) -> None:
    """Raises SluiceError QUERY_TOO_EXPENSIVE where the plan or its rows could become too many."""
    tokens = list(tokens_of(nodes))
    written = sum(token.word == "SELECT" for token in tokens)
    reads_schema = any(token.name == _SCHEMA for token in tokens)
    _Plans(sql, MAX_COPIES + written, sizes, reads_schema).query(nodes, {})


def subquery_rows(sizes: Sizes) -> int | None:
    """Most rows of a subquery that the broker may hold; None where its values are short, so that
    Druid's own limit, a number of rows whatever their length, is enough."""
    return max(1, MAX_ROWS_CHARS // sizes.row_chars) if sizes.row_chars else None


class _Plans:
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
        query = parse(nodes)
        known = dict(ctes) if query.ctes else ctes
        for name, group in query.ctes:
            known[name] = self.query(group.nodes, known)
        plans = [self._select(clauses, known) for clauses in query.members]
        selects = sum(each.selects for each in plans)
        if selects > self._max_selects:
            self._refuse(
                nodes[0],
                "The query names the tables of its WITH so often that Druid would plan more than "
                f"{self._max_selects:,} SELECTs; {MAX_COPIES} more than are written are allowed",
            )
        return _Plan(selects, sum(each.rows for each in plans))

    def _select(self, clauses: Sequence[Clause], ctes: dict[str, _Plan]) -> _Plan:
        selects, rows = 1, 1
        for clause in clauses:
            if clause.word == "FROM":
                joined = self._from(clause.nodes, ctes)
                selects += joined.selects
                rows *= joined.rows
            elif clause.word == "GROUP":
                self._check_sets(clause.nodes)
            elif clause.word == "VALUES":
                rows *= sum(1 for _ in split(clause.nodes, ","))
            if clause.word != "FROM":
                selects += sum(
                    self.query(each.nodes, ctes).selects for each in _subqueries(clause.nodes)
                )
            if clause.word == "LIMIT":
                rows = min(rows, _limit(clause.nodes))
        return _Plan(selects, rows)

    def _from(self, nodes: Sequence[Node], ctes: dict[str, _Plan]) -> _Plan:
        selects, rows = 0, 1
        sources = [each for each in split(nodes, ",", "JOIN") if each]
        if self._reads_schema and len(sources) > 1:
            self._check_schema_join(sources)
        for source in sources:
            plan = self._source(source, ctes)
            selects += plan.selects
            rows *= max(1, plan.rows)
            if rows > self._max_rows:
                self._refuse(
                    source[0],
                    f"UNNEST and VALUES would make more than {self._max_rows:,} rows here",
                )
        return _Plan(selects, rows)

    def _source(self, nodes: Sequence[Node], ctes: dict[str, _Plan]) -> _Plan:
        """A table with its alias and the condition that joins it."""
        selects, rows = 0, 1
        for at, node in enumerate(nodes):
            if isinstance(node, Group):
                before = nodes[at - 1] if at else None
                name = before.name if isinstance(before, Token) else None
                if node.is_query:
                    plan = self.query(node.nodes, ctes)
                elif name is not None:
                    # UNNEST, or the columns of an alias, or a condition.
                    rows_made = self._elements(node) if name == "unnest" else 1
                    copies = (
                        self.query(each.nodes, ctes).selects for each in _subqueries(node.nodes)
                    )
                    plan = _Plan(sum(copies), rows_made)
                else:
                    plan = self._from(node.nodes, ctes)
                selects += plan.selects
                rows *= max(1, plan.rows)
            elif node.name in ctes and not _is_dot(nodes, at - 1) and not _is_dot(nodes, at + 1):
                selects += ctes[node.name].selects
                rows *= max(1, ctes[node.name].rows)
        return _Plan(selects, rows)

    def _elements(self, array: Group) -> int:
        """Most rows that UNNEST makes of an array; 1 where it depends on stored rows alone."""
        match array.nodes:
            case [Token() as name, Group(nodes=items) as inside] if (
                name.word == "ARRAY" and inside.kind == "["
            ):
                return sum(1 for _ in split(items, ","))
        return max(1, self._array_elements)

    def _check_schema_join(self, sources: Sequence[Sequence[Node]]) -> None:
        self._schema_joins += len(sources) - 1
        if self._schema_joins > 1 or not _matches_table_names(sources[1]):
            self._refuse(
                sources[1][0],
                "Tables of INFORMATION_SCHEMA may be joined in pairs only, as a JOIN b ON a.TABLE_NAME = b.TABLE_NAME",
            )

    def _check_sets(self, nodes: Sequence[Node]) -> None:
        sets = 1
        for each in split(nodes, ","):
            sets *= _grouping_sets(each)
            if sets > MAX_GROUPING_SETS:
                self._refuse(
                    each[0],
                    f"CUBE, ROLLUP and GROUPING SETS would make more than {MAX_GROUPING_SETS} grouping sets",
                )

    def _refuse(self, node: Node, message: str) -> NoReturn:
        what = node.text if isinstance(node, Token) else node.kind
        raise too_expensive(self._sql, node.start, what, message)


def _grouping_sets(nodes: Sequence[Node]) -> int:
    """How many sets an item of GROUP BY stands for."""
    for before, node in pairwise(nodes):
        if isinstance(before, Token) and isinstance(node, Group):
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
        if isinstance(before, Token) and before.word == "USING" and isinstance(node, Group):
            return any(token.name == "table_name" for token in tokens_of(node.nodes))
    _, *conditions = split(source, "ON")
    for condition in (each for some in conditions for each in split(some, "AND")):
        match [isinstance(each, Token) and (each.name or each.text) for each in condition]:
            case [one, ".", "table_name", "=", other, ".", "table_name"] if one != other:
                return not any(_is_or(node) for some in conditions for node in some)
    return False


def _is_or(node: Node) -> bool:
    return isinstance(node, Token) and node.word == "OR"


def _subqueries(nodes: Sequence[Node]) -> Iterator[Group]:
    for node in nodes:
        if isinstance(node, Group):
            if node.is_query:
                yield node
            else:
                yield from _subqueries(node.nodes)


def _is_dot(nodes: Sequence[Node], at: int) -> bool:
    node = nodes[at] if 0 <= at < len(nodes) else None
    return isinstance(node, Token) and node.text == "."
