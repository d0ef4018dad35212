"""Tokens as a tree of brackets, and a query as its parts. Loose where the grammar is strict: what
Druid's parser refuses may be read in any way, what it accepts is read as it reads it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from services.common import errors
from services.druid_gateway.queries.sql_tokens import Kind, Token, invalid, too_expensive
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_DEPTH = 60
"""Most brackets in one another. Druid's parser has no more stack for some hundreds."""


@dataclass(frozen=True)
class Group:
    """What stands in brackets, or between CASE and END; `opened`: the bracket, or CASE."""

    opened: Token
    nodes: "list[Node]" = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.opened.start

    @property
    def kind(self) -> str:
        """`(`, `[` or CASE."""
        return self.opened.word or self.opened.text

    @property
    def is_query(self) -> bool:
        """A subquery, or the rows of VALUES."""
        if self.kind != "(" or not self.nodes:
            return False
        first = self.nodes[0]
        if isinstance(first, Token):
            return first.word in {"SELECT", "WITH", "VALUES"}
        return first.is_query and (len(self.nodes) == 1 or _word(self.nodes, 1) in _AFTER_QUERY)


Node: TypeAlias = Token | Group

_CLOSING = {")": "(", "]": "["}


def grow(sql: str, tokens: Iterable[Token]) -> "list[Node]":
    """The statement's nodes.

    Raises:
        SluiceError: QUERY_INVALID for a bracket without its partner, QUERY_TOO_EXPENSIVE for too
            many in one another.
    """
    root: list[Node] = []
    open_: list[Group] = []
    for token in tokens:
        nodes = open_[-1].nodes if open_ else root
        if token.text in ("(", "[") or token.word == "CASE":
            if len(open_) == MAX_DEPTH:
                raise too_expensive(
                    sql,
                    token.start,
                    token.text,
                    f"The query has more than {MAX_DEPTH} brackets or CASEs in one another",
                )
            opened = Group(token)
            nodes.append(opened)
            open_.append(opened)
        elif token.word == "END" and open_ and open_[-1].kind == "CASE":
            open_.pop()
        elif token.text in _CLOSING:
            # A CASE without END ends here: Druid says what is wrong with it.
            while open_ and open_[-1].kind == "CASE":
                open_.pop()
            if not open_ or open_[-1].kind != _CLOSING[token.text]:
                raise invalid(sql, token.start, f"The bracket {token.text} closes none.")
            open_.pop()
        else:
            nodes.append(token)
    for unclosed in open_:
        if unclosed.kind != "CASE":
            raise invalid(sql, unclosed.start, f"The bracket {unclosed.kind} is not closed.")
    return root


@dataclass(frozen=True)
class Clause:
    """A clause of a SELECT: its first word (SELECT, FROM, WHERE, GROUP, ...) and what follows."""

    word: str
    nodes: "list[Node]" = field(default_factory=list)


@dataclass(frozen=True)
class Query:
    """`ctes`: the names of WITH, folded to lower case, and their queries. `members`: what UNION and
    its like put together: clauses, or a query in brackets with what follows it."""

    ctes: Sequence[tuple[str, Group]]
    members: Sequence[Sequence[Clause]]


_SET_OPERATORS = {"UNION", "INTERSECT", "EXCEPT", "MINUS"}
_CLAUSES = {
    "SELECT",
    "VALUES",
    "FROM",
    "WHERE",
    "HAVING",
    "WINDOW",
    "QUALIFY",
    "LIMIT",
    "OFFSET",
    "FETCH",
}
_CLAUSES_WITH_BY = {"GROUP", "ORDER"}
_AFTER_QUERY = {*_SET_OPERATORS, "ORDER", "LIMIT", "OFFSET", "FETCH"}
"""What may follow a query in brackets."""


def parse(nodes: Sequence[Node]) -> Query:
    """A query's parts; `nodes`: those of the statement, or of the brackets around a subquery.

    Raises:
        SluiceError: QUERY_INVALID for a WITH that is none.
    """
    at = 3 if _word(nodes, 0) == "EXPLAIN" else 0
    ctes: list[tuple[str, Group]] = []
    if _word(nodes, at) == "WITH":
        at += 2 if _word(nodes, at + 1) == "RECURSIVE" else 1
        while True:
            name = nodes[at] if at < len(nodes) else None
            # name AS (query), or name (columns) AS (query)
            body = next((each for each in nodes[at : at + 4] if _is_query(each)), None)
            if not isinstance(name, Token) or name.name is None or not isinstance(body, Group):
                message = "WITH is not followed by a name, AS and a query in brackets."
                raise errors.error(ErrorReason.ERROR_REASON_QUERY_INVALID, message)
            ctes.append((name.name, body))
            at = nodes.index(body, at) + 1
            if not _is_text(nodes, at, ","):
                break
            at += 1
    return Query(ctes, [_clauses(member) for member in _members(nodes[at:])])


def split(nodes: Sequence[Node], *separators: str) -> Iterator[Sequence[Node]]:
    """The runs of nodes between the separators: symbols, or words in capitals."""
    start = 0
    for at, node in enumerate(nodes):
        if isinstance(node, Token) and (node.word or node.text) in separators:
            yield nodes[start:at]
            start = at + 1
    yield nodes[start:]


def tokens_of(nodes: Sequence[Node]) -> Iterator[Token]:
    """All tokens but closing brackets and END, in their order."""
    left = list(reversed(nodes))
    while left:
        node = left.pop()
        if isinstance(node, Token):
            yield node
        else:
            yield node.opened
            left.extend(reversed(node.nodes))


def _members(nodes: Sequence[Node]) -> Iterator[Sequence[Node]]:
    start = 0
    for at, node in enumerate(nodes):
        if (
            isinstance(node, Token)
            and node.word in _SET_OPERATORS
            and not _in_expression(nodes, at)
        ):
            yield nodes[start:at]
            start = at + 1
    yield nodes[start:]


def _clauses(nodes: Sequence[Node]) -> Sequence[Clause]:
    clauses = [Clause("")]
    for at, node in enumerate(nodes):
        if isinstance(node, Token) and _begins_clause(nodes, at, node):
            clauses.append(Clause(node.word))
        else:
            clauses[-1].nodes.append(node)
    return clauses


def _begins_clause(nodes: Sequence[Node], at: int, token: Token) -> bool:
    if _in_expression(nodes, at):
        return False
    if token.word in _CLAUSES_WITH_BY:
        return _word(nodes, at + 1) == "BY"
    # a IS DISTINCT FROM b
    return token.word in _CLAUSES and not (
        token.word == "FROM" and _word(nodes, at - 1) == "DISTINCT"
    )


def _in_expression(nodes: Sequence[Node], at: int) -> bool:
    """A word beside `||` or after a dot is the name of a column, whatever else it may mean."""
    return (
        _is_text(nodes, at - 1, "||")
        or _is_text(nodes, at - 1, ".")
        or _is_text(nodes, at + 1, "||")
    )


def _word(nodes: Sequence[Node], at: int) -> str:
    node = nodes[at] if 0 <= at < len(nodes) else None
    return node.word if isinstance(node, Token) else ""


def _is_text(nodes: Sequence[Node], at: int, text: str) -> bool:
    node = nodes[at] if 0 <= at < len(nodes) else None
    return isinstance(node, Token) and node.kind is Kind.SYMBOL and node.text == text


def _is_query(node: Node) -> bool:
    return isinstance(node, Group) and node.is_query
