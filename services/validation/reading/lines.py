"""Which line of the file a row came from, without a number per row."""

from array import array
from bisect import bisect_right


class LineMap:
    """Rows follow each other line by line except where a break says otherwise (damaged, blank or
    multi-line rows before it).
    """

    def __init__(self) -> None:
        self._rows = array("q")
        self._lines = array("q")

    def add(self, row: int, line: int) -> None:
        """Row `row` (from 0) starts on `line` (from 1). Rows are added in ascending order; those
        that just follow on need not be.
        """
        if not self._rows or line - row != self._lines[-1] - self._rows[-1]:
            self._rows.append(row)
            self._lines.append(line)

    def line(self, row: int) -> int:
        """The line of a row."""
        index = bisect_right(self._rows, row) - 1
        return self._lines[index] + row - self._rows[index]
