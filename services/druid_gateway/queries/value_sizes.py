"""How long the values can become that a query builds. Druid evaluates functions of constants while
it plans, sets no limit to their answers, and ends when its memory does (ADR 0031).

Every expression is given a bound in characters. A stored value counts COLUMN_CHARS, a literal its
own length, a subquery or CTE what its longest expression makes of that.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NoReturn

from services.druid_gateway.ports import Value
from services.druid_gateway.queries.sql_tokens import Kind, Token, too_expensive
from services.druid_gateway.queries.sql_tree import Clause, Group, Node, parse, split, tokens_of

COLUMN_CHARS = 25
"""Assumed length of a stored value, on average."""
MAX_CHARS = 2_000
"""Longest value that a query may build out of columns. There may be one for each row, and Druid
keeps those that are grouped by in memory."""
MAX_ADDED_CHARS = 500
"""How many of these characters may come from the query's own text and functions."""
MAX_CONSTANT_CHARS = 100_000
"""Longest value that it may build out of literals alone."""
MAX_MADE_CHARS = 1_000
"""Most characters that padding and repeating may make in one query."""
MAX_AGGREGATE_BYTES = 100_000
"""Largest size that an aggregation of values may be given."""
LONG_CHARS = 500
"""Values from this length on count for the length of a row."""
MAX_DIGITS = 400
"""Most digits to round to: a DOUBLE has none beyond them."""

_AGGREGATE_BYTES = 1024
"""Druid's default size of an aggregation of values."""
_AGGREGATE_FILLING = 4
"""Which part of its size an aggregation fills, on average."""
_TIME_WORD_CHARS = 16
"""Longest that a letter of a time's format can become, roughly: a zone's or month's name."""
_JSON_ESCAPE_CHARS = 6
_ELEMENT_CHARS = 4
"""What an element of an array takes beside its text."""
_NUMBER_CHARS = 25
"""Longest text of a number, a time or a truth value."""

_SIZE_ARGUMENTS = {
    "any_value": 1,
    "earliest": 1,
    "latest": 1,
    "earliest_by": 2,
    "latest_by": 2,
    "array_agg": 1,
    "array_concat_agg": 1,
    "string_agg": 2,
    "listagg": 2,
    # Of extensions.
    "bloom_filter": 1,
    "approx_quantile": 2,
    "approx_quantile_fixed_buckets": 2,
}
"""Place of the argument that says how much memory an aggregation takes."""

_NEVER_LONGER = frozenset(
    re.split(
        r"\s+",
        """abs acos approx_count_distinct approx_count_distinct_builtin array_contains array_length
    array_offset array_offset_of array_ordinal array_ordinal_of array_overlap array_quantile
    array_slice array_to_mv asin atan atan2 avg btrim cast ceil char_length character_length
    coalesce contains_string cos cot count date_trunc decode_base64_utf8 degrees dense_rank div exp
    extract first_value floor greatest grouping icontains_string ifnull json_keys json_paths
    json_query json_query_array json_value lag last_value lead least left length ln log10 lookup
    lower ltrim max millis_to_timestamp min mod mv_contains mv_filter_none mv_filter_only mv_length
    mv_offset mv_offset_of mv_ordinal mv_ordinal_of mv_overlap mv_slice mv_to_array ntile nullif nvl
    parse_json parse_long position power radians rank regexp_extract regexp_like reverse right
    row_number rtrim safe_divide scalar_in_array sin sqrt strlen strpos substr substring sum tan
    time_ceil time_extract time_floor time_in_interval time_parse time_shift timestamp_to_millis
    timestampadd timestampdiff trim trunc truncate try_parse_json upper""",
    )
)
"""Functions whose answer is no longer than the longest of their arguments, or than a number. The
answer of all others may have as many characters as all arguments together, and more only for those
that have a rule of their own."""

_OF_ROWS = frozenset({"", "SELECT", "VALUES", "GROUP", "ORDER"})
"""Clauses whose expressions are kept for each row."""

_RESERVED = frozenset(
    {
        "ALL",
        "AND",
        "ANY",
        "AS",
        "BETWEEN",
        "BY",
        "DISTINCT",
        "ESCAPE",
        "EXISTS",
        "FALSE",
        "FILTER",
        "FOR",
        "FROM",
        "GROUP",
        "IN",
        "INTERVAL",
        "IS",
        "LIKE",
        "NOT",
        "NULL",
        "OR",
        "ORDER",
        "OVER",
        "PARTITION",
        "SELECT",
        "SOME",
        "TRUE",
        "USING",
        "VALUES",
        "WITHIN",
    }
)
"""Words that are no column's and no function's name without quotes."""

_CONVERSION = re.compile(r"%(?:\d+\$)?[-#+ 0,(<]*(\d+)?(?:\.(\d+))?[a-zA-Z%]")
_MATCHES_SOMETHING = re.compile(
    r"(?:(?:\\[dDsSwW.\-/]|\[\^?[\w .,;:/\\-]+\]|[\w ,;:/\-@%&=<>'\"!~])\+?)+"
)
"""Regular expressions that match one character or more, wherever they match."""
_LOOKS_AROUND = re.compile(r"\(\?[=!<]")


@dataclass(frozen=True)
class Sizes:
    """`longest`: bound of the values that the query answers; `array_elements`: most elements of an
    array that it builds; `row_chars`: length of the long values of a row, those of LONG_CHARS and
    more; 0 for none."""

    longest: int
    array_elements: int
    row_chars: int


def measure(sql: str, nodes: Sequence[Node], parameters: Sequence[Value]) -> Sizes:
    """What the query builds.

    Raises:
        SluiceError: QUERY_TOO_EXPENSIVE where a value could become too long, QUERY_INVALID.
    """
    _Bounds(sql, nodes, parameters, _NOTHING_STORED).query(nodes)
    bounds = _Bounds(sql, nodes, parameters, _AVERAGE)
    longest = bounds.query(nodes)
    return Sizes(longest, bounds.longest_array // (1 + _ELEMENT_CHARS), bounds.longest_row)


@dataclass(frozen=True)
class _Assumed:
    """What values have that are not in the query's text. `column`: length of a stored one;
    `number`: of any number; `element`: what an element of an array takes beside its text;
    `filled`: share of its size that an aggregation fills; `most`: longest value to be allowed."""

    column: int
    number: int
    element: int
    filled: float
    most: int


_AVERAGE = _Assumed(COLUMN_CHARS, _NUMBER_CHARS, _ELEMENT_CHARS, 0.25, MAX_CHARS)
_NOTHING_STORED = _Assumed(0, 0, 0, 0, MAX_ADDED_CHARS)


@dataclass(frozen=True)
class _Scope:
    """What an expression can refer to. `column`: length of the longest value of a column; `outer`:
    of one that a subquery in the expression can refer to; `ctes`: of one of each CTE."""

    column: int
    outer: int
    ctes: dict[str, int] = field(default_factory=dict)


class _Bounds:
    def __init__(
        self, sql: str, nodes: Sequence[Node], parameters: Sequence[Value], assumed: _Assumed
    ) -> None:
        self._sql = sql
        self._assumed = assumed
        marks = (
            token.start
            for token in tokens_of(nodes)
            if token.kind is Kind.SYMBOL and token.text == "?"
        )
        self._parameters = dict(zip(marks, parameters, strict=False))
        self.longest_array = 0
        self.longest_row = 0
        self._made = 0
        self._inside = ""
        """The padding or repeating function whose arguments are looked at."""
        self._rules: dict[str, Callable[[Token, Sequence[Sequence[Node]], _Scope], int]] = {
            "repeat": self._repeat,
            "lpad": self._pad,
            "rpad": self._pad,
            "string_format": self._format,
            "char": self._char,
            "character": self._char,
            "round": self._round,
            "replace": self._replace,
            "regexp_replace": self._regexp_replace,
            "array_to_string": self._to_string,
            "mv_to_string": self._to_string,
            "string_to_array": self._to_array,
            "string_to_mv": self._to_array,
            "to_json_string": self._to_json,
            "time_format": self._time_format,
        }

    def query(self, nodes: Sequence[Node], outer: _Scope | None = None) -> int:
        """Length of the longest value that the query answers."""
        scope = outer or _Scope(self._assumed.column, self._assumed.column)
        query = parse(nodes)
        if query.ctes:
            scope = replace(scope, ctes=dict(scope.ctes))
        for name, group in query.ctes:
            scope.ctes[name] = self.query(group.nodes, scope)
        return max((self._select(clauses, scope) for clauses in query.members), default=0)

    def _select(self, clauses: Sequence[Clause], scope: _Scope) -> int:
        column = max(scope.outer, self._assumed.column)
        for clause in clauses:
            if clause.word == "FROM":
                column = max(column, self._from(clause.nodes, replace(scope, column=column)))
        longest = row = 0
        for clause in clauses:
            if clause.word != "FROM":
                # What SELECT names, the clauses after it can refer to.
                reach = max(column, longest)
                within = replace(scope, column=reach, outer=reach)
                items = [self._list(each, within) for each in split(clause.nodes, ",")]
                longest = max(longest, *items)
                if clause.word in _OF_ROWS:
                    row += sum(chars for chars in items if chars >= LONG_CHARS)
        self.longest_row = max(self.longest_row, row)
        return longest

    def _from(self, nodes: Sequence[Node], scope: _Scope) -> int:
        """Length of the longest value of the joined tables. UNNEST can refer to those before it."""
        named = (scope.ctes.get(token.name or "", 0) for token in _tokens_beside(nodes))
        column = max(scope.column, scope.outer, *named, self._assumed.column)
        conditions: list[Sequence[Node]] = []
        for source in split(nodes, ",", "JOIN"):
            table, *rest = split(source, "ON", "USING")
            conditions += rest
            within = replace(scope, column=column)
            if _is_lateral(table):
                within = replace(within, outer=column)
            if table and isinstance(table[0], Group) and not table[0].is_query:
                # Joined in brackets.
                column = max(column, self._from(table[0].nodes, within))
                table = table[1:]
            column = max(column, self._list(table, within))
        for condition in conditions:
            self._list(condition, replace(scope, column=column, outer=column))
        return column

    def _list(self, nodes: Sequence[Node], scope: _Scope) -> int:
        """Length of the longest of several expressions."""
        return max(
            (self._expression(each, scope) for each in split(nodes, ",", "AND", "OR")), default=0
        )

    def _expression(self, nodes: Sequence[Node], scope: _Scope) -> int:
        lengths: list[int] = []
        joint: Token | None = None
        at = 0
        while at < len(nodes):
            node, following = nodes[at], nodes[at + 1] if at + 1 < len(nodes) else None
            at += 1
            if isinstance(node, Group):
                lengths.append(self._group(node, scope))
            elif node.kind is Kind.SYMBOL:
                if node.text == "||":
                    joint = joint or node
                elif node.text == "?":
                    lengths.append(len(str(self._parameters.get(node.start, ""))))
                elif node.text == ".":
                    # What follows a table's name is the column that counts.
                    at += 1 if _is_name(following) and not _opens(nodes, at + 1) else 0
            elif node.kind in (Kind.STRING, Kind.NUMBER):
                lengths.append(max(1, len(node.text if node.string is None else node.string)))
            elif (
                isinstance(following, Group)
                and following.kind != "CASE"
                and not self._is_reserved(nodes, at - 1)
            ):
                lengths.append(self._call(node, following, scope))
                at += 1
            elif node.word == "AS" and _is_name(following) and not _opens(nodes, at + 1):
                at += 1
            elif not self._is_reserved(nodes, at - 1):
                lengths.append(scope.column)
        if joint is None:
            return max(lengths, default=0)
        return self._bounded(joint, sum(lengths), nodes)

    @staticmethod
    def _is_reserved(nodes: Sequence[Node], at: int) -> bool:
        node = nodes[at]
        beside = [nodes[i] for i in (at - 1, at + 1) if 0 <= i < len(nodes)]
        joined = any(isinstance(each, Token) and each.text == "||" for each in beside)
        return isinstance(node, Token) and node.word in _RESERVED and not joined

    def _group(self, group: Group, scope: _Scope) -> int:
        if group.is_query:
            return self.query(group.nodes, scope)
        if group.kind == "CASE":
            return max(
                self._list(each, scope) for each in split(group.nodes, "WHEN", "THEN", "ELSE")
            )
        return self._list(group.nodes, scope)

    def _call(self, name: Token, group: Group, scope: _Scope) -> int:
        arguments = list(split(group.nodes, ",")) if group.nodes else []
        function = name.name or ""
        if group.kind == "[" and name.word != "ARRAY":
            # x[1] is an element.
            self._list(group.nodes, scope)
            return scope.column
        if group.kind == "(" and (rule := self._rules.get(function)):
            return self._noted(function, rule(name, arguments, scope))
        if group.is_query:
            return self._noted(function, self.query(group.nodes, scope))
        lengths = [self._list(each, scope) for each in arguments]
        longest = max(self._assumed.number, *lengths, 0)
        if group.kind == "[":
            longest = self._bounded(
                name, sum(lengths) + self._assumed.element * len(lengths), *arguments
            )
        elif (place := _SIZE_ARGUMENTS.get(function)) is not None:
            longest = self._aggregation(name, arguments[place : place + 1], longest)
        elif function not in _NEVER_LONGER:
            longest = max(self._assumed.number, self._bounded(name, sum(lengths), *arguments))
        return self._noted(function, longest)

    def _noted(self, function: str, chars: int) -> int:
        """The same; remembers how long arrays become."""
        if function.startswith(("array", "mv_", "string_to_")):
            self.longest_array = max(self.longest_array, chars)
        return chars

    def _repeat(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        text = self._within(name, arguments, scope)[0]
        return self._makes(name, text * self._size(name, arguments[1:2]))

    def _pad(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        self._within(name, arguments, scope)
        chars = self._makes(name, self._size(name, arguments[1:2]))
        return self._bounded(name, chars, *arguments)

    def _char(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        """CHAR(n) pads to n characters."""
        return self._makes(name, self._size(name, arguments[:1]))

    def _format(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        lengths = self._within(name, arguments, scope)
        text = self._text(arguments[0]) if arguments else None
        if text is None:
            self._refuse(name, f"{_shown(name)} takes its format as a plain string")
        conversions = list(_CONVERSION.finditer(text))
        # Beyond 18 digits no number has to be exact.
        made = sum(int(number[:18]) for each in conversions for number in each.groups() if number)
        self._makes(name, made)
        longest = max(self._assumed.number, *lengths)
        return self._bounded(name, sum(lengths) + made + len(conversions) * longest, *arguments)

    def _within(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> list[int]:
        """Lengths of the arguments of a padding or repeating function; at least one."""
        if self._inside:
            self._refuse(name, f"{_shown(name)} may not stand inside {self._inside}")
        self._inside = _shown(name)
        lengths = [self._list(each, scope) for each in arguments]
        self._inside = ""
        return lengths or [0]

    def _makes(self, name: Token, chars: int) -> int:
        self._made += chars
        if self._made > MAX_MADE_CHARS:
            self._refuse(
                name,
                f"{_shown(name)} would bring the characters that this query makes by padding and "
                f"repeating to {_count(self._made)}; {MAX_MADE_CHARS:,} are allowed",
            )
        return chars

    def _round(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        if len(arguments) > 1:
            digits = self._number(arguments[1])
            if digits is None or abs(digits) > MAX_DIGITS:
                self._refuse(
                    name,
                    f"{_shown(name)} takes its number of digits as a plain number from -{MAX_DIGITS} to {MAX_DIGITS}",
                )
        return max((self._list(each, scope) for each in arguments), default=0)

    def _aggregation(self, name: Token, sizes: Sequence[Sequence[Node]], longest: int) -> int:
        size = self._number(sizes[0]) if sizes else _AGGREGATE_BYTES
        if size is None or size > MAX_AGGREGATE_BYTES:
            self._refuse(
                name,
                f"{_shown(name)} takes its size as a plain number of at most {MAX_AGGREGATE_BYTES:,}",
            )
        return max(longest, int(size * self._assumed.filled))

    def _replace(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        text, by = self._text_and_replacement(arguments, scope)
        searched = self._text(arguments[1]) if len(arguments) > 1 else None
        if searched:
            return self._bounded(name, text * max(1, -(-by // len(searched))) + by, *arguments)
        # Nothing is found between any two characters.
        return self._bounded(name, text * (1 + by) + by, *arguments)

    def _regexp_replace(
        self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope
    ) -> int:
        text, by = self._text_and_replacement(arguments, scope)
        searched = self._text(arguments[1]) if len(arguments) > 1 else None
        written = self._text(arguments[2]) if len(arguments) > 2 else None
        # One that matches nothing may do so between any two characters.
        found = searched and _MATCHES_SOMETHING.fullmatch(searched)
        grown = text * max(1, by) if found else text + (text + 1) * by
        # $1 stands for what was matched; all together that is the text once, unless the
        # expression looks ahead or back: then it can be the whole text at every place.
        references = by if written is None else written.count("$")
        looks_around = searched is None or _LOOKS_AROUND.search(searched) is not None
        referred = references * text * (text + 1 if looks_around else 1)
        return self._bounded(name, grown + referred, *arguments)

    def _text_and_replacement(
        self, arguments: Sequence[Sequence[Node]], scope: _Scope
    ) -> tuple[int, int]:
        lengths = [self._list(each, scope) for each in arguments[:3]]
        text, _, by = [*lengths, 0, 0, 0][:3]
        written = self._text(arguments[2]) if len(arguments) > 2 else None
        return text, by if written is None else len(written)

    def _to_string(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        array = max((self._list(each, scope) for each in arguments[:1]), default=0)
        separator = max((self._list(each, scope) for each in arguments[1:]), default=0)
        return self._bounded(name, array * (1 + separator), *arguments)

    def _to_array(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        longest = max((self._list(each, scope) for each in arguments), default=0)
        return self._bounded(name, longest * (1 + self._assumed.element), *arguments)

    def _to_json(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        longest = max((self._list(each, scope) for each in arguments), default=0)
        return self._bounded(name, 2 + longest * _JSON_ESCAPE_CHARS, *arguments)

    def _time_format(self, name: Token, arguments: Sequence[Sequence[Node]], scope: _Scope) -> int:
        longest = max((self._list(each, scope) for each in arguments[1:]), default=0)
        return self._bounded(name, longest * _TIME_WORD_CHARS, *arguments)

    def _size(self, name: Token, arguments: Sequence[Sequence[Node]]) -> int:
        size = self._number(arguments[0]) if arguments else None
        if size is None or size < 0:
            self._refuse(
                name,
                f"{_shown(name)} takes its size as a plain number of at most {MAX_MADE_CHARS:,}",
            )
        return size

    def _number(self, nodes: Sequence[Node]) -> int | None:
        """The whole number that an argument is, if it is one; a huge one only roughly."""
        match nodes:
            case [
                Token(kind=Kind.SYMBOL, text="-" | "+" as sign),
                Token(kind=Kind.NUMBER) as number,
            ]:
                found = self._number([number])
                return -found if sign == "-" and found is not None else found
            case [Token(kind=Kind.NUMBER, text=digits)] if digits.isdecimal():
                return int(digits) if len(digits) < 19 else 10**18
            case [Token(kind=Kind.SYMBOL, text="?", start=start)]:
                value = self._parameters.get(start)
                return value if isinstance(value, int) and not isinstance(value, bool) else None
        return None

    def _text(self, nodes: Sequence[Node]) -> str | None:
        """The string that an argument is, if it is one."""
        match nodes:
            case [Token(kind=Kind.STRING) as token]:
                return token.string
            case [Token(kind=Kind.SYMBOL, text="?", start=start)]:
                value = self._parameters.get(start)
                return value if isinstance(value, str) else None
        return None

    def _bounded(self, name: Token, chars: int, *parts: Sequence[Node]) -> int:
        """The same length, of a value that is built of `parts`."""
        refers = any(map(_refers_to_columns, parts))
        most = self._assumed.most if refers else MAX_CONSTANT_CHARS
        if chars > most:
            could = f"could make a value of {_count(chars)} characters"
            if self._assumed is _NOTHING_STORED and refers:
                could = f"would add {_count(chars)} characters to the values of a column"
            self._refuse(name, f"{_shown(name)} {could}; {most:,} are allowed")
        return chars

    def _refuse(self, name: Token, message: str) -> NoReturn:
        raise too_expensive(self._sql, name.start, _shown(name), message)


def _tokens_beside(nodes: Sequence[Node]) -> list[Token]:
    """Those that are in no subquery."""
    found: list[Token] = []
    for node in nodes:
        if isinstance(node, Token):
            found.append(node)
        elif not node.is_query:
            found += _tokens_beside(node.nodes)
    return found


def _is_lateral(nodes: Sequence[Node]) -> bool:
    return bool(nodes) and isinstance(nodes[0], Token) and nodes[0].word == "LATERAL"


def _refers_to_columns(nodes: Sequence[Node]) -> bool:
    """Whether any name is there that is neither a function's nor a keyword."""
    tokens = [*tokens_of(nodes), None]
    return any(
        token.name is not None
        and token.word not in _RESERVED
        and (after is None or after.text not in ("(", "["))
        for token, after in pairwise(tokens)
        if token is not None
    )


def _is_name(node: Node | None) -> bool:
    return isinstance(node, Token) and node.name is not None


def _opens(nodes: Sequence[Node], at: int) -> bool:
    node = nodes[at] if at < len(nodes) else None
    return isinstance(node, Group) and node.kind != "CASE"


def _shown(name: Token) -> str:
    return (name.name or name.text).upper()


def _count(chars: int) -> str:
    return f"{chars:,}" if chars < 10**12 else f"more than {10**12:,}"
