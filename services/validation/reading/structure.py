"""The structural scan of a CSV file, block by block.

A block in which every record has the header's number of fields, on a line of its own, with correct
quotes, is proven regular by a few passes of compiled code. Only a block that fails is read record
by record. A file whose blocks are all regular is handed on as it is; otherwise its good records are
copied into a clean file, and the others become broken rows with their lines.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from services.common import errors
from services.validation.process.growth import Growth
from services.validation.reading import dialect
from services.validation.reading.faults import FileFault
from services.validation.reading.lines import LineMap
from services.validation.reading.records import QUOTE, Fields, Flaw, Grammar, write
from services.validation.reading.table import BrokenRow
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import ReadOptions

BLOCK_BYTES = 4 * 1024 * 1024
MAX_RECORD_BYTES = 4 * 1024 * 1024
"""Longest record; a longer one is a broken quote, or no table."""
BATCH_BYTES = 16 * 1024 * 1024
"""Good rows are handed on in pieces of about this size."""
MAX_NUL_SHARE = 0.01
HEAD_BYTES = 256 * 1024
"""The grammar and the header are told from."""
CAREFUL_BYTES = 4096
"""A piece of this size that is not regular is read record by record; a larger one is cut into
CAREFUL_PIECES first.
"""
CAREFUL_PIECES = 32
MAX_VAIN = 128 * 1024 * 1024
"""Bytes that are looked at for the ends of values whose quote is broken, and VAIN_OF_LINE for each
line of them. After that a record may only have FEW_LINES."""
VAIN_OF_LINE = 128
FEW_LINES = 20


@dataclass
class Structure:
    """What the scan found. `path` is read from line `skip_lines` on, under the plain grammar."""

    path: Path
    grammar: Grammar
    line_end: str
    header: list[str]
    header_line: int
    """0 where there is no header."""
    skip_lines: int
    damage: Problem | None = None
    """What is wrong with the header."""
    preamble_lines: int = 0
    """Lines above the header, or the first row, that are not blank."""
    footer_lines: int = 0
    footer_line: int = 0
    """The first of them."""
    rows: int = 0
    blank_rows: int = 0
    broken_rows: int = 0
    line_breaks: bool = False
    """Whether a value may hold a line break or another character that Druid takes for structure."""
    lines: LineMap = field(default_factory=LineMap)


Take = Callable[[Structure, bytes], None]
"""Takes good rows under the plain grammar, with line feeds, in the file's order; and what was found
so far.
"""


class NotUtf8Error(Exception):
    """The text is in another encoding."""


def scan(
    source: Path,
    clean: Path,
    broken: Path,
    max_columns: int,
    options: ReadOptions,
    growth: Growth | None = None,
    take: Take = lambda found, rows: None,
) -> Structure:
    """Scans the UTF-8 text in `source`, which may still grow. `clean` and `broken` are written
    where the file is not regular.

    Raises:
        FileFault: FILE_EMPTY, ENCODING_UNKNOWN, HEADER_DAMAGED, OPTION_MISFIT, RESOURCE_LIMIT.
        NotUtf8Error: some byte is none of UTF-8.
    """
    scanning = _Scan(source, clean, broken, max_columns, options, growth, take)
    try:
        return scanning.run()
    finally:
        scanning.close()


def _blocks(path: Path, start: int, end: bytes, growth: Growth | None) -> Iterator[bytes]:
    """The file from `start` in pieces that end at a line end; the last may not. Waits for bytes
    that are still on their way.
    """
    rest = b""
    position = start
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while block := _next(file, position, growth):
            position += len(block)
            cut = block.rfind(end) + 1
            if cut == 0:
                rest += block
                if len(rest) > MAX_RECORD_BYTES:
                    raise _too_long()
                continue
            yield rest + block[:cut]
            rest = block[cut:]
    if rest:
        yield rest


def _next(file: IO[bytes], position: int, growth: Growth | None) -> bytes:
    if growth is not None:
        growth.wait(position + BLOCK_BYTES)
    return file.read(BLOCK_BYTES)


def _in_utf8(blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        if not block.isascii():
            try:
                block.decode("utf-8")
            except UnicodeDecodeError:
                raise NotUtf8Error from None
        yield block


def _too_long(line: int | None = None) -> FileFault:
    where = f"Line {line}" if line else "A line"
    return FileFault(
        ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
        f"{where} is longer than {MAX_RECORD_BYTES // 1024**2} MiB.",
        line=line,
        action="Check that the file is a table with one row per line.",
    )


class _Scan:
    def __init__(
        self,
        source: Path,
        clean: Path,
        broken: Path,
        max_columns: int,
        options: ReadOptions,
        growth: Growth | None,
        take: Take,
    ) -> None:
        self._source, self._clean_path, self._broken_path = source, clean, broken
        self._max_columns, self._options = max_columns, options
        self._growth, self._take_rows = growth, take
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._clean: IO[bytes] | None = None
        self._broken: IO[str] | None = None
        self._writer: Any = None
        self._line = 1
        self._end = b"\n"
        self._carry = b""
        self._look_at = 0
        """Bytes from which what is carried over is looked at again."""
        self._vain = 0
        """What was looked at for the ends of values that turned out to be broken."""
        self._tail = _Tail()

    def close(self) -> None:
        for file in (self._clean, self._broken):
            if file is not None:
                file.close()

    def run(self) -> Structure:
        with self._source.open("rb") as file:
            head = _next(file, 0, self._growth)
        bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
        if head.count(b"\0") > len(head) * MAX_NUL_SHARE:
            raise FileFault(
                ErrorReason.ERROR_REASON_ENCODING_UNKNOWN,
                "The file holds zero bytes: it is not text, or UTF-16 without its mark.",
            )
        self._end = dialect.line_end(head)
        offset = bom
        blocks = _in_utf8(_blocks(self._source, bom, self._end, self._growth))
        for block in blocks:
            if block.strip():
                break
            self._line += block.count(self._end)
            offset += len(block)
        else:
            raise FileFault(
                ErrorReason.ERROR_REASON_FILE_EMPTY, "The file holds nothing but blanks."
            )
        self._found = found = self._begin(block, head)
        delimiter = self._grammar.delimiter
        self._unit = delimiter * (self._fields - 1) + b"\n"
        self._drop = bytes(set(range(256)) - set(delimiter + b"\r\n"))
        keep = set(delimiter + b"\r\n" + QUOTE)
        self._mask = bytes(byte if byte in keep else ord("x") for byte in range(256))
        body = block[self._body_at :]
        self._offset = offset + self._body_at
        if (
            self._end == b"\r"
            or not self._grammar.is_plain
            or not self._header_is_line
            or (bom and not found.skip_lines)
        ):
            self._begin_clean()
        if body:
            self._take(body)
        for block in blocks:
            self._take(block)
        if self._carry:
            self._careful(b"", last=True)
        self._hand_on()
        self._leave_out_footer()
        if self._clean is not None:
            self._clean.flush()
            found.path, found.skip_lines = self._clean_path, 0
        return found

    def _begin(self, block: bytes, head: bytes) -> Structure:
        """Grammar and header, from the first block that is not blank."""
        at = 0
        if not self._options.header_row:
            while not (line := block[at : self._stop(block, at)]).strip():
                at += len(line) + 1
                self._line += 1
        elif self._line > 1:
            # Blank blocks were skipped, and with them lines that the header's row counts.
            message = (
                f"The header is said to be in line {self._options.header_row:,}, which is blank."
            )
            raise FileFault(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value="header_row")
        stop = len(block) if len(block) <= at + HEAD_BYTES else self._stop(block, at + HEAD_BYTES)
        lines = [line.removesuffix(b"\r") for line in block[at:stop].split(self._end)]
        layout = dialect.lay_out(lines, self._options)
        self._grammar, self._fields = layout.grammar, layout.fields
        if self._fields > self._max_columns:
            raise FileFault(
                ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
                f"The header has {self._fields:,} columns; at most {self._max_columns:,} are read.",
                line=self._line + layout.header_at,
                value=self._fields,
            )
        header_line = self._line + layout.header_at
        damage = None
        if layout.damage:
            reason = ErrorReason.ERROR_REASON_HEADER_DAMAGED
            damage = errors.problem(
                reason,
                f"The header in line {header_line} {layout.damage}.",
                line=header_line,
                value=len(lines[0]),
            )
        self._header_is_line = layout.body_at - layout.header_at <= 1
        for _ in range(layout.body_at):
            at = min(self._stop(block, at) + 1, len(block))
        self._line += layout.body_at
        self._body_at = at
        names = (
            layout.header
            if layout.header is not None
            else [b"column_%d" % place for place in range(1, self._fields + 1)]
        )
        return Structure(
            self._source,
            self._grammar,
            dialect.line_end_name(head),
            [name.decode("utf-8") for name in names],
            header_line if layout.header is not None else 0,
            skip_lines=self._line - 1,
            damage=damage,
            preamble_lines=sum(bool(line.strip()) for line in lines[: layout.header_at]),
        )

    def _stop(self, block: bytes, at: int) -> int:
        stop = block.find(self._end, at)
        return len(block) if stop < 0 else stop

    def _take(self, block: bytes) -> None:
        """Reads a piece of the file, which ends at a line end unless it is the last."""
        waiting = [block]
        while waiting:
            piece = waiting.pop()
            if self._carry:
                if rest := self._go_on(piece):
                    waiting.append(rest)
            elif not self._fast(piece):
                pieces = self._cut(piece)
                if len(pieces) > 1:
                    waiting.extend(reversed(pieces))
                else:
                    self._careful(piece, last=False)

    def _go_on(self, piece: bytes) -> bytes:
        """Reads on where a value is open, and returns the rest of the piece. What was carried over
        is only looked at when there is far more of it, or a long value would take forever."""
        stop = self._line_stop(piece, max(0, self._look_at - len(self._carry)))
        if len(self._carry) + stop < self._look_at:
            self._carry += piece
        else:
            self._careful(piece[:stop], last=False)
        return piece[stop:]

    def _cut(self, block: bytes) -> list[bytes]:
        """Smaller pieces, so that only the one with the damage goes the careful way; one where it
        is small enough, or a single line."""
        if len(block) <= CAREFUL_BYTES:
            return [block]
        pieces, start, step = [], 0, max(CAREFUL_BYTES, len(block) // CAREFUL_PIECES)
        while start < len(block):
            stop = self._line_stop(block, start + step)
            pieces.append(block[start:stop])
            start = stop
        return pieces

    def _line_stop(self, block: bytes, at: int) -> int:
        """Where the line ends that has the place `at`, its line end included."""
        return block.find(self._end, at) + 1 or len(block)

    def _fast(self, block: bytes) -> bool:
        """Takes the block in a few passes of compiled code where it is regular."""
        plain = self._plain(block)
        count = None if plain is None else self._regular(plain)
        if plain is None or count is None:
            return False
        found = self._found
        found.line_breaks = found.line_breaks or b"\x01" in block
        if count:
            found.lines.add(found.rows, self._line)
            self._tail = _Tail()
        found.rows += count
        self._line += count
        self._offset += len(block)
        self._write(plain)
        return True

    def _plain(self, block: bytes) -> bytes | None:
        """The block under the plain grammar, with line feeds; None where it takes more than a
        replacement to write it so.
        """
        grammar = self._grammar
        if self._end == b"\r":
            if b"\n" in block:
                return None
            block = block.replace(b"\r", b"\n")
        if grammar.is_plain:
            return block
        if grammar.quote != QUOTE:
            # A doubled quote of theirs would come out as one of ours: a value, where theirs was.
            if QUOTE in block or (
                grammar.quote
                and grammar.quote * (2 if grammar.escape == grammar.quote else 1) in block
            ):
                return None
            if grammar.quote:
                block = block.replace(grammar.quote, QUOTE)
        elif grammar.escape != QUOTE and (
            QUOTE * 2 in block or (grammar.escape and grammar.escape in block)
        ):
            return None
        if grammar.blank:
            return (
                None
                if QUOTE in block
                else block.replace(grammar.delimiter + b" ", grammar.delimiter)
            )
        return block

    def _write(self, rows: bytes) -> None:
        """Hands good rows on, and copies them where copies are made."""
        rows = rows if rows.endswith(b"\n") or not rows else rows + b"\n"
        if self._clean is not None:
            self._clean.write(rows)
        self._batch.append(rows)
        self._batch_bytes += len(rows)
        if self._batch_bytes >= BATCH_BYTES:
            self._hand_on()

    def _hand_on(self) -> None:
        rows, self._batch, self._batch_bytes = b"".join(self._batch), [], 0
        if rows:
            self._take_rows(self._found, rows)

    def _regular(self, block: bytes) -> int | None:
        """Number of records where the block is regular, else None."""
        if b"\0" in block:
            return None
        if QUOTE in block:
            masked = self._without_quoted(block)
            if masked is None:
                return None
            block = masked
        separators = block.translate(None, self._drop)
        if b"\r" in separators:
            separators = separators.replace(b"\r\n", b"\n")
            if b"\r" in separators:
                return None
        if not separators.endswith(b"\n"):
            separators += b"\n"
        count = len(separators) // len(self._unit)
        if separators != self._unit * count:
            return None
        # With a single column a blank line looks like a record.
        if self._fields == 1 and (
            block.startswith((b"\n", b"\r")) or b"\n\n" in block or b"\n\r" in block
        ):
            return None
        return count

    def _without_quoted(self, block: bytes) -> bytes | None:
        """The block without its quoted values; None where a quote breaks the grammar or a value
        spans lines.
        """
        pieces = block.split(QUOTE)
        if len(pieces) % 2 == 0:
            return None
        inside = b" ".join(pieces[1::2])
        if b"\n" in inside or b"\r" in inside:
            return None
        # Every run of quotes now stands for a value: it has to touch separators only.
        outside = QUOTE.join(pieces[0::2])
        shape = outside.translate(self._mask)
        if b'x"' in shape or b'"x' in shape:
            return None
        # A carriage return ends a value only as part of a line's end.
        if outside.count(b'"\r') != outside.count(b'"\r\n'):
            return None
        return outside.replace(QUOTE, b"")

    def _begin_clean(self) -> None:
        """From here on good records are copied; what was regular so far is copied at once."""
        if self._clean is not None:
            return
        self._clean = self._clean_path.open("wb")
        done = self._found.rows
        if done:
            with self._source.open("rb") as file:
                start = self._body_start()
                file.seek(start)
                left = self._offset - start
                while left > 0:
                    piece = file.read(min(left, BLOCK_BYTES))
                    if not piece:
                        break
                    self._clean.write(piece)
                    left -= len(piece)

    def _body_start(self) -> int:
        with self._source.open("rb") as file:
            for _ in range(self._found.skip_lines):
                file.readline()
            return file.tell()

    def _careful(self, block: bytes, *, last: bool) -> None:
        """Reads record by record. What may go on in the next block is carried over, unless this is
        the last.
        """
        self._begin_clean()
        block = self._carry + block
        self._carry = b""
        self._found.line_breaks = self._found.line_breaks or b"\x01" in block
        complete = block.endswith(self._end)
        lines = block.split(self._end)
        if complete or (last and not lines[-1]):
            lines.pop()
        good: list[bytes] = []
        index = 0
        while index < len(lines):
            record = lines[index].removesuffix(b"\r") if self._end == b"\n" else lines[index]
            if not record.strip():
                self._found.blank_rows += 1
                self._tail.after_blank = True
                self._line += 1
                index += 1
                continue
            taken = 1
            parsed = self._grammar.parse(record)
            if parsed is Flaw.OPEN:
                spanned = self._spanning(lines, index, last=last)
                if spanned is None:
                    self._carry = self._end.join(lines[index:]) + (self._end if complete else b"")
                    self._look_at = len(self._carry) + max(CAREFUL_BYTES, 2 * len(self._carry))
                    break
                if spanned:
                    record, parsed, taken = spanned
            self._judge(record, parsed, good)
            self._line += taken
            index += taken
        if good:
            self._write(b"\n".join(good))

    def _spanning(
        self,
        lines: list[bytes],
        start: int,
        *,
        last: bool,
    ) -> tuple[bytes, Fields, int] | tuple[()] | None:
        """The record that begins on `start` and goes on over further lines.

        Empty where its quote is broken; None where the lines end before that is told, unless these
        are the last.
        """
        fields, size, index = self._grammar.fields_if_open(lines[start]), len(lines[start]), start
        # Quotes that never close could have every line look at all the others.
        stop = len(lines) if self._vain < MAX_VAIN else start + FEW_LINES
        while 0 < fields <= self._fields and size <= MAX_RECORD_BYTES and index < stop:
            index += 1
            if index == len(lines):
                if last:
                    break
                return None
            line = lines[index].removesuffix(b"\r") if self._end == b"\n" else lines[index]
            size += len(lines[index]) + 1
            closing = self._grammar.closing(line)
            if closing is Flaw.OPEN:
                # A line that is a whole record by itself was not meant to be inside a value.
                if self._fields > 2 and self._is_record(line):
                    break
                continue
            if closing is Flaw.BROKEN:
                break
            fields += closing.fields - 1
            if closing.open:
                continue
            record = self._end.join([*lines[start:index], line])
            parsed = self._grammar.parse(record) if fields == self._fields else Flaw.BROKEN
            if isinstance(parsed, Flaw):
                break
            return record, parsed, index + 1 - start
        self._vain += size + VAIN_OF_LINE * (index - start)
        return ()

    def _is_record(self, line: bytes) -> bool:
        parsed = self._grammar.parse(line.removesuffix(b"\r"))
        return isinstance(parsed, Fields) and len(parsed.values) == self._fields

    def _judge(self, record: bytes, parsed: Fields | Flaw, good: list[bytes]) -> None:
        found = self._found
        if isinstance(parsed, Flaw):
            self._reject(
                ErrorReason.ERROR_REASON_QUOTE_BROKEN, f"In this row {parsed.value}.", record, None
            )
        elif len(parsed.values) != self._fields:
            count = len(parsed.values)
            longer = count > self._fields
            reason = (
                ErrorReason.ERROR_REASON_ROW_TOO_LONG
                if longer
                else ErrorReason.ERROR_REASON_ROW_TOO_SHORT
            )
            self._reject(
                reason,
                f"The row has {count} fields, the header has {self._fields}.",
                record,
                parsed,
            )
        elif b"\0" in record:
            self._reject(
                ErrorReason.ERROR_REASON_VALUE_MISFIT, "The row holds a zero byte.", record, None
            )
        else:
            found.lines.add(found.rows, self._line)
            found.rows += 1
            found.line_breaks |= b"\n" in record or b"\r" in record
            is_plain = self._grammar.is_plain and parsed.plain and b"\r" not in record
            good.append(record if is_plain else write(parsed, self._grammar.delimiter))
            self._tail = _Tail()

    def _reject(
        self, reason: "ErrorReason.ValueType", message: str, record: bytes, parsed: Fields | None
    ) -> None:
        if self._broken is None:
            self._broken = self._broken_path.open("w", encoding="utf-8", newline="")
            self._writer = csv.writer(self._broken)
        self._found.broken_rows += 1
        self._tail.add(self._line, self._broken.tell(), parsed)
        values = parsed.values if parsed else self._grammar.repaired(record, self._fields) or []
        fields = [value.decode("utf-8", "backslashreplace") for value in values]
        # A zero byte would make the rejects file unreadable for most programs.
        text = record.decode("utf-8", "backslashreplace").replace("\0", "\\0")
        value = str(len(fields)) if parsed else text
        self._writer.writerow(
            [self._line, reason, message, value, *(field.replace("\0", "\\0") for field in fields)]
        )

    def _leave_out_footer(self) -> None:
        """Lines below the last row and a blank line that have hardly a field are notes, not
        rows.
        """
        tail, found = self._tail, self._found
        if not tail.lines or not tail.is_footer or self._fields < 3 or self._broken is None:
            return
        found.footer_lines, found.footer_line = tail.lines, tail.first_line
        found.broken_rows -= tail.lines
        self._broken.seek(tail.offset)
        self._broken.truncate()


@dataclass
class _Tail:
    """The broken rows since the last good one, which may turn out to be a footer."""

    after_blank: bool = False
    is_footer: bool = True
    lines: int = 0
    first_line: int = 0
    offset: int = 0
    """Where the first of them is in the file of broken rows."""

    def add(self, line: int, offset: int, parsed: Fields | None) -> None:
        """Takes a broken row."""
        if not self.lines:
            self.first_line, self.offset = line, offset
            self.is_footer = self.after_blank
        self.lines += 1
        self.is_footer = (
            self.is_footer
            and parsed is not None
            and sum(bool(value.strip()) for value in parsed.values) <= 1
        )


def read_broken(path: Path) -> Iterator[BrokenRow]:
    """The broken rows, by line."""
    csv.field_size_limit(2 * MAX_RECORD_BYTES)
    with path.open(encoding="utf-8", newline="") as file:
        for line, reason, message, value, *fields in csv.reader(file):
            yield BrokenRow(int(line), ErrorReason.ValueType(int(reason)), message, value, fields)
