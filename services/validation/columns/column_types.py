"""Column types: null values, and the facts about a column once its type is decided."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from services.validation.columns.numbers import PLAIN, NumberStyle
from services.validation.columns.time_formats import TimeFormat
from services.validation.reading.table import column
from sluice.validation.v1.validation_pb2 import ColumnType, LoadType, OnMisfit

_BOOLEANS = ["true", "false", "yes", "no"]
TIME_WORDS = ("time", "date")
"""A time-like name contains one of these (`timestamp` contains `time`)."""

TIMES = (ColumnType.COLUMN_TYPE_DATE, ColumnType.COLUMN_TYPE_DATETIME)
NUMBERS = (ColumnType.COLUMN_TYPE_INTEGER, ColumnType.COLUMN_TYPE_DECIMAL)


def named_like_time(name: str) -> bool:
    """Whether a column has a time-like name."""
    return any(word in name.lower() for word in TIME_WORDS)


class NullTokens:
    """The values that are read as null, ignoring surrounding blanks.

    A token also matches in lower, upper and title case.
    """

    def __init__(self, tokens: Sequence[str]) -> None:
        stripped = {token.strip() for token in tokens}
        self._empty_is_null = "" in stripped
        self._spellings = sorted(
            {
                spelling
                for token in stripped
                if token
                for spelling in (token, token.lower(), token.upper(), token.title())
            }
        )

    def text(self, name: str) -> pl.Expr:
        """The unchanged text of a column; null for null tokens."""
        raw = pl.col(name)
        stripped = raw.str.strip_chars()
        is_token = stripped.is_in(self._spellings) if self._spellings else pl.lit(False)
        if self._empty_is_null:
            is_token = is_token | (stripped.str.len_bytes() == 0)
        return pl.when(is_token.not_()).then(raw)

    def value(self, name: str) -> pl.Expr:
        """The text of a column without surrounding blanks; null for null tokens."""
        return self.text(name).str.strip_chars()

    def matches(self, stripped: pl.Expr) -> pl.Expr:
        """Whether a stripped text is a null token; False for nulls."""
        tokens = [*self._spellings, ""] if self._empty_is_null else self._spellings
        return stripped.is_in(tokens).fill_null(False) if tokens else pl.lit(False)

    @property
    def may_parse(self) -> bool:
        """Whether a token could parse as a number or a time."""
        return any(character.isdigit() for token in self._spellings for character in token)

    def is_null(self, cell: str | None) -> bool:
        """Whether one cell is null."""
        stripped = (cell or "").strip()
        return stripped in self._spellings if stripped else cell is None or self._empty_is_null


def boolean(value: pl.Expr) -> pl.Expr:
    """The text as a boolean, or null."""
    lower = value.str.to_lowercase()
    return pl.when(lower.is_in(_BOOLEANS)).then(lower.is_in(["true", "yes"]))


@dataclass(frozen=True)
class ColumnFacts:
    """A column's type and value counts. The counts leave out blank rows."""

    position: int
    source_name: str
    type: "ColumnType.ValueType"
    rows: int
    nulls: int
    fitting: int
    """Values that parse as the type."""
    time_format: TimeFormat | None = None
    order_assumed: bool = False
    style: NumberStyle = PLAIN
    separators_assumed: bool = False
    """Whether a separator may be for thousands or decimals, so that one was assumed."""
    on_misfit: "OnMisfit.ValueType" = OnMisfit.ON_MISFIT_UNSPECIFIED
    """How to treat type mismatches, if specified for this column."""

    @property
    def display_name(self) -> str:
        """The quoted name; without a name, the column's number from 1."""
        return repr(self.source_name) if self.source_name else f"column {self.position + 1}"

    @property
    def misfits(self) -> int:
        return self.values - self.fitting

    @property
    def values(self) -> int:
        return self.rows - self.nulls

    @property
    def is_time(self) -> bool:
        return self.type in TIMES

    @property
    def is_number(self) -> bool:
        return self.type in NUMBERS

    @property
    def may_misfit(self) -> bool:
        """Whether a value may fail to parse as the type."""
        return self.is_number or self.is_time or self.type == ColumnType.COLUMN_TYPE_BOOLEAN

    @property
    def load_type(self) -> "LoadType.ValueType":
        """The Druid type of the column, unless it is the time column."""
        if self.type == ColumnType.COLUMN_TYPE_INTEGER:
            return LoadType.LOAD_TYPE_LONG
        if self.type == ColumnType.COLUMN_TYPE_DECIMAL:
            return LoadType.LOAD_TYPE_DOUBLE
        if self.type == ColumnType.COLUMN_TYPE_UNSPECIFIED and not self.source_name.strip():
            return LoadType.LOAD_TYPE_UNSPECIFIED
        return LoadType.LOAD_TYPE_STRING

    def typed(self, null_tokens: NullTokens) -> pl.Expr:
        """The values in the column's type: times in microseconds, texts unchanged.

        Nulls and type mismatches are null.
        """
        name = column(self.position)
        text = null_tokens.text(name)
        # Most null tokens do not parse anyway; skipping the token test is faster.
        value = (text if null_tokens.may_parse else pl.col(name)).str.strip_chars()
        if self.type == ColumnType.COLUMN_TYPE_INTEGER:
            return self.style.integer(value)
        if self.type == ColumnType.COLUMN_TYPE_DECIMAL:
            return self.style.decimal(value)
        if self.time_format is not None:
            return self.time_format.time(value)
        if self.type == ColumnType.COLUMN_TYPE_BOOLEAN:
            return pl.when(boolean(value).is_not_null()).then(text)
        return text

    def widened(self) -> "ColumnFacts":
        """The same column as text, which has no type mismatches."""
        return replace(
            self,
            type=ColumnType.COLUMN_TYPE_TEXT,
            fitting=self.values,
            time_format=None,
            order_assumed=False,
            style=PLAIN,
            separators_assumed=False,
        )
