"""The text of a CSV file in blocks of whole lines, and the fast check of a block.

A block is regular if each of its records has the header's number of fields, on one line, with valid
quoting. A few passes of compiled code check that.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import IO

from services.validation.process.growth import Growth
from services.validation.reading.faults import FileFault
from services.validation.reading.records import QUOTE, Grammar
from sluice.common.v1.errors_pb2 import ErrorReason

BLOCK_BYTES = 4 * 1024 * 1024
MAX_RECORD_BYTES = 4 * 1024 * 1024
"""Longest record; a longer one has an unclosed quote or belongs to no table."""


class NotUtf8Error(Exception):
    """The text is in another encoding."""


def read_head(path: Path, growth: Growth | None) -> bytes:
    """Return the first BLOCK_BYTES of the file. Waits until they have arrived."""
    with path.open("rb") as file:
        return _read(file, growth)


def read(path: Path, start: int, line_end: bytes, growth: Growth | None) -> Iterator[bytes]:
    """Yield the file from byte `start` on in blocks that end with `line_end`; the last may not.

    Waits for bytes that have not arrived yet.

    Raises:
        FileFault: RESOURCE_LIMIT: a line is longer than MAX_RECORD_BYTES.
        NotUtf8Error: a block is not UTF-8.
    """
    for block in _whole_lines(path, start, line_end, growth):
        if not block.isascii():
            try:
                block.decode("utf-8")
            except UnicodeDecodeError:
                raise NotUtf8Error from None
        yield block


def _whole_lines(path: Path, start: int, line_end: bytes, growth: Growth | None) -> Iterator[bytes]:
    rest = b""
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        while block := _read(file, growth):
            cut = block.rfind(line_end) + 1
            if cut == 0:
                rest += block
                if len(rest) > MAX_RECORD_BYTES:
                    raise FileFault(
                        ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
                        f"A line is longer than {MAX_RECORD_BYTES // 1024**2} MiB.",
                        action="Check that the file is a table with one row per line.",
                    )
                continue
            yield rest + block[:cut]
            rest = block[cut:]
    if rest:
        yield rest


def _read(file: IO[bytes], growth: Growth | None) -> bytes:
    if growth is not None:
        growth.wait(file.tell() + BLOCK_BYTES)
    return file.read(BLOCK_BYTES)


def next_line(block: bytes, line_end: bytes, at: int) -> int:
    """Return where the line after the one at position `at` begins, or the length of the block."""
    return block.find(line_end, at) + 1 or len(block)


class RegularForm:
    """What the regular blocks of one file have in common."""

    def __init__(self, grammar: Grammar, fields: int, line_end: bytes) -> None:
        self._grammar, self._fields, self._line_end = grammar, fields, line_end
        self._separators = grammar.delimiter * (fields - 1) + b"\n"
        """Delimiters and line feed of one record."""
        kept = set(grammar.delimiter + b"\r\n")
        self._no_separators = bytes(set(range(256)) - kept)
        kept |= set(QUOTE)
        self._mask = bytes(byte if byte in kept else ord("x") for byte in range(256))

    def plain(self, block: bytes) -> bytes | None:
        """Return the block under the plain grammar with line feeds, or None if that takes more than
        replacing separators and quotes.
        """
        grammar = self._grammar
        if self._line_end == b"\r":
            if b"\n" in block:
                return None
            block = block.replace(b"\r", b"\n")
        if grammar.is_plain:
            return block
        if grammar.quote != QUOTE:
            # A doubled quote of the file would become a doubled double quote, which is a value.
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
        if grammar.space:
            return (
                None
                if QUOTE in block
                else block.replace(grammar.delimiter + b" ", grammar.delimiter)
            )
        return block

    def count(self, block: bytes) -> int:
        """Return the number of records of a plain block; 0 if the block is not regular."""
        if b"\0" in block:
            return 0
        if QUOTE in block:
            unquoted = self._without_quoted_values(block)
            if unquoted is None:
                return 0
            block = unquoted
        separators = block.translate(None, self._no_separators)
        if b"\r" in separators:
            separators = separators.replace(b"\r\n", b"\n")
            if b"\r" in separators:
                return 0
        if not separators.endswith(b"\n"):
            separators += b"\n"
        count = len(separators) // len(self._separators)
        if separators != self._separators * count:
            return 0
        # With a single column a blank line looks like a record.
        if self._fields == 1 and (
            block.startswith((b"\n", b"\r")) or b"\n\n" in block or b"\n\r" in block
        ):
            return 0
        return count

    def _without_quoted_values(self, block: bytes) -> bytes | None:
        """Return the block without its quoted values, or None if a quote breaks the grammar or a
        value spans lines.
        """
        pieces = block.split(QUOTE)
        if len(pieces) % 2 == 0:
            return None
        inside = b" ".join(pieces[1::2])
        if b"\n" in inside or b"\r" in inside:
            return None
        # Each run of quotes now stands for a value, which may only touch separators.
        outside = QUOTE.join(pieces[0::2])
        shape = outside.translate(self._mask)
        if b'x"' in shape or b'"x' in shape:
            return None
        # A carriage return ends a value only as part of a line end.
        if outside.count(b'"\r') != outside.count(b'"\r\n'):
            return None
        return outside.replace(QUOTE, b"")
