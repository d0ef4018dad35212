"""The result of every reader: the rows of a file as text, before their validation."""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import Dialect, FileFormat, Sheet

ROW = "#"
"""Name of the column that numbers the rows from 0.

Frames use internal column names: Polars could take a name of the file for a pattern (`^a.*$`, `*`),
or it could equal an internal one. The parts have the real names.
"""
NO_HEADER = "The first row contains numbers or times like the rows below it, not names."
"""Text of the warning NO_HEADER."""

BATCH_ROWS = 150_000


def column(position: int) -> str:
    """Return the name of a column in a frame, given its position in the file from 0."""
    return f"c{position}"


class LineMap:
    """The line of each row in the file, without a number per row.

    Rows follow each other line by line, except after broken, blank and multi-line rows.
    """

    def __init__(self) -> None:
        self._rows = array("q")
        self._lines = array("q")

    def add(self, row: int, line: int) -> None:
        """Add a row (from 0) that begins on a line (from 1).

        Rows are added in ascending order. A row that follows directly on the last may be left out.
        """
        if not self._rows or line - row != self._lines[-1] - self._rows[-1]:
            self._rows.append(row)
            self._lines.append(line)

    def line(self, row: int) -> int:
        """Return the line of a row."""
        index = bisect_right(self._rows, row) - 1
        return self._lines[index] + row - self._rows[index]


@dataclass(frozen=True)
class BrokenRow:
    """A record that breaks the grammar or does not fit the header."""

    line: int
    reason: "ErrorReason.ValueType"
    message: str
    found: str
    """Number of fields, or the raw text of a record whose fields are unknown."""
    fields: list[str]


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of a table."""

    header: list[str]
    """Column names in the file."""
    frame: pl.DataFrame
    """ROW, then one text column per name."""
    line_breaks: bool
    """Whether a value may contain a line break or another character that Druid takes for structure.
    """


Take = Callable[[Batch], None]


@dataclass(frozen=True)
class Table:
    """A table whose rows all have the header's number of fields."""

    format: "FileFormat.ValueType"
    header: list[str]
    """Column names in the file."""
    frame: Callable[[], pl.LazyFrame]
    """ROW, then one text column per name. The rows may be in any order; ROW has the file's."""
    rows: int
    lines: LineMap
    size: int
    """Bytes of the text that `frame` reads; decides the number of parts."""
    line_breaks: bool
    """As in Batch."""
    blank_rows: int = 0
    """Blank rows, which are not in `frame`."""
    broken_rows: int = 0
    broken_path: Path | None = None
    """File of the broken rows, for `structure.read_broken`."""
    dialect: Dialect | None = None
    sheet: Sheet | None = None
    has_header: bool = True
    damage: Problem | None = None
    """Why the header cannot be trusted. The table is shown, but not loaded."""
    footer_rows: int = 0
    """Rows below the table, which are not in `frame` and are skipped like blank ones."""
    warnings: list[Problem] = field(default_factory=list)
    guide_columns: int = 0
    """Number of guide columns that were removed: the file was a rejects file."""

    def batches(self) -> Iterator[Batch]:
        """Yield all rows in the file's order."""
        for frame in self.frame().collect_batches(
            chunk_size=BATCH_ROWS, maintain_order=True, engine="streaming"
        ):
            yield Batch(self.header, frame, self.line_breaks)
