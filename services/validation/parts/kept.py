"""The loadable rows on the local disk, typed, from the pass that counted them to the one that
writes the parts.
"""

import shutil
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from services.validation.columns.names import TIME
from services.validation.reading.table import ROW

PLAIN_BYTES = 768 * 1024**2
"""Rows are kept as they are up to so many bytes, and compressed beyond: columns of short values
take more room than their text.
"""
STRETCH_ROWS = 16_384
"""Rows that are read back at once at least."""
THREADS = 2
"""Files that are put in order at once."""

Edge = tuple[int, int]
"""The time and the row that a bucket begins with."""


class Kept:
    """Batches of rows, each in a file of its own."""

    def __init__(self, folder: Path) -> None:
        """What is in `folder` goes."""
        self._folder = folder
        self._files: list[Path] = []
        self._bytes = 0
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()

    def add(self, rows: pl.DataFrame) -> None:
        """Takes the next rows."""
        path = self._folder / f"{len(self._files):06}.ipc"
        self._write(path, rows)
        self._files.append(path)
        self._bytes += path.stat().st_size

    def _write(self, path: Path, rows: pl.DataFrame) -> None:
        rows.write_ipc(
            path,
            compression="uncompressed" if self._bytes < PLAIN_BYTES else "lz4",
            record_batch_size=STRETCH_ROWS,
        )

    def times(self) -> pl.DataFrame:
        """Time and place of all rows, by time."""
        return pl.concat(
            [pl.scan_ipc(path).select(TIME, ROW).collect() for path in self._files]
        ).sort(TIME, ROW)

    def all(self) -> pl.DataFrame:
        """All rows by time; those of one time in their order."""
        return _by_time([pl.read_ipc(path) for path in self._files])

    def cut(self, edges: Sequence[Edge]) -> "Buckets":
        """The rows in buckets between the edges. Takes the files apart."""

        def ordered(path: Path) -> list[int]:
            rows = pl.read_ipc(path)
            if not rows[TIME].is_sorted():
                rows = rows.sort(TIME, maintain_order=True)
                self._write(path, rows)
            return _places(rows, edges)

        with ThreadPoolExecutor(THREADS) as threads:
            return Buckets(
                dict(zip(self._files, threads.map(ordered, self._files), strict=True)),
                len(edges) + 1,
            )


class Buckets:
    """The rows by stretches of time."""

    def __init__(self, places: dict[Path, list[int]], count: int) -> None:
        """`places`: per file, where each of the `count` buckets begins among its rows, and the last
        one ends.
        """
        self._places = places
        self.count = count

    def all(self) -> Generator[pl.DataFrame, None, None]:
        """The rows of each bucket by time; those of one time in their order. The next ones are read
        meanwhile.
        """
        with ThreadPoolExecutor(1) as thread:
            following = thread.submit(self._read, 0)
            for number in range(1, self.count + 1):
                rows = following.result()
                if number < self.count:
                    following = thread.submit(self._read, number)
                yield rows

    def _read(self, number: int) -> pl.DataFrame:
        return _by_time(
            [
                pl.scan_ipc(path)
                .slice(places[number], places[number + 1] - places[number])
                .collect()
                for path, places in self._places.items()
                if places[number] < places[number + 1]
            ]
        )


def _by_time(pieces: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(pieces).sort(TIME, maintain_order=True).drop(ROW) if pieces else pl.DataFrame()


def _places(rows: pl.DataFrame, edges: Sequence[Edge]) -> list[int]:
    """Where the buckets begin and end among rows that are in order."""
    places = [0]
    for time, row in edges:
        place = int(rows[TIME].search_sorted(time, side="left"))
        if row:
            same = rows[ROW].slice(place, int(rows[TIME].search_sorted(time, side="right")) - place)
            place += int(same.search_sorted(row, side="left"))
        places.append(place)
    return [*places, rows.height]
