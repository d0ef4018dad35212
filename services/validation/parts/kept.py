"""The loadable rows on the local disk, between the pass over the file and the writing of parts."""

import shutil
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from services.validation.columns.names import TIME
from services.validation.reading.table import ROW

PLAIN_BYTES = 768 * 1024**2
"""Files above this total size are compressed: short values take more space than their text."""
RECORD_BATCH_ROWS = 16_384
"""Smallest number of rows that can be read back."""
THREADS = 2
"""Files that are sorted concurrently."""

Edge = tuple[int, int]
"""Time and row number at which a bucket begins."""


class Kept:
    """Batches of typed rows, one Arrow IPC file each."""

    def __init__(self, folder: Path) -> None:
        """Empties or creates `folder`."""
        self._folder = folder
        self._files: list[Path] = []
        self._bytes = 0
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    def add(self, rows: pl.DataFrame) -> None:
        """Stores a batch."""
        path = self._folder / f"{len(self._files):06}.ipc"
        self._write(path, rows)
        self._files.append(path)
        self._bytes += path.stat().st_size

    def _write(self, path: Path, rows: pl.DataFrame) -> None:
        rows.write_ipc(
            path,
            compression="uncompressed" if self._bytes < PLAIN_BYTES else "lz4",
            record_batch_size=RECORD_BATCH_ROWS,
        )

    def times(self) -> pl.DataFrame:
        """Time and row number of all rows, sorted by time."""
        return pl.concat(
            [pl.scan_ipc(path).select(TIME, ROW).collect() for path in self._files]
        ).sort(TIME, ROW)

    def all(self) -> pl.DataFrame:
        """All rows, sorted by time and then in the order of the file."""
        return _by_time([pl.read_ipc(path) for path in self._files])

    def cut(self, edges: Sequence[Edge]) -> "Buckets":
        """Splits the rows into buckets at the edges. Sorts the files by time."""

        def offsets(path: Path) -> list[int]:
            rows = pl.read_ipc(path)
            if not rows[TIME].is_sorted():
                rows = rows.sort(TIME, maintain_order=True)
                self._write(path, rows)
            return _offsets(rows, edges)

        with ThreadPoolExecutor(THREADS) as threads:
            return Buckets(
                dict(zip(self._files, threads.map(offsets, self._files), strict=True)),
                len(edges) + 1,
            )


class Buckets:
    """The rows in periods of time, without overlap."""

    def __init__(self, offsets: dict[Path, list[int]], count: int) -> None:
        """`offsets`: per file, the start of each of the `count` buckets and the end of the last."""
        self._offsets = offsets
        self.count = count

    def all(self) -> Generator[pl.DataFrame, None, None]:
        """The rows of each bucket, sorted by time and then in the order of the file.

        Reads the next bucket ahead.
        """
        with ThreadPoolExecutor(1) as thread:
            ahead = thread.submit(self._read, 0)
            for number in range(1, self.count + 1):
                rows = ahead.result()
                if number < self.count:
                    ahead = thread.submit(self._read, number)
                yield rows

    def _read(self, number: int) -> pl.DataFrame:
        return _by_time(
            [
                pl.scan_ipc(path)
                .slice(offsets[number], offsets[number + 1] - offsets[number])
                .collect()
                for path, offsets in self._offsets.items()
                if offsets[number] < offsets[number + 1]
            ]
        )


def _by_time(pieces: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(pieces).sort(TIME, maintain_order=True).drop(ROW) if pieces else pl.DataFrame()


def _offsets(rows: pl.DataFrame, edges: Sequence[Edge]) -> list[int]:
    """Starts of the buckets among sorted rows, and the end of the last one."""
    offsets = [0]
    for time, row in edges:
        offset = int(rows[TIME].search_sorted(time, side="left"))
        if row:
            end = int(rows[TIME].search_sorted(time, side="right"))
            offset += int(rows[ROW].slice(offset, end - offset).search_sorted(row, side="left"))
        offsets.append(offset)
    return [*offsets, rows.height]
