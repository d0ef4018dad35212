"""Cost limits of GraphQL documents, checked before graphql-core walks them.

graphql-core's validation and execution follow every fragment spread: a document of 1 KB whose
fragments each spread the next one three times has billions of fields. The guard walks each
definition once and computes the cost of each fragment once, so its time is linear in the length of
the document.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLSchema,
    GraphQLSyntaxError,
    InlineFragmentNode,
    Lexer,
    OperationDefinitionNode,
    Source,
    TokenKind,
    parse,
    validate,
)
from graphql.validation.rules import overlapping_fields_can_be_merged

from gateway.http import problems
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason

MAX_CHARS = 128 * 1024
"""Length of the document; the longest SQL statement fits."""

MAX_TOKENS = 1000
MAX_NESTING = 40
"""Depth of nested brackets of any kind; the parser recurses into each."""

MAX_DEFINITIONS = 50
MAX_FIELDS = 500
"""Fields of all operations, with fragments spread; the introspection query of common tools has 200."""

MAX_ALIASES = 20
MAX_DEPTH = 20
"""Depth of nested fields; the introspection query of common tools has 15."""

MAX_INTROSPECTIONS = 3
"""Uses of __schema and __type; each result is long."""

MAX_TYPE_LISTS = 1
"""Depth of nested lists of a type's parts in an introspection; each level multiplies the result by
the number of fields."""

MAX_MERGE_COMPARISONS = 5_000
"""Budget of the only validation rule that is not linear: it compares fields of the same name in
pairs. Enough for 50 fields of one name in one selection; the default lets the rule run for
seconds."""

MAX_ERRORS = 20
"""Reported errors per document."""

DOCUMENTS_KEPT = 64
"""Size of the cache of checked documents: clients repeat the same few, and a check takes
milliseconds."""

overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = MAX_MERGE_COMPARISONS

_INTROSPECTION = frozenset({"__schema", "__type"})
_TYPE_LISTS = frozenset({"fields", "inputFields", "interfaces", "possibleTypes"})
_OPENING = frozenset({TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L})
_CLOSING = frozenset({TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R})


@dataclass(frozen=True)
class CheckedDocument:
    """A valid document within its budget, or the errors."""

    document: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()


@dataclass(frozen=True)
class Nesting:
    """How deep a selection is nested in its definition."""

    depth: int = 0
    type_lists: int = 0
    introspected: bool = False
    """Whether the selection is part of an introspection."""

    def within(self, parent: FieldNode) -> "Nesting":
        """Return the nesting of the field's own selections."""
        name = parent.name.value
        return Nesting(
            self.depth + 1,
            self.type_lists + (name in _TYPE_LISTS),
            self.introspected or name in _INTROSPECTION,
        )


@dataclass
class Cost:
    """Cost of a definition, with its fragments spread."""

    fields: int = 0
    aliases: int = 0
    depth: int = 0
    introspections: int = 0
    type_lists: int = 0
    """Depth of nested lists of a type's parts."""
    inner_aliases: int = 0
    """Aliases inside an introspection."""

    def count(self, field: FieldNode, nesting: Nesting) -> None:
        """Add one field."""
        within = nesting.within(field)
        self.fields += 1
        self.depth = max(self.depth, within.depth)
        self.type_lists = max(self.type_lists, within.type_lists)
        self.introspections += field.name.value in _INTROSPECTION
        if field.alias:
            self.aliases += 1
            self.inner_aliases += nesting.introspected

    def add(self, other: "Cost", nesting: Nesting = Nesting()) -> None:
        """Add the cost of a fragment that is spread at this nesting."""
        self.fields += other.fields
        self.aliases += other.aliases
        self.depth = max(self.depth, nesting.depth + other.depth)
        self.introspections += other.introspections
        self.type_lists = max(self.type_lists, nesting.type_lists + other.type_lists)
        self.inner_aliases += other.aliases if nesting.introspected else other.inner_aliases


def check(schema: GraphQLSchema, text: str) -> CheckedDocument:
    """Parse and validate the text, within the budget."""
    if len(text) > MAX_CHARS:
        # Not cached: long texts would fill the memory.
        return CheckedDocument(None, (_too_much("characters", MAX_CHARS),))
    return cached_check(schema, text)


@lru_cache(maxsize=DOCUMENTS_KEPT)
def cached_check(schema: GraphQLSchema, text: str) -> CheckedDocument:
    """Check a text of at most MAX_CHARS."""
    try:
        _check_tokens(text)
        document = parse(text, max_tokens=MAX_TOKENS)
        _check_cost(document)
    except GraphQLSyntaxError as failure:
        # Over a WebSocket, a GraphQLSyntaxError would end all subscriptions of the connection.
        plain = GraphQLError(failure.message, source=failure.source, positions=failure.positions)
        return CheckedDocument(None, (plain,))
    except GraphQLError as failure:
        return CheckedDocument(None, (failure,))
    return CheckedDocument(document, tuple(validate(schema, document, max_errors=MAX_ERRORS)))


def with_code(formatted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the error with a code: REQUEST_INVALID if it has none.

    Errors of graphql-core, such as an unknown field or a wrong variable, have none.
    """
    coded = dict(formatted)
    if "code" not in coded.get("extensions", {}):
        invalid = error(ErrorReason.ERROR_REASON_REQUEST_INVALID, coded["message"])
        coded["extensions"] = problems.extensions(invalid)
    return coded


def _check_tokens(text: str) -> None:
    """Count tokens and brackets without building a syntax tree."""
    lexer = Lexer(Source(text))
    tokens = nesting = 0
    while (token := lexer.advance()).kind != TokenKind.EOF:
        tokens += 1
        if tokens > MAX_TOKENS:
            raise _too_much("tokens", MAX_TOKENS)
        if token.kind in _OPENING:
            nesting += 1
            if nesting > MAX_NESTING:
                raise _too_much("brackets within each other", MAX_NESTING)
        elif token.kind in _CLOSING:
            nesting -= 1


def _check_cost(document: DocumentNode) -> None:
    if len(document.definitions) > MAX_DEFINITIONS:
        raise _too_much("definitions", MAX_DEFINITIONS)
    found = cost(document)
    for what, count, limit in (
        ("fields with its fragments spread", found.fields, MAX_FIELDS),
        ("aliases with its fragments spread", found.aliases, MAX_ALIASES),
        ("fields within each other", found.depth, MAX_DEPTH),
        ("introspections", found.introspections, MAX_INTROSPECTIONS),
        ("lists of a type's parts within each other", found.type_lists, MAX_TYPE_LISTS),
        ("aliases within an introspection", found.inner_aliases, 0),
    ):
        if count > limit:
            raise _too_much(what, limit)


def cost(document: DocumentNode) -> Cost:
    """Return the cost of all operations of the document.

    Raises:
        GraphQLError: A fragment spreads itself.
    """
    fragments = {
        each.name.value: _walk(each)
        for each in document.definitions
        if isinstance(each, FragmentDefinitionNode)
    }
    costs: dict[str, Cost] = {}
    total = Cost()
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            total.add(_with_fragments(_walk(definition), fragments, costs, ()))
    return total


@dataclass
class _Walked:
    """Cost of a definition without its fragments, and where it spreads which fragment."""

    cost: Cost = field(default_factory=Cost)
    spreads: list[tuple[str, Nesting]] = field(default_factory=list)


def _walk(definition: OperationDefinitionNode | FragmentDefinitionNode) -> _Walked:
    walked = _Walked()
    pending = [(definition.selection_set, Nesting())]
    while pending:
        selections, nesting = pending.pop()
        for selection in selections.selections:
            match selection:
                case FieldNode():
                    walked.cost.count(selection, nesting)
                    if selection.selection_set:
                        pending.append((selection.selection_set, nesting.within(selection)))
                case InlineFragmentNode():
                    pending.append((selection.selection_set, nesting))
                case FragmentSpreadNode():
                    walked.spreads.append((selection.name.value, nesting))
    return walked


def _with_fragments(
    walked: _Walked, fragments: dict[str, _Walked], costs: dict[str, Cost], above: tuple[str, ...]
) -> Cost:
    total = Cost()
    total.add(walked.cost)
    for name, nesting in walked.spreads:
        total.add(_of_fragment(name, fragments, costs, above), nesting)
    return total


def _of_fragment(
    name: str, fragments: dict[str, _Walked], costs: dict[str, Cost], above: tuple[str, ...]
) -> Cost:
    """Return the cost of a fragment, computed once; zero for an unknown one, which validation reports.

    Recurses at most MAX_DEFINITIONS deep.
    """
    if name in above:
        raise GraphQLError(f"The fragment {name} spreads itself.")
    if name not in fragments:
        return Cost()
    if name not in costs:
        costs[name] = _with_fragments(fragments[name], fragments, costs, (*above, name))
    return costs[name]


def _too_much(what: str, limit: int) -> GraphQLError:
    return GraphQLError(f"The document has more than {limit:,} {what}.")
