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
"""Name of the column that numbers the rows from 0. In all frames columns have names of ours: a name
of the user's could be taken for a pattern (`^a.*$`, `*`) or be one of ours. They are in the parts'
header again."""

BATCH_ROWS = 150_000


def column(position: int) -> str:
    """Name of a column in a frame, by its place in the file from 0."""
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
    """A record that the grammar or the header refuses."""

    line: int
    reason: "ErrorReason.ValueType"
    message: str
    found: str
    """Fields found, or the raw text of a record whose fields cannot be told."""
    fields: list[str]


@dataclass(frozen=True)
class Batch:
    """Some rows of a table, in its order."""

    header: list[str]
    """Names as they stand in the file."""
    frame: pl.DataFrame
    """ROW, then one text column per name."""
    line_breaks: bool
    """Whether a value of these rows may hold a line break or another character that Druid takes for
    structure.
    """


Take = Callable[[Batch], None]


@dataclass(frozen=True)
class Table:
    """A table in a form that is proven regular."""

    format: "FileFormat.ValueType"
    header: list[str]
    """Names as they stand in the file."""
    frame: Callable[[], pl.LazyFrame]
    """ROW, then one text column per name. Rows may come in any order; ROW tells the file's."""
    rows: int
    lines: LineMap
    size: int
    """Bytes of the text that `frame` reads; decides how the parts are cut."""
    line_breaks: bool
    """Whether a value may hold a line break or another character that Druid takes for structure."""
    blank_rows: int = 0
    """Rows that are not in `frame`, as they are blank."""
    broken_rows: int = 0
    broken_path: Path | None = None
    """CSV of the broken rows: line, code, message, found, fields..."""
    dialect: Dialect | None = None
    sheet: Sheet | None = None
    has_header: bool = True
    damage: Problem | None = None
    """Why the header is not to be trusted: the table is shown, and not loaded."""
    footer_rows: int = 0
    """Rows that are none of the table; not in `frame`, and skipped like blank ones."""
    warnings: list[Problem] = field(default_factory=list)
    guide_columns: int = 0
    """Columns of ours that stood before the user's, and are taken off: this was a rejects file."""

    def batches(self) -> Iterator[Batch]:
        """All rows, in their order."""
        for frame in self.frame().collect_batches(
            chunk_size=BATCH_ROWS, maintain_order=True, engine="streaming"
        ):
            yield Batch(self.header, frame, self.line_breaks)
