"""Find the grammar, the header and the first row of a CSV text."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from services.common import errors
from services.validation.process.growth import Growth
from services.validation.reading import blocks, dialect
from services.validation.reading.faults import FileFault
from services.validation.reading.structure import Structure
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import ReadOptions

HEAD_BYTES = 256 * 1024
"""Grammar and header are detected in this much text."""
MAX_NUL_SHARE = 0.01


@dataclass(frozen=True)
class Body:
    """The rows below a header, not scanned yet."""

    found: Structure
    line_end: bytes
    offset: int
    """Position of the first row, in bytes."""
    blocks: Iterator[bytes]
    is_plain: bool
    """Whether the source itself can be read under the plain grammar, as far as it is regular."""


def find(source: Path, max_columns: int, options: ReadOptions, growth: Growth | None) -> Body:
    """Find where the rows of the UTF-8 text in `source` begin.

    Raises:
        FileFault: FILE_EMPTY, ENCODING_UNKNOWN, OPTION_MISFIT, RESOURCE_LIMIT.
        NotUtf8Error: the text is not UTF-8.
    """
    head = blocks.read_head(source, growth)
    if head.count(b"\0") > len(head) * MAX_NUL_SHARE:
        raise FileFault(
            ErrorReason.ERROR_REASON_ENCODING_UNKNOWN,
            "The file contains NUL bytes: it is not text, or it is UTF-16 without a byte order mark.",
        )
    line_end = dialect.line_end(head)
    bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    text = blocks.read(source, bom, line_end, growth)
    line, offset = 1, bom
    for block in text:
        if block.strip():
            break
        line += block.count(line_end)
        offset += len(block)
    else:
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_EMPTY, "The file contains nothing but whitespace."
        )
    at = 0
    if not options.header_row:
        while not block[at : (after := blocks.next_line(block, line_end, at))].strip():
            at = after
            line += 1
    elif line > 1:
        # `header_row` counts the lines of the blank blocks too.
        message = f"Line {options.header_row:,} is specified as the header, but it is blank."
        raise FileFault(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value="header_row")
    stop = block.find(line_end, at + HEAD_BYTES)
    sample = block[at:] if stop < 0 else block[at:stop]
    lines = [line.removesuffix(b"\r") for line in sample.split(line_end)]
    layout = dialect.lay_out(lines, options)
    header_line = line + layout.header_at
    if layout.fields > max_columns:
        raise FileFault(
            ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
            f"The header has {layout.fields:,} columns; the limit is {max_columns:,}.",
            line=header_line,
            value=layout.fields,
        )
    damage = None
    if layout.damage:
        damage = errors.problem(
            ErrorReason.ERROR_REASON_HEADER_DAMAGED,
            f"The header in line {header_line} {layout.damage}.",
            line=header_line,
            value=len(lines[0]),
        )
    for _ in range(layout.body_at):
        at = blocks.next_line(block, line_end, at)
    names = (
        layout.header
        if layout.header is not None
        else [b"column_%d" % number for number in range(1, layout.fields + 1)]
    )
    found = Structure(
        source,
        layout.grammar,
        dialect.line_end_name(head),
        [name.decode("utf-8") for name in names],
        header_line if layout.header is not None else 0,
        skip_lines=line + layout.body_at - 1,
        damage=damage,
        preamble_lines=sum(bool(line.strip()) for line in lines[: layout.header_at]),
    )
    is_plain = (
        line_end == b"\n"
        and layout.grammar.is_plain
        and layout.body_at - layout.header_at <= 1
        and (not bom or found.skip_lines > 0)
    )
    body = block[at:]
    return Body(found, line_end, offset + at, chain([body] if body else [], text), is_plain)
