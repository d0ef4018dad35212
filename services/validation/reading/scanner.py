"""The structural scan of a CSV file, block by block.

The scan checks blocks as a whole first, and reads those that are not regular record by record. A
file of regular blocks is read in place. Otherwise the good records are copied to a clean file, and
the others become broken rows with their lines.
"""

from contextlib import closing
from pathlib import Path

from services.validation.process.growth import Growth
from services.validation.reading import header
from services.validation.reading.blocks import MAX_RECORD_BYTES, RegularForm, next_line
from services.validation.reading.header import Body
from services.validation.reading.records import Fields, Flaw, write
from services.validation.reading.sink import Sink
from services.validation.reading.structure import Structure, TakeRows
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import ReadOptions

MIN_PIECE_BYTES = 4096
MAX_PIECES = 32
"""A block that is not regular is cut into MAX_PIECES pieces of at least MIN_PIECE_BYTES."""
LOOKAHEAD_BYTES = 128 * 1024 * 1024
"""Budget per file for looking ahead for closing quotes that turn out to be missing. Once it is
spent, a record has at most LINES_BEYOND_BUDGET lines.
"""
LOOKAHEAD_BYTES_PER_LINE = 128
LINES_BEYOND_BUDGET = 20


def scan(
    source: Path,
    clean: Path,
    broken: Path,
    max_columns: int,
    options: ReadOptions,
    growth: Growth | None = None,
    take: TakeRows = lambda found, rows: None,
) -> Structure:
    """Scan the UTF-8 text in `source`, which may still grow.

    Writes the good rows to `clean` if the source is not regular, and the broken rows to `broken`.

    Raises:
        FileFault: FILE_EMPTY, ENCODING_UNKNOWN, OPTION_MISFIT, RESOURCE_LIMIT.
        NotUtf8Error: the text is not UTF-8.
    """
    body = header.find(source, max_columns, options, growth)
    with closing(Sink(body.found, body.offset, clean, broken, take)) as sink:
        if not body.is_plain:
            sink.copy_rows()
        scanner = Scanner(body, sink)
        for block in body.blocks:
            scanner.scan(block)
        scanner.finish()
        sink.finish()
    return body.found


class Scanner:
    """Sorts the records of a file into good, blank and broken ones."""

    def __init__(self, body: Body, sink: Sink) -> None:
        self._found, self._line_end, self._sink = body.found, body.line_end, sink
        self._grammar, self._fields = body.found.grammar, len(body.found.header)
        self._form = RegularForm(self._grammar, self._fields, self._line_end)
        self._line = body.found.skip_lines + 1
        self._carry = b""
        """An open record, which later blocks continue."""
        self._retry_bytes = 0
        """Size of the open record at which it is parsed again."""
        self._lookahead = 0
        """Bytes spent of LOOKAHEAD_BYTES."""

    def scan(self, block: bytes) -> None:
        """Scan a block, which ends at a line end unless it is the last."""
        pieces = [block]
        while pieces:
            piece = pieces.pop()
            if self._carry:
                if rest := self._continue_record(piece):
                    pieces.append(rest)
            elif not self._scan_regular(piece):
                if len(piece) > MIN_PIECE_BYTES and len(smaller := self._cut(piece)) > 1:
                    pieces.extend(reversed(smaller))
                else:
                    self._scan_records(piece)

    def finish(self) -> None:
        """Scan what is left of an open record."""
        if self._carry:
            self._scan_records(b"", last=True)

    def _continue_record(self, piece: bytes) -> bytes:
        """Continue the open record, and return the rest of the piece.

        The record is parsed again only when it has grown by far: parsing it for every line would
        take quadratic time.
        """
        stop = next_line(piece, self._line_end, max(0, self._retry_bytes - len(self._carry)))
        if len(self._carry) + stop < self._retry_bytes:
            self._carry += piece
        else:
            self._scan_records(piece[:stop])
        return piece[stop:]

    def _cut(self, block: bytes) -> list[bytes]:
        """Cut the block at line ends, so that only the piece with the damage is read by record."""
        pieces, start, step = [], 0, max(MIN_PIECE_BYTES, len(block) // MAX_PIECES)
        while start < len(block):
            stop = next_line(block, self._line_end, start + step)
            pieces.append(block[start:stop])
            start = stop
        return pieces

    def _scan_regular(self, block: bytes) -> bool:
        """Take the block if it is regular."""
        plain = self._form.plain(block)
        if plain is None or not (count := self._form.count(plain)):
            return False
        self._found.line_breaks = self._found.line_breaks or b"\x01" in block
        self._sink.count_rows(self._line, count)
        self._line += count
        self._sink.write_rows(plain)
        return True

    def _scan_records(self, block: bytes, *, last: bool = False) -> None:
        """Read the block record by record. Keeps an open record for the next block, unless this is
        the last.
        """
        self._sink.copy_rows()
        block, self._carry = self._carry + block, b""
        self._found.line_breaks = self._found.line_breaks or b"\x01" in block
        lines = block.removesuffix(self._line_end).split(self._line_end)
        good: list[bytes] = []
        index = 0
        while index < len(lines):
            record, taken = lines[index].removesuffix(b"\r"), 1
            if record.strip():
                parsed = self._grammar.parse(record)
                if parsed is Flaw.OPEN:
                    joined = self._join_lines(lines, index, last=last)
                    if joined is None:
                        end = self._line_end if block.endswith(self._line_end) else b""
                        self._carry = self._line_end.join(lines[index:]) + end
                        size = len(self._carry)
                        self._retry_bytes = size + max(MIN_PIECE_BYTES, 2 * size)
                        break
                    record, parsed, taken = joined
                row = self._check(record, parsed)
                if row is not None:
                    good.append(row)
            else:
                self._sink.add_blank()
            self._line += taken
            index += taken
        if good:
            self._sink.write_rows(b"\n".join(good))

    def _join_lines(
        self, lines: list[bytes], start: int, *, last: bool
    ) -> tuple[bytes, Fields | Flaw, int] | None:
        """Join the record that is open at the end of line `start` with the lines that continue it.

        Returns the record, its fields and its number of lines: a single line if its quote is
        broken. Returns None if that depends on lines that are not here yet.
        """
        fields, size, index = self._grammar.fields_if_open(lines[start]), len(lines[start]), start
        # Without a budget, every quote that never closes could search the whole rest of the file.
        in_budget = self._lookahead < LOOKAHEAD_BYTES
        stop = len(lines) if in_budget else start + LINES_BEYOND_BUDGET
        while 0 < fields <= self._fields and size <= MAX_RECORD_BYTES and index < stop:
            index += 1
            if index == len(lines):
                if last:
                    break
                return None
            line = lines[index].removesuffix(b"\r")
            size += len(lines[index]) + 1
            closed = self._grammar.closing(line)
            if closed is Flaw.OPEN:
                # A line that is a complete record was not meant to be part of a value.
                if self._fields > 2 and self._is_record(line):
                    break
                continue
            if closed is Flaw.BROKEN:
                break
            fields += closed.fields - 1
            if closed.open:
                continue
            record = self._line_end.join([*lines[start:index], line])
            parsed = self._grammar.parse(record) if fields == self._fields else Flaw.BROKEN
            if isinstance(parsed, Flaw):
                break
            return record, parsed, index + 1 - start
        self._lookahead += size + LOOKAHEAD_BYTES_PER_LINE * (index - start)
        return lines[start].removesuffix(b"\r"), Flaw.OPEN, 1

    def _is_record(self, line: bytes) -> bool:
        parsed = self._grammar.parse(line.removesuffix(b"\r"))
        return isinstance(parsed, Fields) and len(parsed.values) == self._fields

    def _check(self, record: bytes, parsed: Fields | Flaw) -> bytes | None:
        """Return a good record under the plain grammar; None for a broken one, after reporting it."""
        fields = None
        if isinstance(parsed, Flaw):
            reason = ErrorReason.ERROR_REASON_QUOTE_BROKEN
            message = f"Invalid quoting: {parsed.value}."
        elif len(parsed.values) != self._fields:
            fields, count = parsed, len(parsed.values)
            is_longer = count > self._fields
            reason = (
                ErrorReason.ERROR_REASON_ROW_TOO_LONG
                if is_longer
                else ErrorReason.ERROR_REASON_ROW_TOO_SHORT
            )
            message = f"The row has {count} fields, the header has {self._fields}."
        elif b"\0" in record:
            reason = ErrorReason.ERROR_REASON_VALUE_MISFIT
            message = "The row contains a NUL byte."
        else:
            self._sink.count_rows(self._line)
            self._found.line_breaks |= b"\n" in record or b"\r" in record
            is_plain = self._grammar.is_plain and parsed.plain and b"\r" not in record
            return record if is_plain else write(parsed, self._grammar.delimiter)
        self._sink.add_broken(self._line, reason, message, record, fields)
        return None
