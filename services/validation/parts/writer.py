"""Writes the parts, sorted by time, in bounded memory."""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import polars as pl

from services.validation.columns.names import TIME
from services.validation.parts.kept import Buckets, Edge, Kept

ROWS_OF_ONE_PART = 200_000
"""Tables with up to this many rows have one part."""
PART_BYTES = 48 * 1024 * 1024
SAMPLED_FROM_ROWS = 1_000_000
"""Rows from which a table is split at times of its sample; a smaller one is split exactly."""
SAMPLED_PER_BUCKET = 200
BUCKET_BYTES = 64 * 1024 * 1024
"""Text that is sorted in memory."""


@dataclass(frozen=True)
class WrittenPart:
    """A part on the local disk."""

    path: Path
    rows: int
    min_millis: int
    max_millis: int


def write(
    kept: Kept,
    header: Sequence[str],
    rows: int,
    size: int,
    times: pl.Series,
    folder: Path,
    max_parts: int,
    progress: Callable[[int], None],
) -> list[WrittenPart]:
    """Writes the loadable rows to 000.csv, 001.csv, ... in `folder`. The parts' times do not overlap.

    Args:
        kept: The loadable rows.
        header: The names in Druid of the kept columns.
        rows: Number of loadable rows.
        size: Bytes of the table's text.
        times: An even sample of the rows' times.
        folder: Where to create the files.
        max_parts: Limit of the number of parts.
        progress: Called with the number of rows written.

    Raises:
        RuntimeError: the number of rows written is not `rows`.
    """
    folder.mkdir()
    count = 1 if rows <= ROWS_OF_ONE_PART else min(max_parts, max(2, -(-size // PART_BYTES)))
    per_part = max(1, -(-size // (count * BUCKET_BYTES)))
    if count * per_part == 1:
        written = [_PartWriter(folder / "000.csv", header).add(kept.all()).close()]
        progress(rows)
    else:
        edges = _sampled_edges(times, rows, count * per_part) or _edges(kept, count * per_part)
        written = _in_buckets(kept.cut(edges), header, per_part, folder, progress)
    if (total := sum(part.rows for part in written)) != rows:
        raise RuntimeError(f"wrote {total} rows to the parts, but counted {rows}")
    return written


def _in_buckets(
    buckets: Buckets,
    header: Sequence[str],
    per_part: int,
    folder: Path,
    progress: Callable[[int], None],
) -> list[WrittenPart]:
    parts: list[WrittenPart] = []
    done = 0
    with closing(buckets.all()) as ordered:
        for _ in range(0, buckets.count, per_part):
            writer = _PartWriter(folder / f"{len(parts):03}.csv", header)
            for rows in islice(ordered, per_part):
                writer.add(rows)
                progress(done + writer.rows)
            part = writer.close()
            if not part.rows:
                part.path.unlink()
                continue
            parts.append(part)
            done += part.rows
    return parts


def _sampled_edges(times: pl.Series, rows: int, buckets: int) -> Sequence[Edge]:
    """Edges of the buckets from a sample of times.

    Empty if the sample is too small, or many rows have the same time.
    """
    if rows < SAMPLED_FROM_ROWS or len(times) < buckets * SAMPLED_PER_BUCKET:
        return []
    ordered = times.sort()
    starts = [ordered[len(ordered) * number // buckets] for number in range(1, buckets)]
    # A time that fills a bucket by itself must be split by row numbers.
    return [(time, 0) for time in starts] if len(set(starts)) == len(starts) else []


def _edges(kept: Kept, buckets: int) -> Sequence[Edge]:
    """Edges of buckets with equal numbers of rows, even if all times are the same."""
    ordered = kept.times()
    share = len(ordered) / buckets
    starts = sorted({round(share * number) for number in range(1, buckets)})
    return [(time, row) for time, row in ordered[starts].iter_rows()]


class _PartWriter:
    """Writes one part."""

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self._path, self._header = path, header
        self._file = path.open("wb")
        self.rows = 0
        self._min: int | None = None
        self._max = 0

    def add(self, ordered: pl.DataFrame) -> "_PartWriter":
        """Appends sorted rows, which are later than all before them."""
        if len(ordered):
            self._min = ordered[TIME][0] if self._min is None else self._min
            self._max = ordered[TIME][-1]
            ordered.columns = list(self._header)
            ordered.write_csv(self._file, include_header=not self.rows)
        self.rows += len(ordered)
        return self

    def close(self) -> WrittenPart:
        self._file.close()
        return WrittenPart(self._path, self.rows, self._min or 0, self._max)
