"""A CSV file as a table."""

import io
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from services.common import errors
from services.validation import encoding, structure
from services.validation.faults import FileFault
from services.validation.table import ROW, Table, column
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import Dialect, FileFormat, ReadOptions


def read(source: Path, folder: Path, max_columns: int, options: ReadOptions | None = None) -> Table:
    """The table in the text `source`. Files that are made on the way go to `folder`.

    Raises:
        FileFault: FILE_EMPTY, ENCODING_UNKNOWN, HEADER_DAMAGED, NO_ROWS, OPTION_MISFIT, RESOURCE_LIMIT.
    """
    said = options or ReadOptions()
    told = encoding.detect(source, said.encoding)
    text = source
    if told.name != "utf-8":
        text = folder / "utf8.csv"
        encoding.to_utf8(source, told, text)
    found = structure.scan(text, folder / "clean.csv", folder / "broken.csv", max_columns, said)
    if found.damage is not None and not found.rows:
        raise FileFault(ErrorReason.ERROR_REASON_HEADER_DAMAGED, found.damage.message, line=found.damage.line)
    if not found.rows and not found.broken_rows:
        raise FileFault(ErrorReason.ERROR_REASON_NO_ROWS, f"There is no row below the header in line {found.header_line}.")
    width = len(found.header)
    parsing = {
        "has_header": False,
        "separator": found.grammar.delimiter.decode(),
        "schema": {column(position): pl.String for position in range(width)},
    }
    path, skip_lines, rows = found.path, found.skip_lines, found.rows

    def frame() -> pl.LazyFrame:
        if not rows:
            return pl.LazyFrame(schema={ROW: pl.UInt32, **parsing["schema"]})  # type: ignore[dict-item]
        return pl.scan_csv(path, skip_lines=skip_lines, row_index_name=ROW, glob=False, **parsing)  # type: ignore[arg-type]

    sample = pl.read_csv(io.BytesIO(bytes(found.sample)), **parsing) if found.sample else pl.DataFrame(schema=parsing["schema"])  # type: ignore[arg-type]
    return Table(
        format=FileFormat.FILE_FORMAT_CSV,
        header=found.header,
        frame=frame,
        sample=sample,
        rows=rows,
        lines=found.lines,
        size=path.stat().st_size,
        line_breaks=found.line_breaks,
        blank_rows=found.blank_rows,
        broken_rows=found.broken_rows,
        broken_path=folder / "broken.csv" if found.broken_rows else None,
        has_header=found.header_line > 0,
        damage=found.damage,
        footer_rows=found.footer_lines,
        dialect=Dialect(
            encoding=told.name,
            bom=told.bom,
            delimiter=found.grammar.delimiter.decode() + (" " if found.grammar.blank else ""),
            quote=found.grammar.quote.decode(),
            escape=found.grammar.escape.decode(),
            line_end=found.line_end,
            header_line=found.header_line,
            preamble_lines=found.preamble_lines,
            footer_lines=found.footer_lines,
        ),
        warnings=list(_warnings(told, found)),
    )


def _warnings(told: encoding.Told, found: structure.Structure) -> Iterator[Problem]:
    if told.assumed:
        message = f"Nothing in the file says which encoding it has; it was read as {told.name}."
        yield errors.problem(ErrorReason.ERROR_REASON_ENCODING_ASSUMED, message, value=told.name)
    if not found.header_line and not found.damage:
        message = "The first row holds numbers or times like the rows below it, no names."
        yield errors.problem(ErrorReason.ERROR_REASON_NO_HEADER, message, line=found.lines.line(0) if found.rows else None)
    reason = ErrorReason.ERROR_REASON_LINES_SKIPPED
    if found.preamble_lines:
        message = f"{found.preamble_lines:,} lines above the table were skipped."
        yield errors.problem(reason, message, line=1, value=found.preamble_lines)
    if found.footer_lines:
        message = f"{found.footer_lines:,} lines below the table were skipped."
        yield errors.problem(reason, message, line=found.footer_line, value=found.footer_lines)
