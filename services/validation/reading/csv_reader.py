"""A CSV file as a table."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl

from services.common import errors
from services.validation.process.growth import Growth
from services.validation.process.worker import Worker
from services.validation.reading import encoding, scanner
from services.validation.reading.blocks import NotUtf8Error
from services.validation.reading.faults import FileFault
from services.validation.reading.structure import Structure
from services.validation.reading.table import ROW, Batch, Table, Take, column
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
    """The table in the text `source`, which may still grow. Files that are made on the way go to
    `folder`.

    The rows go to what `begin` returns, batch by batch in the file's order, in another thread.
    Where the encoding turns out to be another one, reading begins anew.

    Raises:
        FileFault: FILE_EMPTY, ENCODING_UNKNOWN, HEADER_DAMAGED, NO_ROWS, OPTION_MISFIT,
        RESOURCE_LIMIT.
    """
    said = options or ReadOptions()
    if growth is not None:
        growth.wait(encoding.HEAD_BYTES)
    with source.open("rb") as file:
        told = encoding.from_head(file.read(encoding.HEAD_BYTES), said.encoding)
    text = source
    if told.name == "utf-8":
        try:
            return _table(source, folder, max_columns, said, growth, begin(), told)
        except NotUtf8Error:
            if growth is not None:
                growth.wait_complete()
            told = encoding.other_than_utf8(source, told, said.encoding)
    if growth is not None:
        growth.wait_complete()
    text = folder / "utf8.csv"
    encoding.to_utf8(source, told, text)
    return _table(text, folder, max_columns, said, None, begin(), told)


def _table(
    text: Path,
    folder: Path,
    max_columns: int,
    said: ReadOptions,
    growth: Growth | None,
    take: Take,
    told: encoding.Told,
) -> Table:
    parsing = _Parsing(take)
    try:
        found = scanner.scan(
            text,
            folder / "clean.csv",
            folder / "broken.jsonl",
            max_columns,
            said,
            growth,
            parsing.add,
        )
        parsing.finish()
    finally:
        parsing.close()
    if found.damage is not None and not found.rows:
        raise FileFault(
            ErrorReason.ERROR_REASON_HEADER_DAMAGED, found.damage.message, line=found.damage.line
        )
    if not found.rows and not found.broken_rows:
        raise FileFault(
            ErrorReason.ERROR_REASON_NO_ROWS,
            f"There is no row below the header in line {found.header_line}.",
        )
    if parsing.rows != found.rows:
        raise RuntimeError(f"{parsing.rows} rows were parsed, {found.rows} were counted")
    path, skip_lines, rows, plain = found.path, found.skip_lines, found.rows, _plain(found)

    def frame() -> pl.LazyFrame:
        if not rows:
            return pl.LazyFrame(schema={ROW: pl.UInt32, **plain["schema"]})
        return pl.scan_csv(path, skip_lines=skip_lines, row_index_name=ROW, glob=False, **plain)

    return Table(
        format=FileFormat.FILE_FORMAT_CSV,
        header=found.header,
        frame=frame,
        rows=rows,
        lines=found.lines,
        size=path.stat().st_size,
        line_breaks=found.line_breaks,
        blank_rows=found.blank_rows,
        broken_rows=found.broken_rows,
        broken_path=folder / "broken.jsonl" if found.broken_rows else None,
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


def _plain(found: Structure) -> dict[str, Any]:
    """How text in the plain grammar is parsed: into texts."""
    schema = {column(position): pl.String for position in range(len(found.header))}
    return {"has_header": False, "separator": found.grammar.delimiter.decode(), "schema": schema}


class _Parsing:
    """Good rows on their way to who takes them: parsed in one thread, taken in another."""

    def __init__(self, take: Take) -> None:
        self._take = take
        self._parser, self._taker = Worker(), Worker()
        self.rows = 0

    def add(self, found: Structure, rows: bytes) -> None:
        """Takes rows as the scan hands them on."""
        self._parser.do(self._parse, found.header, _plain(found), rows, found.line_breaks)

    def _parse(
        self, header: list[str], plain: dict[str, Any], rows: bytes, line_breaks: bool
    ) -> None:
        frame = pl.read_csv(
            io.BytesIO(rows), row_index_name=ROW, row_index_offset=self.rows, **plain
        )
        self.rows += frame.height
        self._taker.do(self._take, Batch(header, frame, line_breaks))

    def finish(self) -> None:
        """Returns when all rows are taken. Raises what taking them raised."""
        self._parser.finish()
        self._taker.finish()

    def close(self) -> None:
        """Ends the threads."""
        self._parser.close()
        self._taker.close()


def _warnings(told: encoding.Told, found: Structure) -> Iterator[Problem]:
    if told.assumed:
        message = f"Nothing in the file says which encoding it has; it was read as {told.name}."
        yield errors.problem(ErrorReason.ERROR_REASON_ENCODING_ASSUMED, message, value=told.name)
    if not found.header_line and not found.damage:
        message = "The first row holds numbers or times like the rows below it, no names."
        yield errors.problem(
            ErrorReason.ERROR_REASON_NO_HEADER,
            message,
            line=found.lines.line(0) if found.rows else None,
        )
    reason = ErrorReason.ERROR_REASON_LINES_SKIPPED
    if found.preamble_lines:
        message = f"{found.preamble_lines:,} lines above the table were skipped."
        yield errors.problem(reason, message, line=1, value=found.preamble_lines)
    if found.footer_lines:
        message = f"{found.footer_lines:,} lines below the table were skipped."
        yield errors.problem(reason, message, line=found.footer_line, value=found.footer_lines)
