"""Counts over all values of every column, and the type that they show.

A sample only chooses the types to test; a column without candidates stays text, which loses
nothing. All counts cover every row, batch by batch. A column with a single candidate type is parsed
in bulk. Only batches in which a value does not parse are counted in detail.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, TypeVar

import polars as pl

from services.validation.columns.column_types import (
    NUMBERS,
    TIMES,
    ColumnFacts,
    NullTokens,
    boolean,
    named_like_time,
)
from services.validation.columns.numbers import (
    PLAIN,
    NumberStyle,
    candidate_styles,
    choose_style,
)
from services.validation.columns.time_formats import (
    TimeFormat,
    candidate_formats,
    specified_format,
)
from services.validation.reading.faults import FileFault
from services.validation.reading.table import column
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import ColumnOptions, ColumnType, OnMisfit, ReadOptions

CANDIDATE_SHARE = 0.5
"""Share of a column's sampled values that must parse as a type to make it a candidate."""
MAX_FORMATS = 6
"""Candidate time formats of a column, the most frequent ones."""
SAMPLED_VALUES = 500
"""Distinct values of a column from which its number styles and time formats are detected."""
IDENTIFIER_SHARE = 0.01
"""Share of identifiers among numbers that makes the whole column identifiers."""
_IDENTIFIER = r"^(?:0\d+|\d{16,}|\d+[eEfFdD]\d*)$"
"""Leading zeros, more digits than a number may have, and codes that programs mistake for numbers
(3E5, 7F, 2D).
"""


T = TypeVar("T")


@dataclass(frozen=True)
class Candidates:
    """The types to test on all values of a column."""

    styles: list[NumberStyle]
    """Number styles; empty if the column is not numeric."""
    whole: list[bool]
    """Per style, whether all sampled numbers are integers."""
    booleans: bool
    formats: list[TimeFormat]
    options: ColumnOptions
    """What the sender specified for the column."""

    @property
    def fast(self) -> Callable[[pl.Expr], pl.Expr] | None:
        """The parser of the only candidate; None without a candidate or with several."""
        if self.booleans or len(self.styles) + len(self.formats) != 1:
            return None
        if self.formats:
            return self.formats[0].time
        return self.styles[0].integer if self.whole[0] else self.styles[0].decimal

    @property
    def is_text(self) -> bool:
        """Whether there is nothing to test."""
        return not (self.styles or self.formats or self.booleans)

    def covers(self, other: "Candidates") -> bool:
        """Whether these include all types of `other`."""
        return (
            set(other.styles) <= set(self.styles)
            and set(other.formats) <= set(self.formats)
            and (self.booleans or not other.booleans)
        )


def find_candidates(
    samples: Sequence[pl.Series],
    header: Sequence[str],
    source_header: Sequence[str],
    options: ReadOptions,
) -> list[Candidates]:
    """Candidate types of each column, from a sample of its non-null, stripped values."""
    by_name = {column.name: column for column in options.columns}
    return [
        _candidates(sample, name, options, by_name.get(name, by_name.get(source, ColumnOptions())))
        for sample, name, source in zip(samples, header, source_header, strict=True)
    ]


@dataclass(frozen=True)
class Extremes:
    """Least and greatest of some values; None without values."""

    least: Any = None
    greatest: Any = None

    @staticmethod
    def of(value: pl.Expr) -> pl.Expr:
        """The fields of this class, as a struct."""
        return pl.struct(least=value.min(), greatest=value.max())

    def merge(self, other: "Extremes") -> "Extremes":
        """The extremes of the values of both."""
        if self.least is None or other.least is None:
            return other if self.least is None else self
        return Extremes(min(self.least, other.least), max(self.greatest, other.greatest))


NO_VALUES = Extremes()


def from_struct(kind: type[T], fields: Mapping[str, Any]) -> T:
    """A dataclass from the Polars struct of its fields, in which Extremes are structs too."""
    return kind(
        **{
            name: Extremes(**value) if isinstance(value, dict) else value
            for name, value in fields.items()
        }
    )


@dataclass(frozen=True)
class ColumnEvidence:
    """Counts over the values of one column."""

    nulls: int = 0
    """Null values, also of blank rows."""
    numbers: Sequence[int] = ()
    """Per candidate style, the values that parse: as integers if the sample has only integers."""
    fractions: Sequence[int] = ()
    """Per candidate style, the further values that parse as decimals."""
    booleans: int = 0
    times: Sequence[int] = ()
    """Per candidate format, the values that parse."""
    identifiers: int = 0
    """Values like `007` or `3E5` that do not parse in the first style."""
    identifier_lengths: Extremes = NO_VALUES
    integers: int = 0
    """Integers in plain notation."""
    integer_lengths: Extremes = NO_VALUES

    def merge(self, other: "ColumnEvidence") -> "ColumnEvidence":
        """The counts over the values of both."""
        return ColumnEvidence(
            self.nulls + other.nulls,
            _sums(self.numbers, other.numbers),
            _sums(self.fractions, other.fractions),
            self.booleans + other.booleans,
            _sums(self.times, other.times),
            self.identifiers + other.identifiers,
            self.identifier_lengths.merge(other.identifier_lengths),
            self.integers + other.integers,
            self.integer_lengths.merge(other.integer_lengths),
        )


def _sums(one: Iterable[int], other: Iterable[int]) -> list[int]:
    return [a + b for a, b in zip_longest(one, other, fillvalue=0)]


@dataclass(frozen=True)
class ParsedColumns:
    """The columns of a batch that need no further parsing, by position."""

    values: dict[int, pl.Series]
    """Numbers and times; all values parse."""
    texts: set[int]
    """Texts without null tokens."""
    has_blank_rows: bool
    """Whether the batch has blank rows."""


class Evidence:
    """Counts over the values of all columns."""

    def __init__(
        self,
        header: Sequence[str],
        candidates: Sequence[Candidates],
        null_tokens: NullTokens,
        detailed: Collection[int] = (),
    ) -> None:
        """`detailed`: positions of the columns to count in detail in every batch."""
        self.candidates = candidates
        self._header, self._null_tokens = header, null_tokens
        self._fast = {
            i: fast
            for i, candidate in enumerate(candidates)
            if (fast := candidate.fast) is not None
            and i not in detailed
            and not null_tokens.may_parse
        }
        self._texts = [
            i
            for i, candidate in enumerate(candidates)
            if candidate.is_text and not null_tokens.may_parse
        ]
        self._columns = [
            ColumnEvidence(
                numbers=[0] * len(candidate.styles),
                fractions=[0] * len(candidate.styles),
                times=[0] * len(candidate.formats),
            )
            for candidate in candidates
        ]
        self._rows = self._blank = 0
        self._without_detail: set[int] = set()

    def add(self, frame: pl.DataFrame) -> ParsedColumns:
        """Counts a batch. Returns the columns that were parsed on the way."""
        # A lazy query computes shared subexpressions once.
        parsed = (
            frame.lazy()
            .select([fast(pl.col(column(i))).alias(column(i)) for i, fast in self._fast.items()])
            .collect()
        )
        good = [
            i for i in self._fast if parsed[column(i)].null_count() == frame[column(i)].null_count()
        ]
        numbers = [i for i in good if self.candidates[i].styles]
        whole = [i for i in numbers if self.candidates[i].whole[0]]
        self._without_detail.update(set(numbers).difference(whole))
        checks = [
            self._null_tokens.matches(pl.col(column(i)).str.strip_chars()).any().alias(column(i))
            for i in self._texts
        ]
        checks += [Extremes.of(pl.col(column(i)).str.len_bytes()).alias(column(i)) for i in whole]
        checked = frame.select(checks).row(0, named=True) if checks else {}
        plain = {*good, *(i for i in self._texts if not checked[column(i)])}
        nulls = {i: frame[column(i)].null_count() for i in plain}
        found = {
            i: _all_parsed(self.candidates[i], frame.height - count, count, checked.get(column(i)))
            for i, count in nulls.items()
        }
        rest = [i for i in range(len(self.candidates)) if i not in plain]
        # A column without nulls rules out blank rows.
        may_be_blank = 0 not in nulls.values()
        blank = 0
        if rest or may_be_blank:
            counted, blank = self._count(frame, rest, sorted(plain) if may_be_blank else None)
            found |= counted
        for i, evidence in found.items():
            self._columns[i] = self._columns[i].merge(evidence)
        self._rows += frame.height
        self._blank += blank
        return ParsedColumns(
            {i: parsed[column(i)] for i in good}, plain.difference(good), bool(blank)
        )

    def _count(
        self, frame: pl.DataFrame, positions: Sequence[int], others: Sequence[int] | None
    ) -> tuple[dict[int, ColumnEvidence], int]:
        """Counts the values that parse as each candidate type, for the columns at `positions`.

        Also counts the blank rows, unless `others`, the remaining columns, is None.
        """
        values, parsed, wanted = [], [], []
        for i in positions:
            candidate, name = self.candidates[i], column(i)
            value, is_null = pl.col(name), pl.col(f"null{i}")
            values.append(
                self._null_tokens.value(name)
                if self._null_tokens.may_parse
                else value.str.strip_chars()
            )
            parsed.append((value.is_null() | self._null_tokens.matches(value)).alias(f"null{i}"))
            fields: dict[str, pl.Expr] = {"nulls": is_null.sum()}
            numbers = [f"number{i}_{k}" for k in range(len(candidate.styles))]
            styles = list(zip(candidate.styles, candidate.whole, numbers, strict=True))
            parsed += [
                (style.integer(value) if whole else style.decimal(value)).alias(number)
                for style, whole, number in styles
            ]
            if numbers:
                length = value.str.len_bytes()
                integer_lengths = length.filter(PLAIN.integer(value).is_not_null())
                no_number = value.filter(pl.col(numbers[0]).is_null())
                fields |= {
                    "numbers": pl.concat_list([pl.col(number).count() for number in numbers]),
                    "fractions": pl.concat_list(
                        [
                            style.decimal(value.filter(pl.col(number).is_null())).count()
                            if whole
                            else pl.lit(0, pl.UInt32)
                            for style, whole, number in styles
                        ]
                    ),
                    "identifiers": no_number.str.contains(_IDENTIFIER).sum(),
                    "identifier_lengths": Extremes.of(
                        length.filter(value.str.contains(_IDENTIFIER))
                    ),
                    "integers": integer_lengths.count(),
                    "integer_lengths": Extremes.of(integer_lengths),
                }
            if candidate.booleans:
                fields["booleans"] = boolean(value).count()
            if candidate.formats:
                fields["times"] = pl.concat_list(
                    [format.time(value).count() for format in candidate.formats]
                )
            wanted.append(pl.struct([expr.alias(key) for key, expr in fields.items()]).alias(name))
        if others is not None:
            masks = [
                *(pl.col(f"null{i}") for i in positions),
                *(pl.col(column(i)).is_null() for i in others),
            ]
            wanted.append(pl.all_horizontal(masks).sum().alias("blank"))
        # Separate steps, so that no value is computed twice.
        prepared = (
            frame.lazy().select(*values, *(column(i) for i in others or ())).with_columns(parsed)
        )
        row = prepared.select(wanted).collect().row(0, named=True)
        return {i: from_struct(ColumnEvidence, row[column(i)]) for i in positions}, row.get(
            "blank", 0
        )

    @property
    def needs_detail(self) -> set[int]:
        """Columns with identifiers whose other batches were not counted in detail.

        `decide` needs these counts.
        """
        return {i for i in self._without_detail if self._columns[i].identifiers}

    def decide(
        self, type_share: float, on_misfit: "OnMisfit.ValueType", options: ReadOptions
    ) -> tuple[list[ColumnFacts], int]:
        """The facts of all columns, and the number of blank rows.

        Raises:
            FileFault: OPTION_MISFIT.
        """
        deciders = [
            _Decider(i, name, candidate, evidence, self._rows - self._blank, self._blank)
            for i, (name, candidate, evidence) in enumerate(
                zip(self._header, self.candidates, self._columns, strict=True)
            )
        ]
        separators = Counter(
            separator for decider in deciders if (separator := decider.proven_separator())
        )
        facts = [decider.decide(type_share, separators, options) for decider in deciders]
        return [
            fact.widened()
            if fact.misfits and (fact.on_misfit or on_misfit) == OnMisfit.ON_MISFIT_WIDEN_TO_TEXT
            else fact
            for fact in facts
        ], self._blank


def _all_parsed(candidate: Candidates, values: int, nulls: int, lengths: Any) -> ColumnEvidence:
    """Evidence of a batch in which every value parses as the only candidate, or of plain text."""
    if candidate.formats:
        return ColumnEvidence(nulls, times=[values])
    if not candidate.styles:
        return ColumnEvidence(nulls)
    if not candidate.whole[0]:
        return ColumnEvidence(nulls, [values])
    return ColumnEvidence(nulls, [values], integers=values, integer_lengths=Extremes(**lengths))


def _candidates(
    values: pl.Series, name: str, options: ReadOptions, specified: ColumnOptions
) -> Candidates:
    frame, value = values.to_frame(), pl.col(values.name)
    enough = len(values) * CANDIDATE_SHARE
    styles: list[NumberStyle] = []
    if specified.type in (ColumnType.COLUMN_TYPE_UNSPECIFIED, *NUMBERS) and not (
        specified.time_format
    ):
        found = candidate_styles(
            values.unique(maintain_order=True).head(SAMPLED_VALUES).to_list(), options
        )
        fits = frame.select(
            pl.max_horizontal([style.decimal(value).count() for style in found])
            + value.str.contains(_IDENTIFIER).sum()
        )
        styles = found if int(fits.item()) >= enough or specified.type in NUMBERS else []
    whole = [_is_whole(style, frame, specified) for style in styles]
    detect = specified.type == ColumnType.COLUMN_TYPE_UNSPECIFIED and not specified.time_format
    booleans = detect and int(frame.select(boolean(value).count()).item()) >= enough
    formats: list[TimeFormat] = []
    if specified.time_format:
        formats = [specified_format(specified.time_format)]
    elif specified.type in TIMES or (detect and (not styles or named_like_time(name))):
        formats = _frequent_formats(values, named_like_time(name) or specified.type in TIMES)
    return Candidates(
        styles,
        whole,
        booleans or specified.type == ColumnType.COLUMN_TYPE_BOOLEAN,
        formats,
        specified,
    )


def _is_whole(style: NumberStyle, frame: pl.DataFrame, specified: ColumnOptions) -> bool:
    """Whether to parse the numbers as integers: as specified, else if all sampled ones are."""
    if specified.type in NUMBERS:
        return specified.type == ColumnType.COLUMN_TYPE_INTEGER
    value = pl.col(frame.columns[0])
    return bool(frame.select(style.integer(value).count() == style.decimal(value).count()).item())


def _frequent_formats(values: pl.Series, like_time: bool) -> list[TimeFormat]:
    counts: Counter[TimeFormat] = Counter()
    for text, count in values.value_counts().head(SAMPLED_VALUES).iter_rows():
        for format in candidate_formats(text, named_like_time=like_time):
            counts[format] += count
    return [format for format, _ in counts.most_common(MAX_FORMATS)]


@dataclass(frozen=True)
class _Decider:
    """Decides the type of a column from the counts over all of its values."""

    position: int
    name: str
    candidate: Candidates
    evidence: ColumnEvidence
    rows: int
    """Rows that are not blank."""
    blank: int

    @property
    def nulls(self) -> int:
        return self.evidence.nulls - self.blank

    @property
    def values(self) -> int:
        return self.rows - self.nulls

    @property
    def _numbers(self) -> list[int]:
        """Per style, the values that are numbers."""
        return _sums(self.evidence.numbers, self.evidence.fractions)

    def _is_whole(self, k: int) -> bool:
        """Whether all numbers in a style are integers."""
        return self.candidate.whole[k] and not self.evidence.fractions[k]

    def proven_separator(self) -> str:
        """The decimal separator that the column's fractions prove, or an empty text."""
        fits = self._numbers
        best = [k for k, count in enumerate(fits) if count == max(fits) > 0]
        separators = {self.candidate.styles[k].decimal_mark for k in best}
        if len(separators) == 1 and not all(self._is_whole(k) for k in best):
            return separators.pop()
        return ""

    def decide(
        self, type_share: float, separators: "Counter[str]", options: ReadOptions
    ) -> ColumnFacts:
        """The facts of the column: the first type that at least `type_share` of its values fit.

        `separators`: how many columns of the file prove each decimal separator.
        """
        specified = self.candidate.options
        if not self.values:
            return self._facts(ColumnType.COLUMN_TYPE_UNSPECIFIED, 0)
        enough = 0 if specified.type or specified.time_format else self.values * type_share
        for found in (self._as_time(enough, options), self._as_number(enough, separators)):
            if found is not None:
                return found
        if self.candidate.booleans:
            booleans = self.evidence.booleans
            if booleans == self.values or specified.type == ColumnType.COLUMN_TYPE_BOOLEAN:
                return self._facts(ColumnType.COLUMN_TYPE_BOOLEAN, booleans)
        if specified.type == ColumnType.COLUMN_TYPE_IDENTIFIER:
            return self._facts(ColumnType.COLUMN_TYPE_IDENTIFIER, self.values)
        if specified.type not in (ColumnType.COLUMN_TYPE_UNSPECIFIED, ColumnType.COLUMN_TYPE_TEXT):
            message = f"The column {self.name!r} is specified as a time, but none of its values has a known time format."
            raise FileFault(
                ErrorReason.ERROR_REASON_OPTION_MISFIT,
                message,
                value="columns",
                action="Specify its time_format.",
            )
        return self._facts(ColumnType.COLUMN_TYPE_TEXT, self.values)

    def _as_time(self, enough: float, options: ReadOptions) -> ColumnFacts | None:
        formats, times = self.candidate.formats, self.evidence.times
        if not formats:
            return None
        is_specified = options.HasField("day_first")
        preferred = options.day_first if is_specified else True
        fits, best = max(
            ((count, k) for k, count in enumerate(times)),
            key=lambda pair: (pair[0], formats[pair[1]].day_first in (None, preferred)),
        )
        if fits < enough:
            return None
        format = formats[best]
        undecided = (
            not is_specified
            and format.other_order is not None
            and any(
                count == fits and other == format.other_order
                for count, other in zip(times, formats, strict=True)
            )
        )
        kind = ColumnType.COLUMN_TYPE_DATETIME if format.has_clock else ColumnType.COLUMN_TYPE_DATE
        return replace(self._facts(kind, fits), time_format=format, order_assumed=undecided)

    def _as_number(self, enough: float, separators: "Counter[str]") -> ColumnFacts | None:
        styles, evidence = self.candidate.styles, self.evidence
        specified_type = self.candidate.options.type
        if not styles:
            return None
        style, assumed = choose_style(styles, self._numbers, separators)
        best = styles.index(style)
        numbers = self._numbers[best]
        if (
            not specified_type
            and evidence.identifiers
            and evidence.integers + evidence.identifiers >= enough
            and self._are_identifiers()
        ):
            return self._facts(ColumnType.COLUMN_TYPE_IDENTIFIER, self.values)
        if numbers < enough:
            return None
        if specified_type == ColumnType.COLUMN_TYPE_INTEGER:
            facts = self._facts(ColumnType.COLUMN_TYPE_INTEGER, evidence.numbers[best])
        elif self._is_whole(best):
            facts = self._facts(ColumnType.COLUMN_TYPE_INTEGER, numbers)
        else:
            # Integers are decimals too.
            facts = self._facts(ColumnType.COLUMN_TYPE_DECIMAL, numbers)
        return replace(facts, style=style, separators_assumed=assumed)

    def _are_identifiers(self) -> bool:
        """Whether leading zeros or too many digits make the whole column identifiers.

        They do if they are frequent, or if all values have the same length.
        """
        lengths = self.evidence.identifier_lengths.merge(self.evidence.integer_lengths)
        return (
            self.evidence.identifiers >= self.values * IDENTIFIER_SHARE
            or lengths.least == lengths.greatest
        )

    def _facts(self, kind: "ColumnType.ValueType", fitting: int) -> ColumnFacts:
        return ColumnFacts(
            self.position,
            self.name,
            kind,
            self.rows,
            self.nulls,
            fitting,
            on_misfit=self.candidate.options.on_misfit,
        )
