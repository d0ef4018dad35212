"""What a GraphQL document may cost, judged before graphql-core walks it.

graphql-core's rules, and its execution, follow every fragment spread: a document of 1 KB whose
fragments each spread three of the next ones has billions of fields. Here each definition is walked
once and a fragment's figures are computed once, so that the judgement costs no more than the
document is long.
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
"""Of the document; the longest SQL statement fits in."""

MAX_TOKENS = 1000
MAX_NESTING = 40
"""Brackets of any kind within each other: the parser calls itself for each."""

MAX_DEFINITIONS = 50
MAX_FIELDS = 500
"""Fields of all operations with every fragment spread; the introspection query of common tools has
200."""

MAX_ALIASES = 20
MAX_DEPTH = 20
"""Fields within each other; the introspection query of common tools has 15."""

MAX_INTROSPECTIONS = 3
"""Times that __schema or __type are asked: each answer is long, and its fields are listed within
each other."""

MAX_TYPE_LISTS = 1
"""Lists of a type's parts within each other, in an introspection: each level multiplies the answer
by all fields."""

MAX_MERGE_COMPARISONS = 5_000
"""Budget of graphql-core's rule that compares fields of one name pair by pair, the only one that is
not linear. It is enough for 50 fields of one name in one place; the rule's own default lets it run
for seconds."""

MAX_ERRORS = 20
"""Faults that are told of one document."""

DOCUMENTS_KEPT = 64
"""Documents that are remembered: clients send the same few again and again, and judging one takes
milliseconds."""

overlapping_fields_can_be_merged.MAX_COMPLEXITY_BUDGET = MAX_MERGE_COMPARISONS

_INTROSPECTION = frozenset({"__schema", "__type"})
_TYPE_LISTS = frozenset({"fields", "inputFields", "interfaces", "possibleTypes"})
_OPENING = frozenset({TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L})
_CLOSING = frozenset({TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R})


@dataclass(frozen=True)
class Judged:
    """A document, or what is wrong with it."""

    document: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a selection stands in its definition."""

    depth: int = 0
    type_lists: int = 0
    introspected: bool = False
    """Whether it is within an introspection."""

    def within(self, parent: FieldNode) -> "Place":
        """The place of what the field selects."""
        name = parent.name.value
        return Place(
            self.depth + 1,
            self.type_lists + (name in _TYPE_LISTS),
            self.introspected or name in _INTROSPECTION,
        )


@dataclass
class Cost:
    """What a definition asks for, with its fragments spread."""

    fields: int = 0
    aliases: int = 0
    depth: int = 0
    introspections: int = 0
    type_lists: int = 0
    """Lists of a type's parts within each other."""
    inner_aliases: int = 0
    """Aliases within an introspection."""

    def count(self, field: FieldNode, place: Place) -> None:
        """Adds one field."""
        within = place.within(field)
        self.fields += 1
        self.depth = max(self.depth, within.depth)
        self.type_lists = max(self.type_lists, within.type_lists)
        self.introspections += field.name.value in _INTROSPECTION
        if field.alias:
            self.aliases += 1
            self.inner_aliases += place.introspected

    def add(self, other: "Cost", place: Place = Place()) -> None:
        """Adds what is spread at the place."""
        self.fields += other.fields
        self.aliases += other.aliases
        self.depth = max(self.depth, place.depth + other.depth)
        self.introspections += other.introspections
        self.type_lists = max(self.type_lists, place.type_lists + other.type_lists)
        self.inner_aliases += other.aliases if place.introspected else other.inner_aliases


def judge(schema: GraphQLSchema, text: str) -> Judged:
    """The document in the text if it is valid and within its budget; else what is wrong with it."""
    if len(text) > MAX_CHARS:
        # Not remembered: a few of them would fill the memory.
        return Judged(None, (_too_much("characters", MAX_CHARS),))
    return remembered(schema, text)


@lru_cache(maxsize=DOCUMENTS_KEPT)
def remembered(schema: GraphQLSchema, text: str) -> Judged:
    """The same of a text of at most MAX_CHARS."""
    try:
        _check_tokens(text)
        document = parse(text, max_tokens=MAX_TOKENS)
        _check_cost(document)
    except GraphQLSyntaxError as failure:
        # As an error like any other: over a WebSocket a syntax error would end all its
        # subscriptions.
        plain = GraphQLError(failure.message, source=failure.source, positions=failure.positions)
        return Judged(None, (plain,))
    except GraphQLError as failure:
        return Judged(None, (failure,))
    return Judged(document, tuple(validate(schema, document, max_errors=MAX_ERRORS)))


def with_code(formatted: Mapping[str, Any]) -> dict[str, Any]:
    """An error as clients see it, with the code REQUEST_INVALID where it has none: what GraphQL
    itself found, such as an unknown field or a wrong variable."""
    told = dict(formatted)
    if "code" not in told.get("extensions", {}):
        found = error(ErrorReason.ERROR_REASON_REQUEST_INVALID, told["message"])
        told["extensions"] = problems.extensions(found)
    return told


def _check_tokens(text: str) -> None:
    """Reads the tokens once, without building anything of them."""
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
    """What all operations of the document ask for.

    Raises:
        GraphQLError: a fragment spreads itself.
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
    """A definition by itself: its cost, and the fragments that it spreads and where."""

    cost: Cost = field(default_factory=Cost)
    spreads: list[tuple[str, Place]] = field(default_factory=list)


def _walk(definition: OperationDefinitionNode | FragmentDefinitionNode) -> _Walked:
    walked = _Walked()
    waiting = [(definition.selection_set, Place())]
    while waiting:
        selections, place = waiting.pop()
        for selection in selections.selections:
            match selection:
                case FieldNode():
                    walked.cost.count(selection, place)
                    if selection.selection_set:
                        waiting.append((selection.selection_set, place.within(selection)))
                case InlineFragmentNode():
                    waiting.append((selection.selection_set, place))
                case FragmentSpreadNode():
                    walked.spreads.append((selection.name.value, place))
    return walked


def _with_fragments(
    walked: _Walked, fragments: dict[str, _Walked], costs: dict[str, Cost], above: tuple[str, ...]
) -> Cost:
    total = Cost()
    total.add(walked.cost)
    for name, place in walked.spreads:
        total.add(_of_fragment(name, fragments, costs, above), place)
    return total


def _of_fragment(
    name: str, fragments: dict[str, _Walked], costs: dict[str, Cost], above: tuple[str, ...]
) -> Cost:
    """The cost of a fragment, computed once; nothing for one that there is not, which validation
    tells. Calls itself at most MAX_DEFINITIONS deep."""
    if name in above:
        raise GraphQLError(f"The fragment {name} spreads itself.")
    if name not in fragments:
        return Cost()
    if name not in costs:
        costs[name] = _with_fragments(fragments[name], fragments, costs, (*above, name))
    return costs[name]


def _too_much(what: str, limit: int) -> GraphQLError:
    return GraphQLError(f"The document has more than {limit:,} {what}.")
