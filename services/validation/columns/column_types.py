"""The type of every column, decided on all of its values.

A sample only chooses which types are worth testing; what is not tested stays text, which loses
nothing. Every count is over all rows. The values come batch by batch. Where only one type is worth
testing, a batch is read in it as it stands; only where that leaves a value unread is it looked at
closely.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from services.validation.columns.numbers import PLAIN, NumberStyle, settle, styles_of
from services.validation.columns.time_formats import (
    EPOCH_MILLIS,
    EPOCH_SECONDS,
    TimeFormat,
    formats_of,
    stated_format,
)
from services.validation.reading.faults import FileFault
from services.validation.reading.table import column
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import (
    ColumnOptions,
    ColumnType,
    LoadType,
    OnMisfit,
    ReadOptions,
)

WORTH_TESTING = 0.5
"""Share of a column's sampled values that must fit a type for it to be tested on all values."""
FORMATS_TESTED = 6
SAMPLED_VALUES = 500
"""Distinct values of a column from which the formats worth testing are told."""
IDENTIFIER_SHARE = 0.01
"""Share of numbers with leading zeros, or of too many digits, from which all the numbers of a
column are names.
"""
_IDENTIFIER = r"^(?:0\d+|\d{16,}|\d+[eEfFdD]\d*)$"
"""Leading zeros, more digits than a number may have, and what programs take for numbers that it is
not (3E5, 7F, 2D).
"""
_BOOLEANS = ["true", "false", "yes", "no"]
TIME_WORDS = ("time", "date")
"""What a time-like name contains (`timestamp` contains `time`)."""

_TIMES = (ColumnType.COLUMN_TYPE_DATE, ColumnType.COLUMN_TYPE_DATETIME)
_NUMBERS = (ColumnType.COLUMN_TYPE_INTEGER, ColumnType.COLUMN_TYPE_DECIMAL)


def named_like_time(name: str) -> bool:
    """Whether a column's name says that it holds times."""
    return any(word in name.lower() for word in TIME_WORDS)


class Reading:
    """How a text becomes a value: blanks around it are not part of it, and the null tokens mean
    nothing.
    """

    def __init__(self, null_tokens: Sequence[str]) -> None:
        spelled = {token.strip() for token in null_tokens}
        self._empty_is_null = "" in spelled
        self._tokens = sorted(
            {
                way
                for token in spelled
                if token
                for way in (token, token.lower(), token.upper(), token.title())
            }
        )

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
    def may_misfit(self) -> bool:
        """Whether there are values that do not fit its type."""
        return self.is_number or self.is_time or self.type == ColumnType.COLUMN_TYPE_BOOLEAN

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
        """The column's values in its type (times to the microsecond, texts unchanged); null where
        there is none or it does not fit.
        """
        name = column(self.position)
        text = reading.text(name)
        # What means nothing is no number and no time either, unless it has digits.
        value = (text if reading.tells_by_text else pl.col(name)).str.strip_chars()
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
class Candidates:
    """What is worth testing on all values of a column."""

    styles: list[NumberStyle]
    """Ways to read it as numbers; empty where it is none."""
    whole: list[bool]
    """Per style, whether all of the sampled numbers are whole."""
    booleans: bool
    formats: list[TimeFormat]
    said: ColumnOptions
    """What was said of this column."""

    @property
    def fast(self) -> "Callable[[pl.Expr], pl.Expr] | None":
        """How its texts are read where that is the one thing worth testing. None for texts, and
        where several are.
        """
        if self.booleans or len(self.styles) + len(self.formats) != 1:
            return None
        if self.formats:
            return self.formats[0].time
        return self.styles[0].integer if self.whole[0] else self.styles[0].decimal

    @property
    def is_text(self) -> bool:
        """Whether there is nothing to test."""
        return not (self.styles or self.formats or self.booleans)

    def cover(self, others: "Candidates") -> bool:
        """Whether all that is worth testing in `others` is tested here."""
        return (
            set(others.styles) <= set(self.styles)
            and set(others.formats) <= set(self.formats)
            and (self.booleans or not others.booleans)
        )


def worth_testing(
    values: Sequence[pl.Series],
    header: Sequence[str],
    source_header: Sequence[str],
    options: ReadOptions,
) -> list[Candidates]:
    """What is worth testing in each column, told from some of its values (those that mean nothing,
    and blanks around, are gone).
    """
    said = {column.name: column for column in options.columns}
    return [
        _candidates(some, name, options, said.get(name, said.get(source, ColumnOptions())))
        for some, name, source in zip(values, header, source_header, strict=True)
    ]


@dataclass(frozen=True)
class Plain:
    """Columns of a batch that are plainly what was expected, by position."""

    values: dict[int, pl.Series]
    """Numbers and times."""
    texts: set[int]
    """Texts of which none means nothing."""
    blank: bool
    """Whether rows of the batch are blank."""


class Evidence:
    """What the values of all columns are, counted batch by batch."""

    def __init__(
        self,
        header: Sequence[str],
        candidates: Sequence[Candidates],
        reading: Reading,
        careful: Collection[int] = (),
    ) -> None:
        """`careful`: columns whose values are all looked at closely."""
        self.candidates = candidates
        self._header, self._reading = header, reading
        self._fast = {
            i: fast
            for i, candidate in enumerate(candidates)
            if (fast := candidate.fast) is not None
            and i not in careful
            and not reading.tells_by_text
        }
        self._texts = [
            i
            for i, candidate in enumerate(candidates)
            if candidate.is_text and not reading.tells_by_text
        ]
        self._counts: dict[str, Any] = {}
        self._unmeasured: set[int] = set()

    def add(self, frame: pl.DataFrame) -> Plain:
        """Counts the rows of a batch, and returns what was read of it on the way."""
        # Lazily, so that what several expressions share is made once.
        read = (
            frame.lazy()
            .select([fast(pl.col(column(i))).alias(column(i)) for i, fast in self._fast.items()])
            .collect()
        )
        good = [
            i for i in self._fast if read[column(i)].null_count() == frame[column(i)].null_count()
        ]
        whole = [i for i in good if self.candidates[i].styles and self.candidates[i].whole[0]]
        self._unmeasured.update(
            i for i in good if self.candidates[i].styles and not self.candidates[i].whole[0]
        )
        wanted = [
            self._reading.nothing(pl.col(column(i)).str.strip_chars()).sum().alias(f"spelled{i}")
            for i in self._texts
        ]
        for i in whole:
            length = pl.col(column(i)).str.len_bytes()
            wanted += [
                length.min().alias(f"shortest_integer{i}"),
                length.max().alias(f"longest_integer{i}"),
            ]
        looked = frame.select(wanted).row(0, named=True) if wanted else {}
        plain = {*good, *(i for i in self._texts if not looked[f"spelled{i}"])}
        counts: dict[str, Any] = {"rows": frame.height, "blank": 0}
        for i in plain:
            nulls = counts[f"nulls{i}"] = frame[column(i)].null_count()
            if i not in self._fast:
                continue
            kind = "number" if self.candidates[i].styles else "time"
            counts[f"{kind}{i}_0"] = frame.height - nulls
            if i in whole:
                counts |= {
                    key: looked[key] for key in (f"shortest_integer{i}", f"longest_integer{i}")
                }
                counts[f"integers{i}"] = frame.height - nulls
        closely = [i for i in range(len(self.candidates)) if i not in plain]
        full = any(not counts[f"nulls{i}"] for i in plain)
        if closely or not full:
            counts |= self._closely(frame, closely, [] if full else sorted(plain))
        self._merge(counts)
        return Plain(
            {i: read[column(i)] for i in good}, plain.difference(good), bool(counts["blank"])
        )

    def _closely(
        self, frame: pl.DataFrame, positions: Sequence[int], others: Sequence[int]
    ) -> dict[str, Any]:
        """How many values of columns fit each type that is worth testing. Blank rows are counted
        with a look at the `others` too.
        """
        values, tested, wanted, empty = [], [], [], []
        for i in positions:
            candidate, name = self.candidates[i], column(i)
            value = pl.col(name)
            # To blank out what means nothing is dear: it is only done where it could be taken for
            # something.
            values.append(
                self._reading.value(name)
                if self._reading.tells_by_text
                else value.str.strip_chars()
            )
            empty.append((value.is_null() | self._reading.nothing(value)).alias(f"empty{i}"))
            wanted.append(pl.col(f"empty{i}").sum().alias(f"nulls{i}"))
            for k, style in enumerate(candidate.styles):
                whole = candidate.whole[k]
                tested.append(
                    (style.integer(value) if whole else style.decimal(value)).alias(
                        f"number{i}_{k}"
                    )
                )
                wanted.append(pl.col(f"number{i}_{k}").count())
                rest = value.filter(pl.col(f"number{i}_{k}").is_null())
                if whole:
                    # A whole number is a decimal too: only the others are tested for one.
                    wanted.append(style.decimal(rest).count().alias(f"fractions{i}_{k}"))
                if k == 0:
                    wanted += [
                        rest.str.contains(_IDENTIFIER).sum().alias(f"identifier{i}"),
                        *_lengths(i, value),
                    ]
            if candidate.booleans:
                wanted.append(boolean(value).count().alias(f"boolean{i}"))
            for k, found in enumerate(candidate.formats):
                wanted.append(found.time(value).count().alias(f"time{i}_{k}"))
        if len(positions) + len(others) == len(self.candidates):
            masks = [
                *(pl.col(f"empty{i}") for i in positions),
                *(pl.col(column(i)).is_null() for i in others),
            ]
            wanted.append(pl.all_horizontal(masks).sum().alias("blank"))
        # One step after the other, so that no value is made twice.
        prepared = (
            frame.lazy().select(*values, *(column(i) for i in others)).with_columns(*tested, *empty)
        )
        return prepared.select(wanted).collect().row(0, named=True)

    def _merge(self, counts: Mapping[str, Any]) -> None:
        for key, count in counts.items():
            known = self._counts.get(key)
            if known is None or count is None:
                self._counts[key] = count if known is None else known
            elif key.startswith("shortest"):
                self._counts[key] = min(known, count)
            elif key.startswith("longest"):
                self._counts[key] = max(known, count)
            else:
                self._counts[key] = known + count

    @property
    def unmeasured(self) -> set[int]:
        """Columns with identifiers among values that were not looked at closely: they have to be,
        before it can be decided.
        """
        return {i for i in self._unmeasured if self._counts.get(f"identifier{i}")}

    def decide(
        self, type_share: float, on_misfit: "OnMisfit.ValueType", options: ReadOptions
    ) -> tuple[list[ColumnFacts], int]:
        """The facts of all columns, and the number of rows that are blank in every column.

        Raises:
            FileFault: OPTION_MISFIT.
        """
        blank = int(self._counts.get("blank", 0))
        rows = int(self._counts.get("rows", 0)) - blank
        counts = Counter({key: count for key, count in self._counts.items() if count is not None})
        columns = [
            _Counted(i, name, candidate, counts, rows, blank)
            for i, (name, candidate) in enumerate(zip(self._header, self.candidates, strict=True))
        ]
        marks = Counter(mark for counted in columns if (mark := counted.proven_mark()))
        facts = [counted.decide(type_share, marks, options) for counted in columns]
        return [
            fact.widened()
            if fact.misfits and (fact.on_misfit or on_misfit) == OnMisfit.ON_MISFIT_WIDEN_TO_TEXT
            else fact
            for fact in facts
        ], blank


def _lengths(i: int, value: pl.Expr) -> list[pl.Expr]:
    """How long the identifiers and the whole numbers of a column are, and how many whole numbers
    there are.
    """
    length = value.str.len_bytes()
    identifiers = length.filter(value.str.contains(_IDENTIFIER))
    whole = length.filter(PLAIN.integer(value).is_not_null())
    return [
        identifiers.min().alias(f"shortest{i}"),
        identifiers.max().alias(f"longest{i}"),
        whole.min().alias(f"shortest_integer{i}"),
        whole.max().alias(f"longest_integer{i}"),
        whole.count().alias(f"integers{i}"),
    ]


def _candidates(
    values: pl.Series, name: str, options: ReadOptions, said: ColumnOptions
) -> Candidates:
    frame, value = values.to_frame(), pl.col(values.name)
    enough = len(values) * WORTH_TESTING
    styles: list[NumberStyle] = []
    if said.type in (ColumnType.COLUMN_TYPE_UNSPECIFIED, *_NUMBERS) and not said.time_format:
        found = styles_of(
            values.unique(maintain_order=True).head(SAMPLED_VALUES).to_list(), options
        )
        fits = frame.select(
            pl.max_horizontal([style.decimal(value).count() for style in found])
            + value.str.contains(_IDENTIFIER).sum()
        )
        styles = found if int(fits.item()) >= enough or said.type in _NUMBERS else []
    whole = [_whole(style, frame, said) for style in styles]
    untold = said.type == ColumnType.COLUMN_TYPE_UNSPECIFIED and not said.time_format
    booleans = untold and int(frame.select(boolean(value).count()).item()) >= enough
    formats: list[TimeFormat] = []
    if said.time_format:
        formats = [stated_format(said.time_format)]
    elif said.type in _TIMES or (untold and (not styles or named_like_time(name))):
        formats = _formats(values, named_like_time(name) or said.type in _TIMES)
    return Candidates(
        styles, whole, booleans or said.type == ColumnType.COLUMN_TYPE_BOOLEAN, formats, said
    )


def _whole(style: NumberStyle, frame: pl.DataFrame, said: ColumnOptions) -> bool:
    """Whether the numbers are to be read as whole ones: as was said, or as all of the sampled ones
    are.
    """
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


@dataclass(frozen=True)
class _Counted:
    """A column with the counts over all of its values."""

    position: int
    name: str
    candidate: Candidates
    counts: Mapping[str, Any]
    rows: int
    blank: int

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
        return [
            self.counts[f"number{i}_{k}"] + self.counts[f"fractions{i}_{k}"]
            for k in range(len(self.candidate.styles))
        ]

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
            raise FileFault(
                ErrorReason.ERROR_REASON_OPTION_MISFIT,
                message,
                value="columns",
                action="Name its time_format.",
            )
        return self._fact(ColumnType.COLUMN_TYPE_TEXT, self.values)

    def _as_time(self, enough: float, options: ReadOptions) -> ColumnFacts | None:
        times = [
            (self.counts[f"time{self.position}_{k}"], k) for k in range(len(self.candidate.formats))
        ]
        if not times:
            return None
        told = options.HasField("day_first")
        preferred = options.day_first if told else True
        formats = self.candidate.formats
        fits, best = max(
            times, key=lambda pair: (pair[0], formats[pair[1]].day_first in (None, preferred))
        )
        if fits < enough:
            return None
        found = formats[best]
        other = found.other_order
        undecided = (
            not told
            and other is not None
            and any(count == fits and formats[k] == other for count, k in times)
        )
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
            fact = self._fact(
                ColumnType.COLUMN_TYPE_INTEGER, self.counts[f"number{self.position}_{best}"]
            )
        elif self._is_whole(best):
            fact = self._fact(ColumnType.COLUMN_TYPE_INTEGER, numbers)
        else:
            # A whole number is a decimal too: decimals among whole numbers are no misfits.
            fact = self._fact(ColumnType.COLUMN_TYPE_DECIMAL, numbers)
        return replace(fact, style=style, marks_assumed=assumed)

    def _are_names(self, identifiers: int) -> bool:
        """Whether numbers with leading zeros or too many digits make the whole column one of names:
        many do, or all have one length.
        """
        i, counts = self.position, self.counts
        shortest, longest = counts[f"shortest{i}"], counts[f"longest{i}"]
        integers = (
            counts[f"shortest_integer{i}"] or shortest,
            counts[f"longest_integer{i}"] or longest,
        )
        return bool(
            identifiers >= self.values * IDENTIFIER_SHARE
            or {shortest, longest, *integers} == {shortest}
        )

    def _fact(self, kind: "ColumnType.ValueType", fitting: int) -> ColumnFacts:
        return ColumnFacts(
            self.position,
            self.name,
            kind,
            self.rows,
            self.nulls,
            fitting,
            on_misfit=self.candidate.said.on_misfit,
        )
