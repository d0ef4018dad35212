"""A CSV file as a table."""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import polars as pl

from services.common import errors
from services.validation.process.growth import Growth
from services.validation.process.worker import Worker
from services.validation.reading import encoding, scanner
from services.validation.reading.blocks import NotUtf8Error
from services.validation.reading.encoding import DetectedEncoding
from services.validation.reading.faults import FileFault
from services.validation.reading.structure import Structure
from services.validation.reading.table import NO_HEADER, ROW, Batch, Table, Take, column
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import Dialect, FileFormat, ReadOptions


def read(
    source: Path,
    folder: Path,
    max_columns: int,
    options: ReadOptions | None = None,
    growth: Growth | None = None,
    begin: Callable[[], Take] = lambda: lambda batch: None,
) -> Table:
    """Read the table in the text `source`, which may still grow. Writes its own files to `folder`.

    Another thread passes the rows in batches, in the file's order, to the function that `begin`
    returns. If the text turns out not to be UTF-8, `begin` is called again and reading restarts.

    Raises:
        FileFault: FILE_EMPTY, ENCODING_UNKNOWN, HEADER_DAMAGED, NO_ROWS, OPTION_MISFIT,
        RESOURCE_LIMIT.
    """
    options = options or ReadOptions()
    if growth is not None:
        growth.wait(encoding.HEAD_BYTES)
    with source.open("rb") as file:
        detected = encoding.detect(file.read(encoding.HEAD_BYTES), options.encoding)
    if detected.name == "utf-8":
        with suppress(NotUtf8Error):
            return _read_utf8(source, folder, max_columns, options, growth, begin(), detected)
    if growth is not None:
        growth.wait_complete()
    if detected.name == "utf-8":
        detected = encoding.detect_other_than_utf8(source, detected, options.encoding)
    text = folder / "utf8.csv"
    encoding.to_utf8(source, detected, text)
    return _read_utf8(text, folder, max_columns, options, None, begin(), detected)


def _read_utf8(
    text: Path,
    folder: Path,
    max_columns: int,
    options: ReadOptions,
    growth: Growth | None,
    take: Take,
    detected: DetectedEncoding,
) -> Table:
    parser = _Parser(take)
    try:
        found = scanner.scan(
            text,
            folder / "clean.csv",
            folder / "broken.jsonl",
            max_columns,
            options,
            growth,
            parser.add,
        )
        parser.finish()
    finally:
        parser.close()
    if found.damage is not None and not found.rows:
        raise FileFault(
            ErrorReason.ERROR_REASON_HEADER_DAMAGED, found.damage.message, line=found.damage.line
        )
    if not found.rows and not found.broken_rows:
        raise FileFault(
            ErrorReason.ERROR_REASON_NO_ROWS,
            f"The file has no rows below the header in line {found.header_line}.",
        )
    if parser.rows != found.rows:
        raise RuntimeError(f"{parser.rows} rows were parsed, but {found.rows} were counted")

    def frame() -> pl.LazyFrame:
        plain = _parse_options(found)
        if not found.rows:
            return pl.LazyFrame(schema={ROW: pl.UInt32, **plain["schema"]})
        return pl.scan_csv(
            found.path, skip_lines=found.skip_lines, row_index_name=ROW, glob=False, **plain
        )

    return Table(
        format=FileFormat.FILE_FORMAT_CSV,
        header=found.header,
        frame=frame,
        rows=found.rows,
        lines=found.lines,
        size=found.path.stat().st_size,
        line_breaks=found.line_breaks,
        blank_rows=found.blank_rows,
        broken_rows=found.broken_rows,
        broken_path=folder / "broken.jsonl" if found.broken_rows else None,
        has_header=found.header_line > 0,
        damage=found.damage,
        footer_rows=found.footer_lines,
        dialect=Dialect(
            encoding=detected.name,
            bom=detected.bom,
            delimiter=found.grammar.delimiter.decode() + (" " if found.grammar.space else ""),
            quote=found.grammar.quote.decode(),
            escape=found.grammar.escape.decode(),
            line_end=found.line_end,
            header_line=found.header_line,
            preamble_lines=found.preamble_lines,
            footer_lines=found.footer_lines,
        ),
        warnings=list(_warnings(detected, found)),
    )


def _parse_options(found: Structure) -> dict[str, Any]:
    """Return the Polars options that parse text in the plain grammar into text columns."""
    schema = {column(position): pl.String for position in range(len(found.header))}
    return {"has_header": False, "separator": found.grammar.delimiter.decode(), "schema": schema}


class _Parser:
    """Parses good rows in one thread, and passes them to `take` in another."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._parsing, self._taking = Worker(), Worker()
        self.rows = 0

    def add(self, found: Structure, rows: bytes) -> None:
        """Add a batch of rows from the scan."""
        # The scan goes on and changes `found`, so its flag is read here.
        self._parsing.do(self._parse, found, rows, found.line_breaks)

    def _parse(self, found: Structure, rows: bytes, line_breaks: bool) -> None:
        frame = pl.read_csv(
            io.BytesIO(rows),
            row_index_name=ROW,
            row_index_offset=self.rows,
            **_parse_options(found),
        )
        self.rows += frame.height
        self._taking.do(self._take, Batch(found.header, frame, line_breaks))

    def finish(self) -> None:
        """Wait until `take` has received all rows. Raises its exceptions."""
        self._parsing.finish()
        self._taking.finish()

    def close(self) -> None:
        """Stop the threads."""
        self._parsing.close()
        self._taking.close()


def _warnings(detected: DetectedEncoding, found: Structure) -> Iterator[Problem]:
    if detected.assumed:
        yield errors.problem(
            ErrorReason.ERROR_REASON_ENCODING_ASSUMED,
            f"The file does not declare its encoding; {detected.name} was assumed.",
            value=detected.name,
        )
    if not found.header_line and not found.damage:
        yield errors.problem(
            ErrorReason.ERROR_REASON_NO_HEADER,
            NO_HEADER,
            line=found.lines.line(0) if found.rows else None,
        )
    for lines, where, first in (
        (found.preamble_lines, "above", 1),
        (found.footer_lines, "below", found.footer_line),
    ):
        if lines:
            yield errors.problem(
                ErrorReason.ERROR_REASON_LINES_SKIPPED,
                f"{lines:,} lines {where} the table were skipped.",
                line=first,
                value=lines,
            )
