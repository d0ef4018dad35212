"""Upper bounds, in characters, of the values that functions return, and the limits on them.

Druid evaluates functions of constants while it plans, does not limit their results, and crashes
when it runs out of memory (ADR 0031).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import NoReturn

from services.druid_gateway.ports import Value
from services.druid_gateway.queries.sql_tokens import RESERVED, Kind, Token, too_expensive
from services.druid_gateway.queries.sql_tree import Node, tokens_of

COLUMN_CHARS = 25
"""Assumed average length of a stored value."""
MAX_CHARS = 2_000
"""Maximum length of a value built from columns. There can be one per row, and Druid keeps grouping
keys in memory."""
MAX_ADDED_CHARS = 500
"""Maximum part of MAX_CHARS that comes from the query's own text and functions."""
MAX_CONSTANT_CHARS = 100_000
"""Maximum length of a value built from literals alone."""
MAX_PADDING_CHARS = 1_000
"""Maximum number of characters that padding and repeating may add in one query."""
MAX_AGGREGATE_BYTES = 100_000
"""Maximum size of an aggregation of values."""
MAX_DIGITS = 400
"""Maximum number of digits in ROUND. A DOUBLE has no more."""
ELEMENT_CHARS = 4
"""Overhead of an array element."""

_AGGREGATE_BYTES = 1024
"""Druid's default size of an aggregation of values."""
_NUMBER_CHARS = 25
"""Maximum length of a number, a time or a boolean as text."""
_TIME_LETTER_CHARS = 16
"""Approximate maximum length of what a letter of a time format becomes: the name of a zone or a
month."""
_JSON_ESCAPE_CHARS = 6

_CONVERSION = re.compile(r"%(?:\d+\$)?[-#+ 0,(<]*(\d+)?(?:\.(\d+))?[a-zA-Z%]")
_MATCHES_SOMETHING = re.compile(
    r"(?:(?:\\[dDsSwW.\-/]|\[\^?[\w .,;:/\\-]+\]|[\w ,;:/\-@%&=<>'\"!~])\+?)+"
)
"""Matches regular expressions that never match the empty string."""
_LOOKS_AROUND = re.compile(r"\(\?[=!<]")


@dataclass(frozen=True)
class Assumptions:
    """Sizes that the query's text does not show. `column`: length of a stored value; `number`:
    length of a number as text; `element`: overhead of an array element; `filled`: filled share of
    an aggregation's size; `max_chars`: maximum length of a value built from columns."""

    column: int
    number: int
    element: int
    filled: float
    max_chars: int


AVERAGE = Assumptions(COLUMN_CHARS, _NUMBER_CHARS, ELEMENT_CHARS, 0.25, MAX_CHARS)
NOTHING_STORED = Assumptions(0, 0, 0, 0, MAX_ADDED_CHARS)
"""To measure what the query itself adds to stored values."""


@dataclass(frozen=True)
class Call:
    """A function call. `lengths`: upper bounds of the arguments."""

    token: Token
    arguments: Sequence[Sequence[Node]]
    lengths: Sequence[int]

    def argument(self, index: int) -> Sequence[Node]:
        """The nodes of an argument; empty if missing."""
        return self.arguments[index] if index < len(self.arguments) else ()

    def length(self, index: int) -> int:
        """The upper bound of an argument; 0 if missing."""
        return self.lengths[index] if index < len(self.lengths) else 0

    @property
    def longest(self) -> int:
        return max(self.lengths, default=0)


class Limits:
    """Limits of one query; rejects it if a value could become too long."""

    def __init__(
        self,
        sql: str,
        nodes: Sequence[Node],
        parameters: Sequence[Value],
        assumptions: Assumptions,
    ) -> None:
        self.assumptions = assumptions
        self._sql = sql
        placeholders = (token.start for token in tokens_of(nodes) if token.text == "?")
        self._parameters = dict(zip(placeholders, parameters, strict=False))
        self._padding_chars = 0

    def literal(self, nodes: Sequence[Node]) -> Value:
        """The value that an argument consists of, integers up to 10**18; None for expressions."""
        match nodes:
            case [Token(kind=Kind.STRING) as token]:
                return token.string
            case [Token(kind=Kind.NUMBER, text=digits)] if digits.isdecimal():
                return int(digits) if len(digits) < 19 else 10**18
            case [Token(text="?", start=start)]:
                return self._parameters.get(start)
            case [Token(text="-" | "+" as sign), Token(kind=Kind.NUMBER) as number]:
                value = self.literal([number])
                return -value if sign == "-" and isinstance(value, int) else value
        return None

    def string(self, nodes: Sequence[Node]) -> str | None:
        """The string that an argument consists of; None for other arguments."""
        value = self.literal(nodes)
        return value if isinstance(value, str) else None

    def integer(self, call: Call, index: int, low: int, high: int, meaning: str) -> int:
        """Return an argument; reject the query unless it is an integer from `low` to `high`."""
        value = self.literal(call.argument(index))
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            self.reject(call.token, f"must have a number from {low:,} to {high:,} as its {meaning}")
        return value

    def pad(self, call: Call, chars: int) -> int:
        """Return `chars`; reject the query if it pads and repeats too many in total."""
        self._padding_chars += chars
        if self._padding_chars > MAX_PADDING_CHARS:
            self.reject(
                call.token,
                f"would raise the characters added by padding and repeating in this query to "
                f"{_count(self._padding_chars)}; the limit is {MAX_PADDING_CHARS:,}",
            )
        return chars

    def check(self, call: Call, chars: int) -> int:
        """Return `chars`, the length of the call's result; reject the query if it is too long."""
        refers = any(map(_refers_to_columns, call.arguments))
        limit = self.assumptions.max_chars if refers else MAX_CONSTANT_CHARS
        if chars > limit:
            effect = f"could build a value of {_count(chars)} characters"
            if self.assumptions is NOTHING_STORED and refers:
                effect = f"would add {_count(chars)} characters to the values of a column"
            self.reject(call.token, f"{effect}; the limit is {limit:,}")
        return chars

    def reject(self, token: Token, problem: str) -> NoReturn:
        """Raise QUERY_TOO_EXPENSIVE; `problem` continues a sentence about the function."""
        name = display_name(token)
        raise too_expensive(self._sql, token.start, name, f"{name} {problem}")


def display_name(token: Token) -> str:
    """The function or operator in upper case, without quotes."""
    return (token.name or token.text).upper()


def bound(limits: Limits, call: Call) -> int:
    """Return the upper bound of a function's result.

    Raises:
        SluiceError: QUERY_TOO_EXPENSIVE.
    """
    return _RULES.get(call.token.name or "", _all_arguments)(limits, call)


def array_bound(limits: Limits, call: Call) -> int:
    """Return the upper bound of ARRAY[...], whose elements are the arguments."""
    overhead = limits.assumptions.element * len(call.lengths)
    return limits.check(call, sum(call.lengths) + overhead)


def _all_arguments(limits: Limits, call: Call) -> int:
    return max(limits.assumptions.number, limits.check(call, sum(call.lengths)))


def _longest_argument(limits: Limits, call: Call) -> int:
    return max(limits.assumptions.number, call.longest)


def _aggregate(limits: Limits, call: Call, size_index: int) -> int:
    size = _AGGREGATE_BYTES
    if call.argument(size_index):
        size = limits.integer(call, size_index, 0, MAX_AGGREGATE_BYTES, "size")
    return max(_longest_argument(limits, call), int(size * limits.assumptions.filled))


def _repeat(limits: Limits, call: Call) -> int:
    times = limits.integer(call, 1, 0, MAX_PADDING_CHARS, "number of repetitions")
    return limits.pad(call, call.length(0) * times)


def _pad(limits: Limits, call: Call) -> int:
    size = limits.integer(call, 1, 0, MAX_PADDING_CHARS, "size")
    return limits.check(call, limits.pad(call, size))


def _char(limits: Limits, call: Call) -> int:
    """CHAR(n) pads to n characters."""
    return limits.pad(call, limits.integer(call, 0, 0, MAX_PADDING_CHARS, "size"))


def _string_format(limits: Limits, call: Call) -> int:
    template = limits.string(call.argument(0))
    if template is None:
        limits.reject(call.token, "must have a string literal as its format")
    conversions = list(_CONVERSION.finditer(template))
    # A larger number of digits is beyond the limit anyway.
    widths = [int(each[:18]) for found in conversions for each in found.groups() if each]
    padded = limits.pad(call, sum(widths))
    longest = max(limits.assumptions.number, call.longest)
    return limits.check(call, sum(call.lengths) + padded + len(conversions) * longest)


def _round(limits: Limits, call: Call) -> int:
    if call.argument(1):
        limits.integer(call, 1, -MAX_DIGITS, MAX_DIGITS, "number of digits")
    return call.longest


def _replace(limits: Limits, call: Call) -> int:
    text, replacement = call.length(0), _replacement_chars(limits, call)
    pattern = limits.string(call.argument(1))
    # The empty string matches between any two characters.
    growth = max(1, -(-replacement // len(pattern))) if pattern else 1 + replacement
    return limits.check(call, text * growth + replacement)


def _regexp_replace(limits: Limits, call: Call) -> int:
    text, replacement = call.length(0), _replacement_chars(limits, call)
    pattern, template = limits.string(call.argument(1)), limits.string(call.argument(2))
    never_empty = pattern and _MATCHES_SOMETHING.fullmatch(pattern)
    # The empty string matches between any two characters.
    grown = text * max(1, replacement) if never_empty else text + (text + 1) * replacement
    # $1 stands for a match. All matches together are the text once, unless the expression looks
    # ahead or behind: then each can be the whole text.
    references = replacement if template is None else template.count("$")
    looks_around = pattern is None or _LOOKS_AROUND.search(pattern) is not None
    referenced = references * text * (text + 1 if looks_around else 1)
    return limits.check(call, grown + referenced)


def _replacement_chars(limits: Limits, call: Call) -> int:
    replacement = limits.string(call.argument(2))
    return call.length(2) if replacement is None else len(replacement)


def _array_to_string(limits: Limits, call: Call) -> int:
    return limits.check(call, call.length(0) * (1 + max(call.lengths[1:], default=0)))


def _string_to_array(limits: Limits, call: Call) -> int:
    return limits.check(call, call.longest * (1 + limits.assumptions.element))


def _to_json_string(limits: Limits, call: Call) -> int:
    return limits.check(call, 2 + call.longest * _JSON_ESCAPE_CHARS)


def _time_format(limits: Limits, call: Call) -> int:
    return limits.check(call, max(call.lengths[1:], default=0) * _TIME_LETTER_CHARS)


def _refers_to_columns(nodes: Sequence[Node]) -> bool:
    """Whether a name in the nodes is neither a function nor a keyword."""
    tokens = [*tokens_of(nodes), None]
    return any(
        token.name is not None
        and token.word not in RESERVED
        and (following is None or following.text not in ("(", "["))
        for token, following in pairwise(tokens)
        if token is not None
    )


def _count(chars: int) -> str:
    return f"{chars:,}" if chars < 10**12 else f"more than {10**12:,}"


_NEVER_LONGER = """
    abs acos approx_count_distinct approx_count_distinct_builtin array_contains array_length
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
    timestampadd timestampdiff trim trunc truncate try_parse_json upper"""

_RULES: Mapping[str, Callable[[Limits, Call], int]] = {
    **dict.fromkeys(_NEVER_LONGER.split(), _longest_argument),
    **dict.fromkeys(
        ("any_value", "array_agg", "array_concat_agg", "bloom_filter", "earliest", "latest"),
        partial(_aggregate, size_index=1),
    ),
    **dict.fromkeys(
        (
            "approx_quantile",
            "approx_quantile_fixed_buckets",
            "earliest_by",
            "latest_by",
            "listagg",
            "string_agg",
        ),
        partial(_aggregate, size_index=2),
    ),
    "array_to_string": _array_to_string,
    "char": _char,
    "character": _char,
    "lpad": _pad,
    "mv_to_string": _array_to_string,
    "regexp_replace": _regexp_replace,
    "repeat": _repeat,
    "replace": _replace,
    "round": _round,
    "rpad": _pad,
    "string_format": _string_format,
    "string_to_array": _string_to_array,
    "string_to_mv": _string_to_array,
    "time_format": _time_format,
    "to_json_string": _to_json_string,
}
"""Rules by function. Results of other functions have at most the characters of all arguments
together."""

PADDING_FUNCTIONS = frozenset({"lpad", "repeat", "rpad", "string_format"})
"""Functions that must not be nested in each other, because their sizes multiply."""
