"""Upper bounds of the lengths of the values that a query builds.

Each expression gets a bound in characters: COLUMN_CHARS for a stored value, its own length for a
literal, the longest expression of its query for a column of a subquery or CTE, and a rule of
function_sizes for a function call (ADR 0031).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from services.druid_gateway.ports import Value
from services.druid_gateway.queries import function_sizes
from services.druid_gateway.queries.function_sizes import (
    AVERAGE,
    ELEMENT_CHARS,
    NOTHING_STORED,
    PADDING_FUNCTIONS,
    Call,
    Limits,
)
from services.druid_gateway.queries.sql_tokens import RESERVED, Kind, Token
from services.druid_gateway.queries.sql_tree import (
    Clause,
    Group,
    Node,
    is_concatenated,
    parse_query,
    split,
)

LONG_CHARS = 500
"""Values of at least this length count towards the length of a row."""

_CLAUSES_OF_ROWS = frozenset({"", "SELECT", "VALUES", "GROUP", "ORDER"})
"""Clauses whose expressions Druid keeps for each row."""


@dataclass(frozen=True)
class Sizes:
    """Upper bounds for a query. `longest_value`: characters of its longest result value;
    `array_elements`: elements of its largest array; `row_chars`: characters of a row's values of at
    least LONG_CHARS, 0 if there are none."""

    longest_value: int
    array_elements: int
    row_chars: int


def measure(sql: str, nodes: Sequence[Node], parameters: Sequence[Value]) -> Sizes:
    """Measure what a query builds.

    Raises:
        SluiceError: QUERY_TOO_EXPENSIVE if a value could become too long, QUERY_INVALID.
    """
    _Measurement(Limits(sql, nodes, parameters, NOTHING_STORED)).query(nodes)
    measurement = _Measurement(Limits(sql, nodes, parameters, AVERAGE))
    longest = measurement.query(nodes)
    return Sizes(longest, measurement.longest_array // (1 + ELEMENT_CHARS), measurement.longest_row)


@dataclass(frozen=True)
class _Scope:
    """What an expression can refer to. `column`: length of the longest visible column; `outer`: of
    the longest column that is visible to a subquery in the expression; `ctes`: of the longest
    column of each CTE; `inside`: the padding function that has the expression as an argument."""

    column: int
    outer: int
    ctes: dict[str, int] = field(default_factory=dict)
    inside: str = ""


class _Measurement:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._column = limits.assumptions.column
        self.longest_array = 0
        self.longest_row = 0

    def query(self, nodes: Sequence[Node], outer: _Scope | None = None) -> int:
        """Return the length of the query's longest result value."""
        scope = outer or _Scope(self._column, self._column)
        query = parse_query(nodes)
        if query.ctes:
            scope = replace(scope, ctes=dict(scope.ctes))
        for name, group in query.ctes:
            scope.ctes[name] = self.query(group.nodes, scope)
        return max((self._select(clauses, scope) for clauses in query.members), default=0)

    def _select(self, clauses: Sequence[Clause], scope: _Scope) -> int:
        column = max(scope.outer, self._column)
        for clause in clauses:
            if clause.word == "FROM":
                column = max(column, self._from(clause.nodes, replace(scope, column=column)))
        longest = row = 0
        for clause in clauses:
            if clause.word != "FROM":
                # Later clauses can refer to the columns that SELECT names.
                visible = max(column, longest)
                within = replace(scope, column=visible, outer=visible)
                items = [self._longest_of(each, within) for each in split(clause.nodes, ",")]
                longest = max(longest, *items)
                if clause.word in _CLAUSES_OF_ROWS:
                    row += sum(chars for chars in items if chars >= LONG_CHARS)
        self.longest_row = max(self.longest_row, row)
        return longest

    def _from(self, nodes: Sequence[Node], scope: _Scope) -> int:
        """Return the length of the longest column of the joined tables."""
        ctes = (scope.ctes.get(token.name or "", 0) for token in _outside_subqueries(nodes))
        column = max(scope.column, scope.outer, *ctes, self._column)
        conditions: list[Sequence[Node]] = []
        for source in split(nodes, ",", "JOIN"):
            table, *rest = split(source, "ON", "USING")
            conditions += rest
            # UNNEST can refer to the tables before it, and so can the subquery after LATERAL.
            within = replace(scope, column=column)
            if table and table[0].word == "LATERAL":
                within = replace(within, outer=column)
            column = max(column, self._table(table, within))
        for condition in conditions:
            self._longest_of(condition, replace(scope, column=column, outer=column))
        return column

    def _table(self, nodes: Sequence[Node], scope: _Scope) -> int:
        """Return the length of the longest column of a table, or of tables joined in brackets."""
        match nodes:
            case [Group(is_query=False) as joined, *alias]:
                return max(self._from(joined.nodes, scope), self._longest_of(alias, scope))
        return self._longest_of(nodes, scope)

    def _longest_of(self, nodes: Sequence[Node], scope: _Scope) -> int:
        """Return the length of the longest of several expressions."""
        return max(self._expression(each, scope) for each in split(nodes, ",", "AND", "OR"))

    def _expression(self, nodes: Sequence[Node], scope: _Scope) -> int:
        lengths = [self._operand(node, group, scope) for node, group in _operands(nodes)]
        for node in nodes:
            if isinstance(node, Token) and node.text == "||":
                return self._limits.check(Call(node, [nodes], lengths), sum(lengths))
        return max(lengths, default=0)

    def _operand(self, node: Node, arguments: Group | None, scope: _Scope) -> int:
        if isinstance(node, Group):
            return self._group(node, scope)
        if arguments is not None:
            return self._call(node, arguments, scope)
        if node.text == "?":
            return len(str(self._limits.literal([node])))
        if node.name is None:
            return max(1, len(node.text if node.string is None else node.string))
        return scope.column

    def _group(self, group: Group, scope: _Scope) -> int:
        if group.is_query:
            return self.query(group.nodes, scope)
        separators = ("WHEN", "THEN", "ELSE") if group.kind == "CASE" else ()
        return max(self._longest_of(each, scope) for each in split(group.nodes, *separators))

    def _call(self, token: Token, group: Group, scope: _Scope) -> int:
        """Return the length of a function's result, of an ARRAY[...], or of an array's element."""
        if group.kind == "[" and token.word != "ARRAY":
            self._longest_of(group.nodes, scope)
            return scope.column
        call = self._evaluate(token, group, scope)
        bound = function_sizes.array_bound if group.kind == "[" else function_sizes.bound
        chars = bound(self._limits, call)
        if (token.name or "").startswith(("array", "mv_", "string_to_")):
            self.longest_array = max(self.longest_array, chars)
        return chars

    def _evaluate(self, token: Token, group: Group, scope: _Scope) -> Call:
        """Measure the arguments of a call."""
        if group.kind == "(" and token.name in PADDING_FUNCTIONS:
            if scope.inside:
                self._limits.reject(token, f"must not be nested in {scope.inside}")
            scope = replace(scope, inside=function_sizes.display_name(token))
        if group.is_query:
            return Call(token, [group.nodes], [self.query(group.nodes, scope)])
        arguments = list(split(group.nodes, ",")) if group.nodes else []
        return Call(token, arguments, [self._longest_of(each, scope) for each in arguments])


def _operands(nodes: Sequence[Node]) -> Iterator[tuple[Node, Group | None]]:
    """Iterate over the values in an expression, each with the arguments if it is a call. Skips
    operators, keywords, aliases and the table names before columns."""
    at = 0
    while at < len(nodes):
        node = nodes[at]
        at += 1
        if isinstance(node, Group) or node.kind in (Kind.STRING, Kind.NUMBER) or node.text == "?":
            yield node, None
        elif node.text == "." or node.word == "AS":
            # In `table.column` the first name has been counted as the column.
            is_name = at < len(nodes) and nodes[at].name is not None
            if is_name and _arguments(nodes, at + 1) is None:
                at += 1
        elif node.name is not None and not (
            node.word in RESERVED and not is_concatenated(nodes, at - 1)
        ):
            arguments = _arguments(nodes, at)
            yield node, arguments
            at += 1 if arguments else 0


def _arguments(nodes: Sequence[Node], at: int) -> Group | None:
    """The brackets at an index, if there are any."""
    node = nodes[at] if at < len(nodes) else None
    return node if isinstance(node, Group) and node.kind != "CASE" else None


def _outside_subqueries(nodes: Sequence[Node]) -> Iterator[Token]:
    for node in nodes:
        if isinstance(node, Token):
            yield node
        elif not node.is_query:
            yield from _outside_subqueries(node.nodes)
