"""The profile of what is loaded: counts, extremes, means, lengths and duplicate rows of all rows; distinct values approximately; quantiles,
histograms and most frequent values from an even sample, which is all rows where there are few.

Everything comes out of the one pass that also gives the sums: `expressions` go into it, `fill` takes what came of them.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import polars as pl

from services.validation.column_types import ColumnFacts
from services.validation.loading import Loading
from services.validation.names import TIME
from services.validation.table import ROW
from sluice.validation.v1.validation_pb2 import Column, LoadType, Report

SAMPLE_ROWS = 250_000
"""A sample has at least so many rows, or all."""
SAMPLE_CHARS = 64
"""Texts are kept so long in the sample."""
EXACT_HASHES = 20_000_000
"""Up to so many rows duplicates are counted exactly (by a hash of 64 bits); beyond approximately, for the memory that it takes."""
QUANTILES = (0.01, 0.05, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 0.95, 0.99)
BINS = 20
TOP = 10

_NUMBERS = (LoadType.LOAD_TYPE_LONG, LoadType.LOAD_TYPE_DOUBLE)


def _loaded(loading: Loading) -> list[tuple[ColumnFacts, str, "LoadType.ValueType"]]:
    """The columns that are loaded: facts, name in the frame of loadable rows, and type there."""
    found = []
    for fact, name in zip(loading.columns, loading.names, strict=True):
        kind = loading.load_type(fact)
        if kind != LoadType.LOAD_TYPE_UNSPECIFIED:
            found.append((fact, TIME if kind == LoadType.LOAD_TYPE_TIME else name, kind))
    return found


def expressions(loading: Loading, rows: int) -> list[pl.Expr]:
    """What the pass over the loadable rows has to compute; `rows` are those of the table."""
    step = max(1, rows // SAMPLE_ROWS)
    sampled = pl.col(ROW) % step == 0
    wanted: list[pl.Expr] = [sampled.sum().alias("sampled")]
    row_hash: pl.Expr | None = None
    for fact, name, kind in _loaded(loading):
        at, value = fact.position, pl.col(name)
        shown = value.str.head(SAMPLE_CHARS) if kind == LoadType.LOAD_TYPE_STRING else value
        wanted += [
            value.count().alias(f"count{at}"),
            value.approx_n_unique().alias(f"distinct{at}"),
            (shown if step == 1 else shown.filter(sampled)).implode().alias(f"sample{at}"),
        ]
        if kind == LoadType.LOAD_TYPE_STRING:
            length = value.str.len_chars()
            wanted += [length.min().alias(f"shortest{at}"), length.max().alias(f"longest{at}"), length.mean().alias(f"length{at}")]
        hashed = value.hash(seed=at + 1)
        row_hash = hashed if row_hash is None else row_hash ^ hashed
    if row_hash is not None:
        wanted.append((row_hash.n_unique() if rows <= EXACT_HASHES else row_hash.approx_n_unique()).alias("rows_distinct"))
    return wanted


def fill(report: Report, loading: Loading, found: Mapping[str, Any]) -> None:
    """Completes the report's columns with what the pass found."""
    rows = int(found["rows"])
    report.sample_rows = int(found["sampled"] or 0)
    report.duplicate_rows_approximate = loading.table.rows > EXACT_HASHES
    if "rows_distinct" in found:
        # An approximation may count a little too many.
        report.duplicate_rows = max(rows - int(found["rows_distinct"]), 0)
    columns = {column.position: column for column in report.columns}
    for fact, _, kind in _loaded(loading):
        at, column = fact.position, columns[fact.position]
        values = int(found[f"count{at}"])
        # Nothing counts as a value of its own there.
        column.distinct = max(min(int(found[f"distinct{at}"]) - (values < rows), values), 0)
        column.distinct_approximate = True
        if not values:
            continue
        if kind == LoadType.LOAD_TYPE_STRING:
            column.min_length, column.max_length, column.mean_length = found[f"shortest{at}"], found[f"longest{at}"], found[f"length{at}"]
        if kind in _NUMBERS:
            column.mean = column.sum / values
        _sampled(column, kind, found[f"sample{at}"].drop_nulls())


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
        counted = sample.alias("value").value_counts().sort(["count", "value"], descending=[True, False]).head(TOP)
        for value, count in counted.iter_rows():
            column.top_values.add(value=str(value), count=count)


def _histogram(column: Column, ordered: pl.Series) -> None:
    low, high = float(ordered[0]), float(ordered[-1])
    if low == high:
        column.histogram.edges.extend([low, high])
        column.histogram.counts.append(len(ordered))
        return
    width = (high - low) / BINS
    edges = [low + width * number for number in range(BINS)] + [high]
    starts = [0, *(int(place) for place in ordered.search_sorted(pl.Series(edges[1:-1]), side="left")), len(ordered)]
    column.histogram.edges.extend(edges)
    column.histogram.counts.extend(end - start for start, end in pairwise(starts))
