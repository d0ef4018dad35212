"""Reproducible CSV files of orders: 11 columns, about 90 bytes per row."""

from pathlib import Path

import polars as pl

BLOCK_ROWS = 500_000
FIRST_SECOND = 1_640_995_200
SPAN_S = 730 * 86_400
BAD_EVERY = 10_000
"""In the damaged copy, one of this many rows has a surplus field."""


def _random(seed: int, below: int) -> pl.Expr:
    """Integers in [0, below), derived from the row number."""
    return (pl.col("order_id").hash(seed) % below).cast(pl.Int64)


def _block(first: int, rows: int) -> pl.DataFrame:
    quantity, cents = _random(6, 20) + 1, _random(7, 50_000) + 100
    return pl.select(pl.int_range(first, first + rows, dtype=pl.Int64).alias("order_id")).select(
        pl.from_epoch(FIRST_SECOND + _random(1, SPAN_S), time_unit="s")
        .dt.strftime("%Y-%m-%d %H:%M:%S")
        .alias("order_time"),
        "order_id",
        _pick(2, ["north", "south", "east", "west", "centre"]).alias("region"),
        pl.format("product {}", _random(3, 400)).alias("product"),
        _pick(4, ["web", "store", "phone"]).alias("channel"),
        pl.format("C-{}", _random(5, 90_000) + 10_000).alias("customer"),
        quantity.alias("quantity"),
        (cents / 100).alias("unit_price"),
        (quantity * cents / 100).round(2).alias("revenue"),
        pl.when(_random(8, 4) == 0).then(_random(8, 40) / 100).alias("discount"),
        pl.format("lot {}", _random(9, 1_000_000)).alias("note"),
    )


def _pick(seed: int, values: list[str]) -> pl.Expr:
    return pl.lit(pl.Series(values)).gather(_random(seed, len(values)))


def regular(path: Path, rows: int) -> Path:
    """Create the file, once."""
    if not path.exists():
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            for first in range(0, rows, BLOCK_ROWS):
                _block(first, min(BLOCK_ROWS, rows - first)).write_csv(
                    file, include_header=first == 0
                )
        partial.rename(path)
    return path


def damaged(path: Path, source: Path) -> Path:
    """Create, once, a copy of `source` with a surplus field in one of BAD_EVERY rows."""
    if not path.exists():
        partial = path.with_suffix(".partial")
        with source.open("rb") as reading, partial.open("wb") as writing:
            for number, line in enumerate(reading):
                writing.write(
                    line
                    if number % BAD_EVERY != BAD_EVERY // 2
                    else line.removesuffix(b"\n") + b",surplus\n"
                )
        partial.rename(path)
    return path


def without_time(path: Path, source: Path) -> Path:
    """Create, once, a copy of `source` whose time column does not have a time-like name."""
    if not path.exists():
        partial = path.with_suffix(".partial")
        with source.open("rb") as reading, partial.open("wb") as writing:
            writing.write(reading.readline().replace(b"order_time", b"placed"))
            while block := reading.read(4 * 1024 * 1024):
                writing.write(block)
        partial.rename(path)
    return path
