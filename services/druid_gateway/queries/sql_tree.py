"""Tokens as a tree of brackets, and a query as its clauses.

Looser than the grammar: SQL that Druid's parser accepts is read as that parser reads it; SQL that
it rejects may be read in any way.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, TypeAlias

from services.common import errors
from services.druid_gateway.queries.sql_tokens import Token, invalid, too_expensive
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_DEPTH = 60
"""Maximum nesting of brackets. Some hundreds overflow the stack of Druid's parser."""


@dataclass(frozen=True)
class Group:
    """The nodes between brackets, or between CASE and END. `opened`: the bracket, or CASE."""

    opened: Token
    nodes: "list[Node]" = field(default_factory=list)

    # As of a token, so that a node can be compared without a check of its type.
    text: ClassVar[str] = ""
    word: ClassVar[str] = ""
    name: ClassVar[str | None] = None

    @property
    def start(self) -> int:
        return self.opened.start

    @property
    def kind(self) -> str:
        """`(`, `[` or CASE."""
        return self.opened.word or self.opened.text

    @property
    def is_query(self) -> bool:
        """Whether it is a subquery, or the rows of VALUES."""
        if self.kind != "(" or not self.nodes:
            return False
        first = self.nodes[0]
        if isinstance(first, Token):
            return first.word in {"SELECT", "WITH", "VALUES"}
        return first.is_query and (len(self.nodes) == 1 or self.nodes[1].word in _AFTER_QUERY)


Node: TypeAlias = Token | Group

_CLOSING = {")": "(", "]": "["}


def build(sql: str, tokens: Iterable[Token]) -> "list[Node]":
    """Return the nodes of a statement.

    Raises:
        SluiceError: QUERY_INVALID for an unmatched bracket, QUERY_TOO_EXPENSIVE for brackets nested
            too deeply.
    """
    root: list[Node] = []
    open_groups: list[Group] = []
    for token in tokens:
        nodes = open_groups[-1].nodes if open_groups else root
        if token.text in ("(", "[") or token.word == "CASE":
            if len(open_groups) == MAX_DEPTH:
                message = f"Brackets and CASEs are nested more than {MAX_DEPTH} deep"
                raise too_expensive(sql, token.start, token.text, message)
            opened = Group(token)
            nodes.append(opened)
            open_groups.append(opened)
        elif token.word == "END" and open_groups and open_groups[-1].kind == "CASE":
            open_groups.pop()
        elif token.text in _CLOSING:
            # Also closes a CASE without END, which Druid will report.
            while open_groups and open_groups[-1].kind == "CASE":
                open_groups.pop()
            if not open_groups or open_groups[-1].kind != _CLOSING[token.text]:
                raise invalid(sql, token.start, f"The bracket {token.text} has no opening bracket.")
            open_groups.pop()
        else:
            nodes.append(token)
    for unclosed in open_groups:
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
    """A query. `ctes`: names of WITH in lower case, and their queries. `members`: the operands of
    UNION, INTERSECT, EXCEPT and MINUS, each as its clauses; a query in brackets, with what follows
    it, is a clause without a word."""

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
"""Words that can follow a query in brackets."""


def parse_query(nodes: Sequence[Node]) -> Query:
    """Return the parts of a statement or subquery, given its nodes.

    Raises:
        SluiceError: QUERY_INVALID for an incomplete WITH.
    """
    at = 3 if _word(nodes, 0) == "EXPLAIN" else 0
    ctes: list[tuple[str, Group]] = []
    if _word(nodes, at) == "WITH":
        at += 2 if _word(nodes, at + 1) == "RECURSIVE" else 1
        while True:
            name = nodes[at].name if at < len(nodes) else None
            # name AS (query), or name (columns) AS (query)
            body = next(
                (each for each in nodes[at : at + 4] if isinstance(each, Group) and each.is_query),
                None,
            )
            if name is None or body is None:
                message = "WITH must be followed by a name, AS and a query in brackets."
                raise errors.error(ErrorReason.ERROR_REASON_QUERY_INVALID, message)
            ctes.append((name, body))
            at = nodes.index(body, at) + 1
            if not is_symbol(nodes, at, ","):
                break
            at += 1
    return Query(ctes, [_clauses(member) for member in _members(nodes[at:])])


def split(nodes: Sequence[Node], *separators: str) -> Iterator[Sequence[Node]]:
    """Split the nodes at separators: symbols, or words in upper case."""
    start = 0
    for at, node in enumerate(nodes):
        if (node.word or node.text) in separators:
            yield nodes[start:at]
            start = at + 1
    yield nodes[start:]


def tokens_of(nodes: Sequence[Node]) -> Iterator[Token]:
    """Iterate over all tokens in order, except closing brackets and END."""
    remaining = list(reversed(nodes))
    while remaining:
        node = remaining.pop()
        if isinstance(node, Token):
            yield node
        else:
            yield node.opened
            remaining.extend(reversed(node.nodes))


def is_symbol(nodes: Sequence[Node], at: int, symbol: str) -> bool:
    """Whether a node is the symbol; False for an index out of range."""
    return 0 <= at < len(nodes) and nodes[at].text == symbol


def is_concatenated(nodes: Sequence[Node], at: int) -> bool:
    """Whether a node is beside `||`."""
    return is_symbol(nodes, at - 1, "||") or is_symbol(nodes, at + 1, "||")


def _members(nodes: Sequence[Node]) -> Iterator[Sequence[Node]]:
    start = 0
    for at, node in enumerate(nodes):
        if node.word in _SET_OPERATORS and not _is_column(nodes, at):
            yield nodes[start:at]
            start = at + 1
    yield nodes[start:]


def _clauses(nodes: Sequence[Node]) -> Sequence[Clause]:
    clauses = [Clause("")]
    for at, node in enumerate(nodes):
        if _begins_clause(nodes, at):
            clauses.append(Clause(node.word))
        else:
            clauses[-1].nodes.append(node)
    return clauses


def _begins_clause(nodes: Sequence[Node], at: int) -> bool:
    word = nodes[at].word
    if word in _CLAUSES_WITH_BY:
        return _word(nodes, at + 1) == "BY" and not _is_column(nodes, at)
    # a IS DISTINCT FROM b
    in_comparison = word == "FROM" and _word(nodes, at - 1) == "DISTINCT"
    return word in _CLAUSES and not in_comparison and not _is_column(nodes, at)


def _is_column(nodes: Sequence[Node], at: int) -> bool:
    """Whether a keyword is the name of a column, as it is beside `||` or after a dot."""
    return is_concatenated(nodes, at) or is_symbol(nodes, at - 1, ".")


def _word(nodes: Sequence[Node], at: int) -> str:
    return nodes[at].word if 0 <= at < len(nodes) else ""
