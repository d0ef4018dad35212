"""Where the scan of a CSV file puts the records: counts, batches, a clean file, broken rows."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from services.validation.reading import blocks
from services.validation.reading.records import Fields
from services.validation.reading.structure import Structure, TakeRows, broken_line
from services.validation.reading.table import BrokenRow
from sluice.common.v1.errors_pb2 import ErrorReason

BATCH_BYTES = 16 * 1024 * 1024
"""Good rows are passed on in batches of about this size."""


class Sink:
    """Passes good rows on in batches, writes broken rows to a file, and counts all of them.

    Good rows are also written to a clean file, once `copy_rows` has been called.
    """

    def __init__(
        self, found: Structure, offset: int, clean: Path, broken: Path, take: TakeRows
    ) -> None:
        self._found, self._take = found, take
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._offset = self._regular_end = offset
        self._clean_path = clean
        self._clean: IO[bytes] | None = None
        self._broken = broken.open("wb")
        self._after_blank = False
        self._tail: _Tail | None = None

    def close(self) -> None:
        """Close the files."""
        self._broken.close()
        if self._clean is not None:
            self._clean.close()

    def copy_rows(self) -> None:
        """Write the rows to the clean file from here on, and first those that are regular."""
        if self._clean is not None:
            return
        self._clean = self._clean_path.open("wb")
        with self._found.path.open("rb") as source:
            source.seek(self._offset)
            for at in range(self._offset, self._regular_end, blocks.BLOCK_BYTES):
                self._clean.write(source.read(min(blocks.BLOCK_BYTES, self._regular_end - at)))

    def count_rows(self, line: int, rows: int = 1) -> None:
        """Count good rows that begin on line `line` and follow each other line by line."""
        self._found.lines.add(self._found.rows, line)
        self._found.rows += rows
        self._after_blank, self._tail = False, None

    def write_rows(self, rows: bytes) -> None:
        """Take the text of good rows under the plain grammar, with line feeds."""
        if not rows.endswith(b"\n"):
            rows += b"\n"
        if self._clean is None:
            self._regular_end += len(rows)
        else:
            self._clean.write(rows)
        self._batch.append(rows)
        self._batch_bytes += len(rows)
        if self._batch_bytes >= BATCH_BYTES:
            self._pass_on()

    def _pass_on(self) -> None:
        rows, self._batch, self._batch_bytes = b"".join(self._batch), [], 0
        if rows:
            self._take(self._found, rows)

    def add_blank(self) -> None:
        """Count a blank line."""
        self._found.blank_rows += 1
        self._after_blank = True

    def add_broken(
        self,
        line: int,
        reason: "ErrorReason.ValueType",
        message: str,
        record: bytes,
        parsed: Fields | None,
    ) -> None:
        """Write a broken row. `parsed` has its fields if the record itself is valid."""
        found = self._found
        if self._tail is None:
            self._tail = _Tail(line, self._broken.tell(), self._after_blank)
        self._tail.add(parsed)
        found.broken_rows += 1
        values = parsed.values if parsed else found.grammar.repaired(record, len(found.header))
        # Most programs cannot open a rejects file with NUL bytes.
        text, *fields = (
            value.decode("utf-8", "backslashreplace").replace("\0", "\\0")
            for value in [record, *(values or [])]
        )
        row = BrokenRow(line, reason, message, str(len(fields)) if parsed else text, fields)
        self._broken.write(broken_line(row))

    def finish(self) -> None:
        """Pass the last rows on, and leave out the footer."""
        self._pass_on()
        found, tail = self._found, self._tail
        if tail is not None and tail.is_footer and len(found.header) >= 3:
            found.footer_lines, found.footer_line = tail.rows, tail.line
            found.broken_rows -= tail.rows
            self._broken.truncate(tail.offset)
        if self._clean is not None:
            found.path, found.skip_lines = self._clean_path, 0


@dataclass
class _Tail:
    """The broken rows since the last good one. They are a footer, which is notes and not rows, if
    they follow a blank line and have hardly a field.
    """

    line: int
    offset: int
    """Position of the first of them in the file of broken rows."""
    is_footer: bool
    rows: int = 0

    def add(self, parsed: Fields | None) -> None:
        """Add a broken row."""
        self.rows += 1
        self.is_footer = (
            self.is_footer
            and parsed is not None
            and sum(bool(value.strip()) for value in parsed.values) <= 1
        )
