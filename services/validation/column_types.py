"""The type of every column, decided on all of its values.

A sample only chooses which types are worth testing; what is not tested stays text, which loses nothing. Every count is over all rows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from services.validation.table import Table, column
from services.validation.time_formats import EPOCH_MILLIS, EPOCH_SECONDS, TimeFormat, formats_of
from sluice.validation.v1.validation_pb2 import ColumnType, LoadType, OnMisfit

WORTH_TESTING = 0.5
"""Share of a column's sampled values that must fit a type for it to be tested on all values."""
FORMATS_TESTED = 6
SAMPLED_VALUES = 500
"""Distinct values of a column from which the formats worth testing are told."""
IDENTIFIER_SHARE = 0.01
"""Share of numbers with leading zeros, or of too many digits, from which all the numbers of a column are names."""
MAX_INTEGER = 10**15
"""Whole numbers have at most 15 digits: more do not survive a DOUBLE, and spreadsheets round them."""

_NOT_A_NUMBER = r"^[+-]?(?:0\d|\d{16,}$|\d+[eE]\d)"
_IDENTIFIER = r"^(?:0\d+|\d{16,})$"
_BOOLEANS = ["true", "false", "yes", "no"]
TIME_WORDS = ("time", "date")
"""What a time-like name contains (`timestamp` contains `time`)."""

_TIMES = (ColumnType.COLUMN_TYPE_DATE, ColumnType.COLUMN_TYPE_DATETIME)
_NUMBERS = (ColumnType.COLUMN_TYPE_INTEGER, ColumnType.COLUMN_TYPE_DECIMAL)


def named_like_time(name: str) -> bool:
    """Whether a column's name says that it holds times."""
    return any(word in name.lower() for word in TIME_WORDS)


class Reading:
    """How a text becomes a value: blanks around it are not part of it, and the null tokens mean nothing."""

    def __init__(self, null_tokens: Sequence[str]) -> None:
        spelled = {token.strip() for token in null_tokens}
        self._empty_is_null = "" in spelled
        self._tokens = sorted({way for token in spelled if token for way in (token, token.lower(), token.upper(), token.title())})

    def text(self, name: str) -> pl.Expr:
        """The user's own text, unchanged; null where it means nothing."""
        raw = pl.col(name)
        stripped = raw.str.strip_chars()
        nothing = stripped.is_in(self._tokens) if self._tokens else pl.lit(False)
        if self._empty_is_null:
            nothing = nothing | (stripped.str.len_bytes() == 0)
        return pl.when(nothing.not_()).then(raw)

    def means_nothing(self, cell: str | None) -> bool:
        """Whether one value is null."""
        stripped = (cell or "").strip()
        return stripped in self._tokens if stripped else cell is None or self._empty_is_null

    def value(self, name: str) -> pl.Expr:
        """The text without blanks around it; null where it means nothing."""
        return self.text(name).str.strip_chars()


def integer(value: pl.Expr) -> pl.Expr:
    """The whole number, or null."""
    number = value.cast(pl.Int64, strict=False)
    length = value.str.len_bytes()
    leading_zero = (value.str.starts_with("0") & (length > 1)) | (
        (value.str.starts_with("-0") | value.str.starts_with("+0")) & (length > 2)
    )
    return pl.when(number.abs().lt(MAX_INTEGER) & leading_zero.not_()).then(number)


def decimal(value: pl.Expr) -> pl.Expr:
    """The number, or null."""
    number = value.cast(pl.Float64, strict=False)
    return pl.when(number.is_finite() & value.str.contains(_NOT_A_NUMBER).not_()).then(number)


def boolean(value: pl.Expr) -> pl.Expr:
    """True or False, or null."""
    lower = value.str.to_lowercase()
    return pl.when(lower.is_in(_BOOLEANS)).then(lower.is_in(["true", "yes"]))


@dataclass(frozen=True)
class ColumnFacts:
    """What was found in a column; `rows` it was found in are not blank."""

    position: int
    source_name: str
    type: "ColumnType.ValueType"
    rows: int
    nulls: int
    fitting: int
    time_format: TimeFormat | None = None
    order_assumed: bool = False
    epoch: bool = False

    @property
    def shown_name(self) -> str:
        """The name in quotes, or the place where there is none."""
        return repr(self.source_name) if self.source_name else f"column {self.position + 1}"

    @property
    def misfits(self) -> int:
        return self.rows - self.nulls - self.fitting

    @property
    def values(self) -> int:
        return self.rows - self.nulls

    @property
    def is_time(self) -> bool:
        return self.type in _TIMES

    @property
    def is_number(self) -> bool:
        return self.type in _NUMBERS

    @property
    def load_type(self) -> "LoadType.ValueType":
        """How the column is loaded when it is not the time column."""
        if self.type == ColumnType.COLUMN_TYPE_INTEGER:
            return LoadType.LOAD_TYPE_LONG
        if self.type == ColumnType.COLUMN_TYPE_DECIMAL:
            return LoadType.LOAD_TYPE_DOUBLE
        if self.type == ColumnType.COLUMN_TYPE_UNSPECIFIED and not self.source_name.strip():
            return LoadType.LOAD_TYPE_UNSPECIFIED
        return LoadType.LOAD_TYPE_STRING

    def typed(self, reading: Reading) -> pl.Expr:
        """The column's values in its type (times to the microsecond, texts unchanged); null where there is none or it does not fit."""
        name = column(self.position)
        value = reading.value(name)
        if self.type == ColumnType.COLUMN_TYPE_INTEGER:
            return integer(value)
        if self.type == ColumnType.COLUMN_TYPE_DECIMAL:
            return decimal(value)
        if self.time_format is not None:
            return self.time_format.time(value)
        return reading.text(name)

    def widened(self) -> "ColumnFacts":
        """The same column as text, which every value fits."""
        return replace(self, type=ColumnType.COLUMN_TYPE_TEXT, fitting=self.values, time_format=None, order_assumed=False)


@dataclass(frozen=True)
class _Candidates:
    numbers: bool
    booleans: bool
    formats: list[TimeFormat]


def decide(
    table: Table, names: list[str], reading: Reading, type_share: float, on_misfit: "OnMisfit.ValueType"
) -> tuple[list[ColumnFacts], int]:
    """The facts of all columns, and the number of rows in the frame that are blank in every column."""
    candidates = [_candidates(_sample(table, i, reading), name) for i, name in enumerate(names)]
    counts = _count(table, candidates, reading)
    blank = int(counts["blank"])
    rows = int(counts["rows"]) - blank
    facts = [
        _decide(i, name, candidate, counts, rows, blank, type_share)
        for i, (name, candidate) in enumerate(zip(names, candidates, strict=True))
    ]
    if on_misfit == OnMisfit.ON_MISFIT_WIDEN_TO_TEXT:
        facts = [fact.widened() if fact.misfits else fact for fact in facts]
    return facts, blank


def _sample(table: Table, position: int, reading: Reading) -> pl.Series:
    """Some values of a column that are not null; from all rows where the table's sample has none."""
    value = reading.value(column(position))
    found = table.sample.select(value).to_series().drop_nulls()
    if len(found) or len(table.sample) >= table.rows:
        return found
    return table.frame().select(value).drop_nulls().head(SAMPLED_VALUES).collect(engine="streaming").to_series()


def _candidates(values: pl.Series, name: str) -> _Candidates:
    frame, value = values.to_frame(), pl.col(values.name)
    enough = len(values) * WORTH_TESTING
    numbers = int(frame.select(decimal(value).count() + value.str.contains(_IDENTIFIER).sum()).item())
    booleans = int(frame.select(boolean(value).count()).item())
    like_time = named_like_time(name)
    tallied: Counter[TimeFormat] = Counter()
    if numbers < enough or like_time:
        for text, times in values.value_counts().head(SAMPLED_VALUES).iter_rows():
            for found in formats_of(text, named_like_time=like_time):
                tallied[found] += times
    return _Candidates(numbers >= enough, booleans >= enough, [found for found, _ in tallied.most_common(FORMATS_TESTED)])


def _count(table: Table, candidates: list[_Candidates], reading: Reading) -> dict[str, int]:
    """How many values of each column fit each type that is worth testing, over all rows."""
    values, tested, wanted = [], [], [pl.len().alias("rows")]
    for i, candidate in enumerate(candidates):
        name = column(i)
        value = pl.col(name)
        values.append(reading.value(name))
        wanted.append(value.null_count().alias(f"nulls{i}"))
        if candidate.numbers:
            length = value.str.len_bytes()
            tested += [
                integer(value).alias(f"integer{i}"),
                decimal(value).alias(f"decimal{i}"),
                pl.when(value.str.contains(_IDENTIFIER)).then(length).alias(f"identifier{i}"),
                length.alias(f"length{i}"),
            ]
            whole = pl.col(f"length{i}").filter(pl.col(f"integer{i}").is_not_null())
            wanted += [pl.col(f"{kind}{i}").count() for kind in ("integer", "decimal", "identifier")]
            wanted += [pl.col(f"identifier{i}").min().alias(f"shortest{i}"), pl.col(f"identifier{i}").max().alias(f"longest{i}")]
            wanted += [whole.min().alias(f"shortest_integer{i}"), whole.max().alias(f"longest_integer{i}")]
        if candidate.booleans:
            tested.append(boolean(value).alias(f"boolean{i}"))
            wanted.append(pl.col(f"boolean{i}").count())
        for k, found in enumerate(candidate.formats):
            tested.append(found.time(value).alias(f"time{i}_{k}"))
            wanted.append(pl.col(f"time{i}_{k}").count())
    blank = pl.all_horizontal([pl.col(column(i)).is_null() for i in range(len(candidates))])
    # One step after the other, so that no value is made twice.
    frame = table.frame().select(values).with_columns(*tested, blank.alias("blank")).select(*wanted, pl.col("blank").sum())
    return frame.collect(engine="streaming").row(0, named=True)


def _decide(
    position: int, name: str, candidate: _Candidates, counts: dict[str, int], rows: int, blank: int, type_share: float
) -> ColumnFacts:
    nulls = counts[f"nulls{position}"] - blank
    values = rows - nulls

    def fact(kind: "ColumnType.ValueType", fitting: int, **more: object) -> ColumnFacts:
        return ColumnFacts(position, name, kind, rows, nulls, fitting, **more)  # type: ignore[arg-type]

    if not values:
        return fact(ColumnType.COLUMN_TYPE_UNSPECIFIED, 0)
    enough = values * type_share
    times = [(counts[f"time{position}_{k}"], found) for k, found in enumerate(candidate.formats)]
    if times:
        fits, found = max(times, key=lambda pair: (pair[0], pair[1].day_first is not False))
        if fits >= enough:
            other = found.other_order
            undecided = other is not None and (fits, other) in times
            kind = ColumnType.COLUMN_TYPE_DATETIME if found.has_clock else ColumnType.COLUMN_TYPE_DATE
            epoch = found.format in (EPOCH_SECONDS, EPOCH_MILLIS)
            return fact(kind, fits, time_format=found, order_assumed=undecided, epoch=epoch)
    if candidate.numbers:
        integers, decimals, identifiers = (counts[f"{kind}{position}"] for kind in ("integer", "decimal", "identifier"))
        if identifiers and integers + identifiers >= enough and _are_names(position, counts, identifiers, values):
            return fact(ColumnType.COLUMN_TYPE_IDENTIFIER, values)
        if decimals >= enough:
            # A whole number is a decimal too: decimals among whole numbers are no misfits.
            kind = ColumnType.COLUMN_TYPE_INTEGER if integers == decimals else ColumnType.COLUMN_TYPE_DECIMAL
            return fact(kind, decimals)
    if candidate.booleans and counts[f"boolean{position}"] == values:
        return fact(ColumnType.COLUMN_TYPE_BOOLEAN, values)
    return fact(ColumnType.COLUMN_TYPE_TEXT, values)


def _are_names(position: int, counts: dict[str, int], identifiers: int, values: int) -> bool:
    """Whether numbers with leading zeros or too many digits make the whole column one of names: many do, or all have one length."""
    shortest, longest = counts[f"shortest{position}"], counts[f"longest{position}"]
    integers = (counts[f"shortest_integer{position}"] or shortest, counts[f"longest_integer{position}"] or longest)
    return identifiers >= values * IDENTIFIER_SHARE or {shortest, longest, *integers} == {shortest}
