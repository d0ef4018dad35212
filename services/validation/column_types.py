"""The type of every column, decided on all of its values.

A sample only chooses which types are worth testing; what is not tested stays text, which loses nothing. Every count is over all rows.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from services.validation.faults import FileFault
from services.validation.numbers import PLAIN, NumberStyle, settle, styles_of
from services.validation.table import Table, column
from services.validation.time_formats import EPOCH_MILLIS, EPOCH_SECONDS, TimeFormat, formats_of, stated_format
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import ColumnOptions, ColumnType, LoadType, OnMisfit, ReadOptions

WORTH_TESTING = 0.5
"""Share of a column's sampled values that must fit a type for it to be tested on all values."""
FORMATS_TESTED = 6
SAMPLED_VALUES = 500
"""Distinct values of a column from which the formats worth testing are told."""
IDENTIFIER_SHARE = 0.01
"""Share of numbers with leading zeros, or of too many digits, from which all the numbers of a column are names."""
_IDENTIFIER = r"^(?:0\d+|\d{16,}|\d+[eEfFdD]\d*)$"
"""Leading zeros, more digits than a number may have, and what programs take for numbers that it is not (3E5, 7F, 2D)."""
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

    def nothing(self, stripped: pl.Expr) -> pl.Expr:
        """Whether a text without blanks around it means nothing; False where there is none."""
        tokens = [*self._tokens, ""] if self._empty_is_null else self._tokens
        return stripped.is_in(tokens).fill_null(False) if tokens else pl.lit(False)

    @property
    def tells_by_text(self) -> bool:
        """Whether a text that means nothing could be taken for a number or a time."""
        return any(character.isdigit() for token in self._tokens for character in token)

    def means_nothing(self, cell: str | None) -> bool:
        """Whether one value is null."""
        stripped = (cell or "").strip()
        return stripped in self._tokens if stripped else cell is None or self._empty_is_null

    def value(self, name: str) -> pl.Expr:
        """The text without blanks around it; null where it means nothing."""
        return self.text(name).str.strip_chars()


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
    style: NumberStyle = PLAIN
    marks_assumed: bool = False
    """Whether nothing tells the mark between its thousands from a decimal mark."""
    on_misfit: "OnMisfit.ValueType" = OnMisfit.ON_MISFIT_UNSPECIFIED
    """What happens to its misfits, where that was said of this column."""
    spelled_nulls: bool = True
    """Whether some of its nulls are texts that mean nothing; where none is, there is nothing to look for."""

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
        text = reading.text(name) if self.spelled_nulls else pl.col(name)
        # What means nothing is no number and no time either, unless it has digits.
        value = (text if reading.tells_by_text else pl.col(name)).str.strip_chars()
        if self.type == ColumnType.COLUMN_TYPE_INTEGER:
            return self.style.integer(value)
        if self.type == ColumnType.COLUMN_TYPE_DECIMAL:
            return self.style.decimal(value)
        if self.time_format is not None:
            return self.time_format.time(value)
        if self.type == ColumnType.COLUMN_TYPE_BOOLEAN and self.misfits:
            return pl.when(boolean(value).is_not_null()).then(text)
        return text

    def widened(self) -> "ColumnFacts":
        """The same column as text, which every value fits."""
        return replace(
            self,
            type=ColumnType.COLUMN_TYPE_TEXT,
            fitting=self.values,
            time_format=None,
            order_assumed=False,
            style=PLAIN,
            marks_assumed=False,
        )


@dataclass(frozen=True)
class _Candidates:
    """What is worth testing on all values of a column."""

    styles: list[NumberStyle]
    """Ways to read it as numbers; empty where it is none."""
    whole: list[bool]
    """Per style, whether all of the sampled numbers are whole."""
    booleans: bool
    formats: list[TimeFormat]
    said: ColumnOptions
    """What was said of this column."""


def decide(
    table: Table, names: list[str], reading: Reading, type_share: float, on_misfit: "OnMisfit.ValueType", options: ReadOptions
) -> tuple[list[ColumnFacts], int]:
    """The facts of all columns, and the number of rows in the frame that are blank in every column.

    Raises:
        FileFault: OPTION_MISFIT.
    """
    said = {column.name: column for column in options.columns}
    candidates = [
        _candidates(_sample(table, i, reading), name, options, said.get(name, said.get(table.header[i], ColumnOptions())))
        for i, name in enumerate(names)
    ]
    counts = _count(table, candidates, reading)
    blank = int(counts["blank"])
    rows = int(counts["rows"]) - blank
    columns = [
        _Counted(i, name, candidate, counts, rows, blank, reading.tells_by_text)
        for i, (name, candidate) in enumerate(zip(names, candidates, strict=True))
    ]
    marks = Counter(mark for counted in columns if (mark := counted.proven_mark()))
    facts = [counted.decide(type_share, marks, options) for counted in columns]
    return [
        fact.widened() if fact.misfits and (fact.on_misfit or on_misfit) == OnMisfit.ON_MISFIT_WIDEN_TO_TEXT else fact for fact in facts
    ], blank


def _sample(table: Table, position: int, reading: Reading) -> pl.Series:
    """Some values of a column that are not null; from all rows where the table's sample has none."""
    value = reading.value(column(position))
    found = table.sample.select(value).to_series().drop_nulls()
    if len(found) or len(table.sample) >= table.rows:
        return found
    return table.frame().select(value).drop_nulls().head(SAMPLED_VALUES).collect(engine="streaming").to_series()


def _candidates(values: pl.Series, name: str, options: ReadOptions, said: ColumnOptions) -> _Candidates:
    frame, value = values.to_frame(), pl.col(values.name)
    enough = len(values) * WORTH_TESTING
    styles: list[NumberStyle] = []
    if said.type in (ColumnType.COLUMN_TYPE_UNSPECIFIED, *_NUMBERS) and not said.time_format:
        found = styles_of(values.unique(maintain_order=True).head(SAMPLED_VALUES).to_list(), options)
        fits = frame.select(pl.max_horizontal([style.decimal(value).count() for style in found]) + value.str.contains(_IDENTIFIER).sum())
        styles = found if int(fits.item()) >= enough or said.type in _NUMBERS else []
    whole = [_whole(style, frame, said) for style in styles]
    untold = said.type == ColumnType.COLUMN_TYPE_UNSPECIFIED and not said.time_format
    booleans = untold and int(frame.select(boolean(value).count()).item()) >= enough
    formats: list[TimeFormat] = []
    if said.time_format:
        formats = [stated_format(said.time_format)]
    elif said.type in _TIMES or (untold and (not styles or named_like_time(name))):
        formats = _formats(values, named_like_time(name) or said.type in _TIMES)
    return _Candidates(styles, whole, booleans or said.type == ColumnType.COLUMN_TYPE_BOOLEAN, formats, said)


def _whole(style: NumberStyle, frame: pl.DataFrame, said: ColumnOptions) -> bool:
    """Whether the numbers are to be read as whole ones: as was said, or as all of the sampled ones are."""
    if said.type in _NUMBERS:
        return said.type == ColumnType.COLUMN_TYPE_INTEGER
    value = pl.col(frame.columns[0])
    return bool(frame.select(style.integer(value).count() == style.decimal(value).count()).item())


def _formats(values: pl.Series, like_time: bool) -> list[TimeFormat]:
    tallied: Counter[TimeFormat] = Counter()
    for text, times in values.value_counts().head(SAMPLED_VALUES).iter_rows():
        for found in formats_of(text, named_like_time=like_time):
            tallied[found] += times
    return [found for found, _ in tallied.most_common(FORMATS_TESTED)]


def _count(table: Table, candidates: list[_Candidates], reading: Reading) -> dict[str, Any]:
    """How many values of each column fit each type that is worth testing, and their extremes, over all rows."""
    values, tested, wanted = [], [], [pl.len().alias("rows")]
    empty = []
    for i, candidate in enumerate(candidates):
        name = column(i)
        value = pl.col(name)
        # To blank out what means nothing is dear: it is only done where it could be taken for something.
        values.append(reading.value(name) if reading.tells_by_text else value.str.strip_chars())
        nothing = value.is_null() | reading.nothing(value)
        empty.append(nothing.alias(f"empty{i}"))
        wanted += [pl.col(f"empty{i}").sum().alias(f"nulls{i}"), value.null_count().alias(f"unspelled{i}")]
        for k, style in enumerate(candidate.styles):
            whole = candidate.whole[k]
            number = style.integer(value) if whole else style.decimal(value)
            tested.append(number.alias(f"number{i}_{k}"))
            wanted.append(pl.col(f"number{i}_{k}").count())
            rest = value.filter(pl.col(f"number{i}_{k}").is_null())
            if whole:
                # A whole number is a decimal too: only the others are tested for one.
                wanted.append(style.decimal(rest).count().alias(f"fractions{i}_{k}"))
            if k == 0:
                wanted.append(rest.str.contains(_IDENTIFIER).sum().alias(f"identifier{i}"))
        if candidate.booleans:
            tested.append(boolean(value).alias(f"boolean{i}"))
            wanted.append(pl.col(f"boolean{i}").count())
        for k, found in enumerate(candidate.formats):
            tested.append(found.time(value).alias(f"time{i}_{k}"))
            wanted.append(pl.col(f"time{i}_{k}").count())
    blank = pl.all_horizontal([pl.col(f"empty{i}") for i in range(len(candidates))])
    # One step after the other, so that no value is made twice.
    frame = table.frame().select(values).with_columns(*tested, *empty).select(*wanted, blank.sum().alias("blank"))
    counts = frame.collect(engine="streaming").row(0, named=True)
    named = [i for i in range(len(candidates)) if counts.get(f"identifier{i}")]
    return {**counts, **_lengths(table, named, reading)} if named else counts


def _lengths(table: Table, positions: Sequence[int], reading: Reading) -> dict[str, Any]:
    """How long the identifiers and the whole numbers of columns are, and how many whole numbers there are."""
    wanted = []
    for i in positions:
        value = reading.value(column(i))
        length = value.str.len_bytes()
        identifiers = length.filter(value.str.contains(_IDENTIFIER))
        whole = length.filter(PLAIN.integer(value).is_not_null())
        wanted += [identifiers.min().alias(f"shortest{i}"), identifiers.max().alias(f"longest{i}")]
        wanted += [whole.min().alias(f"shortest_integer{i}"), whole.max().alias(f"longest_integer{i}"), whole.count().alias(f"integers{i}")]
    return table.frame().select(wanted).collect(engine="streaming").row(0, named=True)


@dataclass(frozen=True)
class _Counted:
    """A column with the counts over all of its values."""

    position: int
    name: str
    candidate: _Candidates
    counts: Mapping[str, Any]
    rows: int
    blank: int
    blanked_out: bool

    @property
    def nulls(self) -> int:
        return int(self.counts[f"nulls{self.position}"]) - self.blank

    @property
    def values(self) -> int:
        return self.rows - self.nulls

    @property
    def _numbers(self) -> list[int]:
        """Per style, how many values are numbers."""
        i = self.position
        return [self.counts[f"number{i}_{k}"] + self.counts.get(f"fractions{i}_{k}", 0) for k in range(len(self.candidate.styles))]

    def _is_whole(self, k: int) -> bool:
        """Whether all numbers in a style are whole."""
        return self.candidate.whole[k] and not self.counts[f"fractions{self.position}_{k}"]

    def proven_mark(self) -> str:
        """The decimal mark that the column's fractions prove; empty where they do not."""
        fits = self._numbers
        able = [k for k, count in enumerate(fits) if count == max(fits) > 0]
        marks = {self.candidate.styles[k].decimal_mark for k in able}
        return marks.pop() if len(marks) == 1 and not all(self._is_whole(k) for k in able) else ""

    def decide(self, type_share: float, marks: "Counter[str]", options: ReadOptions) -> ColumnFacts:
        """What the column is."""
        said = self.candidate.said
        if not self.values:
            return self._fact(ColumnType.COLUMN_TYPE_UNSPECIFIED, 0)
        enough = 0 if said.type or said.time_format else self.values * type_share
        for found in (self._as_time(enough, options), self._as_number(enough, marks)):
            if found is not None:
                return found
        if self.candidate.booleans:
            booleans = int(self.counts[f"boolean{self.position}"])
            if booleans == self.values or said.type == ColumnType.COLUMN_TYPE_BOOLEAN:
                return self._fact(ColumnType.COLUMN_TYPE_BOOLEAN, booleans)
        if said.type == ColumnType.COLUMN_TYPE_IDENTIFIER:
            return self._fact(ColumnType.COLUMN_TYPE_IDENTIFIER, self.values)
        if said.type not in (ColumnType.COLUMN_TYPE_UNSPECIFIED, ColumnType.COLUMN_TYPE_TEXT):
            message = f"The column {self.name!r} is said to hold times, but no value of it is one in a format that is known."
            raise FileFault(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value="columns", action="Name its time_format.")
        return self._fact(ColumnType.COLUMN_TYPE_TEXT, self.values)

    def _as_time(self, enough: float, options: ReadOptions) -> ColumnFacts | None:
        times = [(self.counts[f"time{self.position}_{k}"], k) for k in range(len(self.candidate.formats))]
        if not times:
            return None
        told = options.HasField("day_first")
        preferred = options.day_first if told else True
        formats = self.candidate.formats
        fits, best = max(times, key=lambda pair: (pair[0], formats[pair[1]].day_first in (None, preferred)))
        if fits < enough:
            return None
        found = formats[best]
        other = found.other_order
        undecided = not told and other is not None and any(count == fits and formats[k] == other for count, k in times)
        kind = ColumnType.COLUMN_TYPE_DATETIME if found.has_clock else ColumnType.COLUMN_TYPE_DATE
        epoch = found.format in (EPOCH_SECONDS, EPOCH_MILLIS)
        fact = self._fact(kind, fits)
        return replace(fact, time_format=found, order_assumed=undecided, epoch=epoch)

    def _as_number(self, enough: float, marks: "Counter[str]") -> ColumnFacts | None:
        styles, said = self.candidate.styles, self.candidate.said
        if not styles:
            return None
        style, assumed = settle(styles, self._numbers, marks)
        best = styles.index(style)
        numbers = self._numbers[best]
        identifiers = self.counts[f"identifier{self.position}"]
        if (
            not said.type
            and identifiers
            and self.counts[f"integers{self.position}"] + identifiers >= enough
            and self._are_names(identifiers)
        ):
            return self._fact(ColumnType.COLUMN_TYPE_IDENTIFIER, self.values)
        if numbers < enough:
            return None
        if said.type == ColumnType.COLUMN_TYPE_INTEGER:
            fact = self._fact(ColumnType.COLUMN_TYPE_INTEGER, self.counts[f"number{self.position}_{best}"])
        elif self._is_whole(best):
            fact = self._fact(ColumnType.COLUMN_TYPE_INTEGER, numbers)
        else:
            # A whole number is a decimal too: decimals among whole numbers are no misfits.
            fact = self._fact(ColumnType.COLUMN_TYPE_DECIMAL, numbers)
        return replace(fact, style=style, marks_assumed=assumed)

    def _are_names(self, identifiers: int) -> bool:
        """Whether numbers with leading zeros or too many digits make the whole column one of names: many do, or all have one length."""
        i, counts = self.position, self.counts
        shortest, longest = counts[f"shortest{i}"], counts[f"longest{i}"]
        integers = (counts[f"shortest_integer{i}"] or shortest, counts[f"longest_integer{i}"] or longest)
        return bool(identifiers >= self.values * IDENTIFIER_SHARE or {shortest, longest, *integers} == {shortest})

    def _fact(self, kind: "ColumnType.ValueType", fitting: int) -> ColumnFacts:
        return ColumnFacts(
            self.position,
            self.name,
            kind,
            self.rows,
            self.nulls,
            fitting,
            on_misfit=self.candidate.said.on_misfit,
            # Where they were blanked out before they were counted, it is not known.
            spelled_nulls=self.blanked_out or self.counts[f"unspelled{self.position}"] < self.counts[f"nulls{self.position}"],
        )
