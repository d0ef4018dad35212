"""The profile of the loadable rows.

Counts, extremes, sums, lengths and duplicate rows cover all rows. Distinct counts are estimated by
a sketch. Quantiles, histograms and frequent values come from an even sample, which has all rows of
a small file.

The rows come batch by batch. Memory is bounded except for 8 bytes per row to detect duplicates.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

import polars as pl

from services.validation.columns.evidence import NO_VALUES, Extremes, from_struct
from services.validation.columns.names import TIME
from services.validation.parts.loading import Loading
from services.validation.report.distinct import Distinct
from sluice.validation.v1.validation_pb2 import Column, LoadType, Report

SAMPLE_ROWS = 250_000
"""A sample has at least this many rows, or all, and less than twice as many."""
SAMPLE_CHARS = 64
"""Texts in the sample are cut to this length."""
EXACT_HASHES = 20_000_000
"""Rows up to which duplicates are counted exactly, by 64-bit hashes; above, they are estimated to
save memory.
"""
QUANTILES = (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99)
BINS = 20
TOP = 10
THREADS = 2
"""Columns whose samples are evaluated concurrently."""

_NUMBERS = (LoadType.LOAD_TYPE_LONG, LoadType.LOAD_TYPE_DOUBLE)


@dataclass(frozen=True)
class Measures:
    """Measures of the loadable values of one column."""

    values: int = 0
    extremes: Extremes = NO_VALUES
    """Of numbers and times."""
    lengths: Extremes = NO_VALUES
    """Of texts, in characters."""
    characters: int = 0
    sum: float | None = None
    """Of numbers; None without rows."""

    @staticmethod
    def of(value: pl.Expr, type: "LoadType.ValueType") -> pl.Expr:
        """The fields of this class for a column of a type, as a struct."""
        fields = {"values": value.count()}
        if type == LoadType.LOAD_TYPE_STRING:
            length = value.str.len_chars()
            fields["lengths"] = Extremes.of(length)
            fields["characters"] = length.cast(pl.Int64).sum()
        else:
            fields["extremes"] = Extremes.of(value)
        if type in _NUMBERS:
            # Integers of 15 digits overflow 64 bits after 9,000 rows, in Druid's SUM as well.
            fields["sum"] = value.cast(pl.Float64).sum()
        return pl.struct([expr.alias(name) for name, expr in fields.items()])

    def merge(self, other: "Measures") -> "Measures":
        """The measures of the values of both."""
        return Measures(
            self.values + other.values,
            self.extremes.merge(other.extremes),
            self.lengths.merge(other.lengths),
            self.characters + other.characters,
            other.sum if self.sum is None else self.sum + (other.sum or 0),
        )


class Profile:
    """Measures the loadable rows, batch by batch."""

    def __init__(self, loading: Loading) -> None:
        loaded = loading.loaded()
        self._positions = {name: fact.position for name, (fact, _) in loaded.items()}
        self._types = {name: loading.load_type(fact) for name, (fact, _) in loaded.items()}
        self._hashes = [
            pl.col(name).hash(seed=position + 1) for name, position in self._positions.items()
        ]
        self._measures = {name: Measures() for name in self._types}
        self._distinct = {name: Distinct() for name in self._types}
        self._row_hashes: list[pl.Series] = []
        self._rows_distinct: Distinct | None = None
        self._sample: list[pl.DataFrame] = []
        self._step = 1
        self.rows = 0

    def add(self, rows: pl.DataFrame) -> None:
        """Measures a batch."""
        self.rows += rows.height
        if not rows.height or not self._types:
            return
        found = (
            rows.lazy()
            .select(
                [Measures.of(pl.col(name), type).alias(name) for name, type in self._types.items()]
            )
            .collect()
            .row(0, named=True)
        )
        hashes = rows.select(self._hashes)
        for name, fields in found.items():
            self._measures[name] = self._measures[name].merge(from_struct(Measures, fields))
            self._distinct[name].add(hashes[name])
        row_hashes = hashes.to_series(0)
        for i in range(1, hashes.width):
            row_hashes = row_hashes ^ hashes.to_series(i)
        self._add_row_hashes(row_hashes)
        self._add_sample(rows)

    def _add_row_hashes(self, row_hashes: pl.Series) -> None:
        self._row_hashes.append(row_hashes)
        if self.rows <= EXACT_HASHES:
            return
        if self._rows_distinct is None:
            self._rows_distinct = Distinct()
        for hashes in self._row_hashes:
            self._rows_distinct.add(hashes)
        self._row_hashes = []

    def _add_sample(self, rows: pl.DataFrame) -> None:
        first = -(self.rows - rows.height) % self._step
        shown = [
            pl.col(name).str.head(SAMPLE_CHARS)
            if (measures.lengths.greatest or 0) > SAMPLE_CHARS
            else pl.col(name)
            for name, measures in self._measures.items()
        ]
        self._sample.append(rows.gather_every(self._step, first).select(shown))
        while sum(piece.height for piece in self._sample) >= 2 * SAMPLE_ROWS:
            self._step *= 2
            self._sample = [pl.concat(self._sample).gather_every(2)]

    def _sampled(self, name: str) -> pl.Series:
        pieces = [piece[name] for piece in self._sample]
        return pl.concat(pieces) if pieces else pl.Series(name, dtype=pl.Int64)

    def times(self) -> pl.Series:
        """The times of the sample, in milliseconds."""
        return self._sampled(TIME)

    def time_extremes(self) -> Extremes:
        """First and last time, in milliseconds."""
        return self._measures[TIME].extremes

    def fill(self, report: Report) -> None:
        """Adds the profile to the report and its columns."""
        report.sample_rows = sum(piece.height for piece in self._sample)
        report.duplicate_rows_approximate = self.rows > EXACT_HASHES
        if self._rows_distinct is not None or self._row_hashes:
            distinct = (
                pl.concat(self._row_hashes).n_unique()
                if self._rows_distinct is None
                else self._rows_distinct.count
            )
            # An estimate may exceed the number of rows.
            report.duplicate_rows = max(self.rows - distinct, 0)
        columns = {column.position: column for column in report.columns}
        with ThreadPoolExecutor(THREADS) as threads:
            for done in [
                threads.submit(self._fill_column, columns[position], name)
                for name, position in self._positions.items()
            ]:
                done.result()

    def _fill_column(self, column: Column, name: str) -> None:
        measures, distinct, type = self._measures[name], self._distinct[name], self._types[name]
        _fill_from_sample(column, type, self._sampled(name).drop_nulls())
        # The hash of null is distinct too.
        has_nulls = measures.values < self.rows
        column.distinct = max(min(distinct.count - has_nulls, measures.values), 0)
        column.distinct_approximate = distinct.approximate
        if measures.sum is not None:
            column.sum = measures.sum
        if not measures.values:
            return
        if type == LoadType.LOAD_TYPE_STRING:
            column.min_length = measures.lengths.least
            column.max_length = measures.lengths.greatest
            column.mean_length = measures.characters / measures.values
        else:
            column.min = _to_text(measures.extremes.least, type)
            column.max = _to_text(measures.extremes.greatest, type)
        if type in _NUMBERS:
            column.mean = column.sum / measures.values


def _to_text(value: float, type: "LoadType.ValueType") -> str:
    """A number in plain notation, or a time in milliseconds as ISO 8601 text."""
    if type == LoadType.LOAD_TYPE_TIME:
        time = pl.Series([value], dtype=pl.Int64).cast(pl.Datetime("ms"))
        return str(time.dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")[0])
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)


def _fill_from_sample(column: Column, type: "LoadType.ValueType", sample: pl.Series) -> None:
    column.sample_values = len(sample)
    if not len(sample):
        return
    if type != LoadType.LOAD_TYPE_STRING:
        ordered = sample.cast(pl.Float64).sort()
        for share in QUANTILES:
            column.quantiles.add(share=share, value=float(ordered.quantile(share) or 0))
        _fill_histogram(column, ordered)
    if type != LoadType.LOAD_TYPE_TIME:
        for value, count in _most_frequent(sample.alias("value").value_counts()).iter_rows():
            column.top_values.add(value=str(value), count=count)


def _most_frequent(counted: pl.DataFrame) -> pl.DataFrame:
    """The first TOP values by count, then value.

    With many distinct values most have the same count, so a full sort would be slow.
    """
    least = counted["count"].top_k(TOP).min()
    more = counted.filter(pl.col("count") > least).sort(
        ["count", "value"], descending=[True, False]
    )
    return more.vstack(
        counted.filter(pl.col("count") == least)
        .bottom_k(TOP - more.height, by="value")
        .sort("value")
    )


def _fill_histogram(column: Column, ordered: pl.Series) -> None:
    low, high = float(ordered[0]), float(ordered[-1])
    if low == high:
        column.histogram.edges.extend([low, high])
        column.histogram.counts.append(len(ordered))
        return
    width = (high - low) / BINS
    edges = [low + width * number for number in range(BINS)] + [high]
    starts = [
        0,
        *(int(start) for start in ordered.search_sorted(pl.Series(edges[1:-1]), side="left")),
        len(ordered),
    ]
    column.histogram.edges.extend(edges)
    column.histogram.counts.extend(end - start for start, end in pairwise(starts))
