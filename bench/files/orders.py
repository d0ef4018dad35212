"""A regular CSV of orders, 11 columns, about 90 bytes a row; the same bytes for the same number of
rows.
"""

from pathlib import Path

import polars as pl

BLOCK_ROWS = 500_000
FIRST_SECOND = 1_640_995_200
SPAN_S = 730 * 86_400
BAD_EVERY = 10_000
"""In the damaged twin, one row of so many has a field too much."""


def _chance(seed: int, below: int) -> pl.Expr:
    """Whole numbers from 0 up to, not with, `below`, told by the row's number."""
    return (pl.col("order_id").hash(seed) % below).cast(pl.Int64)


def _block(first: int, rows: int) -> pl.DataFrame:
    quantity, cents = _chance(6, 20) + 1, _chance(7, 50_000) + 100
    return pl.select(pl.int_range(first, first + rows, dtype=pl.Int64).alias("order_id")).select(
        pl.from_epoch(FIRST_SECOND + _chance(1, SPAN_S), time_unit="s")
        .dt.strftime("%Y-%m-%d %H:%M:%S")
        .alias("order_time"),
        "order_id",
        _pick(2, ["north", "south", "east", "west", "centre"]).alias("region"),
        pl.format("product {}", _chance(3, 400)).alias("product"),
        _pick(4, ["web", "store", "phone"]).alias("channel"),
        pl.format("C-{}", _chance(5, 90_000) + 10_000).alias("customer"),
        quantity.alias("quantity"),
        (cents / 100).alias("unit_price"),
        (quantity * cents / 100).round(2).alias("revenue"),
        pl.when(_chance(8, 4) == 0).then(_chance(8, 40) / 100).alias("discount"),
        pl.format("lot {}", _chance(9, 1_000_000)).alias("note"),
    )


def _pick(seed: int, values: list[str]) -> pl.Expr:
    return pl.lit(pl.Series(values)).gather(_chance(seed, len(values)))


def regular(path: Path, rows: int) -> Path:
    """The file, made once."""
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
    """`source` with a field too much in one row of BAD_EVERY, made once."""
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
    """`source` with another name for its time and none for a time in its stead, made once."""
    if not path.exists():
        partial = path.with_suffix(".partial")
        with source.open("rb") as reading, partial.open("wb") as writing:
            writing.write(reading.readline().replace(b"order_time", b"placed"))
            while block := reading.read(4 * 1024 * 1024):
                writing.write(block)
        partial.rename(path)
    return path
