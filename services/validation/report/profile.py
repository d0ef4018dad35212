"""The profile of what is loaded: counts, extremes, sums, lengths and duplicate rows of all rows;
distinct values by a sketch; quantiles, histograms and most frequent values from an even sample,
which is all rows where there are few.

The rows come batch by batch; memory does not grow with them, but for 8 bytes a row that tell
duplicates.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from operator import add
from typing import Any

import polars as pl

from services.validation.columns.column_types import ColumnFacts
from services.validation.columns.names import TIME
from services.validation.parts.loading import Loading
from services.validation.report.distinct import Distinct
from sluice.validation.v1.validation_pb2 import Column, LoadType, Report

SAMPLE_ROWS = 250_000
"""A sample has at least so many rows, or all, and less than twice as many."""
SAMPLE_CHARS = 64
"""Texts are kept so long in the sample."""
EXACT_HASHES = 20_000_000
"""Up to so many rows duplicates are counted exactly (by a hash of 64 bits); beyond approximately,
for the memory that it takes.
"""
QUANTILES = (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99)
BINS = 20
TOP = 10
THREADS = 2
"""Columns whose samples are looked at at once."""

_NUMBERS = (LoadType.LOAD_TYPE_LONG, LoadType.LOAD_TYPE_DOUBLE)


def _loaded(loading: Loading) -> list[tuple[ColumnFacts, str, "LoadType.ValueType"]]:
    """The columns that are loaded: facts, name in the frame of loadable rows, and type there."""
    return [(fact, name, loading.load_type(fact)) for name, (fact, _) in loading.loaded().items()]


class Profile:
    """Takes the loadable rows batch by batch, and tells what the report says of them."""

    def __init__(self, loading: Loading) -> None:
        self._columns = _loaded(loading)
        self._measures: list[tuple[str, pl.Expr, Callable[[Any, Any], Any]]] = [
            ("rows", pl.len(), add)
        ]
        self._hashes: list[pl.Expr] = []
        self._distinct: dict[int, Distinct] = {}
        self._found: dict[str, Any] = {}
        self._row_hashes: list[pl.Series] = []
        self._rows_distinct: Distinct | None = None
        self._rows = 0
        self._sample: list[pl.DataFrame] = []
        self._step = 1
        for fact, name, kind in self._columns:
            at, value = fact.position, pl.col(name)
            self._hashes.append(value.hash(seed=at + 1).alias(name))
            self._distinct[at] = Distinct()
            self._measures.append((f"count{at}", value.count(), add))
            if kind == LoadType.LOAD_TYPE_STRING:
                length = value.str.len_chars()
                self._measures += [
                    (f"shortest{at}", length.min(), min),
                    (f"longest{at}", length.max(), max),
                ]
                self._measures.append((f"characters{at}", length.cast(pl.Int64).sum(), add))
            else:
                self._measures += [(f"min{at}", value.min(), min), (f"max{at}", value.max(), max)]
            if kind in _NUMBERS:
                # Whole numbers of 15 digits overflow 64 bits after 9,000 rows; Druid's own SUM of a
                # BIGINT would too.
                self._measures.append((f"sum{at}", value.cast(pl.Float64).sum(), add))

    def add(self, rows: pl.DataFrame) -> None:
        """Takes the next rows."""
        if not rows.height or not self._columns:
            self._rows += rows.height
            return
        found = (
            rows.lazy()
            .select([measure.alias(key) for key, measure, _ in self._measures])
            .collect()
            .row(0, named=True)
        )
        for key, _, merge in self._measures:
            known, value = self._found.get(key), found[key]
            self._found[key] = (
                merge(known, value)
                if known is not None and value is not None
                else value
                if known is None
                else known
            )
        hashes = rows.select(self._hashes)
        for fact, name, _ in self._columns:
            self._distinct[fact.position].add(hashes[name])
        of_rows = hashes.to_series(0)
        for place in range(1, hashes.width):
            of_rows = of_rows ^ hashes.to_series(place)
        self._rows += rows.height
        self._duplicates(of_rows)
        self._take_sample(rows)

    def _duplicates(self, of_rows: pl.Series) -> None:
        self._row_hashes.append(of_rows)
        if self._rows <= EXACT_HASHES:
            return
        if self._rows_distinct is None:
            self._rows_distinct = Distinct()
        for hashes in self._row_hashes:
            self._rows_distinct.add(hashes)
        self._row_hashes = []

    def _take_sample(self, rows: pl.DataFrame) -> None:
        first = -(self._rows - rows.height) % self._step
        long = [
            name
            for fact, name, _ in self._columns
            if (self._found.get(f"longest{fact.position}") or 0) > SAMPLE_CHARS
        ]
        shown = [
            pl.col(name).str.head(SAMPLE_CHARS) if name in long else pl.col(name)
            for _, name, _ in self._columns
        ]
        self._sample.append(rows.gather_every(self._step, first).select(shown))
        while sum(piece.height for piece in self._sample) >= 2 * SAMPLE_ROWS:
            self._step *= 2
            self._sample = [pl.concat(self._sample).gather_every(2)]

    def found(self) -> dict[str, Any]:
        """What was found in all rows."""
        made: dict[str, Any] = {"rows": self._rows, "sampled": 0, **self._found}
        sample = (
            pl.concat(self._sample)
            if self._sample
            else pl.DataFrame(schema=[name for _, name, _ in self._columns])
        )
        for fact, name, kind in self._columns:
            at = fact.position
            made.setdefault(f"count{at}", 0)
            made[f"distinct{at}"], made[f"sample{at}"] = self._distinct[at], sample[name]
            if kind == LoadType.LOAD_TYPE_STRING and made[f"count{at}"]:
                made[f"length{at}"] = made[f"characters{at}"] / made[f"count{at}"]
        made["sampled"] = sample.height
        if self._rows_distinct is not None:
            made["rows_distinct"] = self._rows_distinct.count
        elif self._row_hashes:
            made["rows_distinct"] = pl.concat(self._row_hashes).n_unique()
        return made

    def times(self) -> pl.Series:
        """The times of the sample."""
        return (
            pl.concat([piece[TIME] for piece in self._sample])
            if self._sample
            else pl.Series(TIME, dtype=pl.Int64)
        )


def fill(report: Report, loading: Loading, found: Mapping[str, Any]) -> None:
    """Completes the report's columns with what the pass found."""
    rows = int(found["rows"])
    report.sample_rows = int(found["sampled"] or 0)
    report.duplicate_rows_approximate = rows > EXACT_HASHES
    if "rows_distinct" in found:
        # An approximation may count a little too many.
        report.duplicate_rows = max(rows - int(found["rows_distinct"]), 0)
    columns = {column.position: column for column in report.columns}
    loaded = _loaded(loading)
    with ThreadPoolExecutor(THREADS) as threads:
        for done in [
            threads.submit(
                _sampled, columns[fact.position], kind, found[f"sample{fact.position}"].drop_nulls()
            )
            for fact, _, kind in loaded
        ]:
            done.result()
    for fact, _, kind in loaded:
        at, column = fact.position, columns[fact.position]
        values = int(found[f"count{at}"])
        # Nothing counts as a value of its own there.
        distinct: Distinct = found[f"distinct{at}"]
        column.distinct = max(min(distinct.count - (values < rows), values), 0)
        column.distinct_approximate = distinct.approximate
        if not values:
            continue
        if kind == LoadType.LOAD_TYPE_STRING:
            column.min_length, column.max_length, column.mean_length = (
                found[f"shortest{at}"],
                found[f"longest{at}"],
                found[f"length{at}"],
            )
        if kind in _NUMBERS:
            column.mean = column.sum / values


def _sampled(column: Column, kind: "LoadType.ValueType", sample: pl.Series) -> None:
    """What the sample tells of a column."""
    column.sample_values = len(sample)
    if not len(sample):
        return
    if kind != LoadType.LOAD_TYPE_STRING:
        ordered = sample.cast(pl.Float64).sort()
        for share in QUANTILES:
            column.quantiles.add(share=share, value=float(ordered.quantile(share) or 0))
        _histogram(column, ordered)
    if kind != LoadType.LOAD_TYPE_TIME:
        for value, count in _most_frequent(sample.alias("value").value_counts()).iter_rows():
            column.top_values.add(value=str(value), count=count)


def _most_frequent(counted: pl.DataFrame) -> pl.DataFrame:
    """The first TOP by count, then value. Most of many values have the same count: these need no
    full sort.
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


def _histogram(column: Column, ordered: pl.Series) -> None:
    low, high = float(ordered[0]), float(ordered[-1])
    if low == high:
        column.histogram.edges.extend([low, high])
        column.histogram.counts.append(len(ordered))
        return
    width = (high - low) / BINS
    edges = [low + width * number for number in range(BINS)] + [high]
    starts = [
        0,
        *(int(place) for place in ordered.search_sorted(pl.Series(edges[1:-1]), side="left")),
        len(ordered),
    ]
    column.histogram.edges.extend(edges)
    column.histogram.counts.extend(end - start for start, end in pairwise(starts))
