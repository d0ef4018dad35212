"""Pass 2: the load-ready parts, sorted by time, with memory that does not grow with the file."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from services.validation.loading import Loading
from services.validation.names import TIME
from services.validation.table import ROW

ROWS_OF_ONE_PART = 200_000
"""Tables of up to this many rows stay in one part."""
PART_BYTES = 48 * 1024 * 1024
SAMPLED_FROM_ROWS = 1_000_000
"""Rows of a table whose buckets are told from its sample; buckets of a smaller one are exactly equal."""
SAMPLED_PER_BUCKET = 200
BUCKET_BYTES = 32 * 1024 * 1024
"""Text that is sorted in memory at once."""


@dataclass(frozen=True)
class WrittenPart:
    """A part on the local disk."""

    path: Path
    rows: int
    min_millis: int
    max_millis: int


def write(loading: Loading, rows: int, folder: Path, max_parts: int, progress: Callable[[int], None]) -> list[WrittenPart]:
    """Writes the loadable rows, `rows` of them, as 000.csv, 001.csv, ... Every part holds a stretch of time of its own.

    Raises:
        RuntimeError: the rows written are not `rows`.
    """
    folder.mkdir()
    size = loading.table.size
    count = 1 if rows <= ROWS_OF_ONE_PART else min(max_parts, max(2, -(-size // PART_BYTES)))
    per_part = max(1, -(-size // (count * BUCKET_BYTES)))
    if count * per_part == 1:
        frame = loading.loadable().collect(engine="streaming")
        written = [_Writing(folder / "000.csv").add(frame).done()]
        progress(rows)
    else:
        written = _in_buckets(loading, rows, folder, count, per_part, progress)
    if (total := sum(part.rows for part in written)) != rows:
        raise RuntimeError(f"{total} rows were written to the parts, {rows} were counted")
    return written


def _in_buckets(loading: Loading, rows: int, folder: Path, count: int, per_part: int, progress: Callable[[int], None]) -> list[WrittenPart]:
    buckets = folder.with_name("buckets")
    frame = loading.loadable()
    edges = _sampled_edges(loading, rows, count * per_part) or _edges(frame.select(TIME, ROW), count * per_part)
    bucket = pl.sum_horizontal(
        [((pl.col(TIME) > time) | ((pl.col(TIME) == time) & (pl.col(ROW) >= row))).cast(pl.UInt16) for time, row in edges]
    )
    frame.with_columns(bucket.alias("#bucket")).sink_ipc(
        pl.PartitionBy(buckets, key="#bucket", include_key=False), compression="lz4", engine="streaming", maintain_order=False, mkdir=True
    )
    parts = []
    done = 0
    for number in range(count):
        writing = _Writing(folder / f"{number:03}.csv")
        for within in range(per_part):
            source = buckets / f"#bucket={number * per_part + within}"
            if not source.exists():
                source = buckets / f"%23bucket={number * per_part + within}"
            if not source.exists():
                continue
            writing.add(pl.read_ipc(source / "*.ipc"))
            shutil.rmtree(source)
            progress(done + writing.rows)
        part = writing.done()
        if not part.rows:
            part.path.unlink()
            continue
        parts.append(part)
        done += part.rows
    buckets.rmdir()
    return parts


def _sampled_edges(loading: Loading, rows: int, buckets: int) -> Sequence[tuple[int, int]]:
    """Times at which buckets begin, told from the table's sample; none where it is too small, or many rows have one time."""
    if rows < SAMPLED_FROM_ROWS or loading.time is None:
        return []
    times = loading.table.sample.select(loading.time.typed(loading.reading).dt.epoch("ms")).to_series().drop_nulls().sort()
    if len(times) < buckets * SAMPLED_PER_BUCKET:
        return []
    starts = [times[len(times) * number // buckets] for number in range(1, buckets)]
    # Each edge has to leave rows on both sides; a time that takes a bucket by itself is cut by rows.
    return [(time, 0) for time in starts] if len(set(starts)) == len(starts) else []


def _edges(times: pl.LazyFrame, buckets: int) -> Sequence[tuple[int, int]]:
    """Time and row at which each bucket but the first begins: equal shares of the rows, also where all times are the same."""
    ordered = times.collect(engine="streaming").sort(TIME, ROW)
    share = len(ordered) / buckets
    starts = sorted({round(share * number) for number in range(1, buckets)})
    return [(time, row) for time, row in ordered[starts].iter_rows()]


class _Writing:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("wb")
        self.rows = 0
        self._min: int | None = None
        self._max = 0

    def add(self, frame: pl.DataFrame) -> "_Writing":
        """Rows that are later than all before them."""
        ordered = frame.sort(TIME, ROW).drop(ROW)
        ordered.write_csv(self._file, include_header=not self.rows)
        if len(ordered):
            self._min = ordered[TIME][0] if self._min is None else self._min
            self._max = ordered[TIME][-1]
        self.rows += len(ordered)
        return self

    def done(self) -> WrittenPart:
        self._file.close()
        return WrittenPart(self._path, self.rows, self._min or 0, self._max)
