"""A CSV file as a table."""

import io
from pathlib import Path

import polars as pl

from services.validation import encoding, structure
from services.validation.faults import FileFault
from services.validation.table import ROW, Table, column
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.validation.v1.validation_pb2 import Dialect, FileFormat


def read(source: Path, folder: Path, max_columns: int) -> Table:
    """The table in the text `source`. Files that are made on the way go to `folder`.

    Raises:
        FileFault: FILE_EMPTY, ENCODING_UNKNOWN, HEADER_DAMAGED, NO_ROWS, RESOURCE_LIMIT.
    """
    name, bom = encoding.detect(source)
    text = source
    if name != "utf-8":
        text = folder / "utf8.csv"
        encoding.to_utf8(source, name, text)
    found = structure.scan(text, folder / "clean.csv", folder / "broken.csv", max_columns)
    if not found.rows and not found.broken_rows:
        raise FileFault(ErrorReason.ERROR_REASON_NO_ROWS, f"There is no row below the header in line {found.header_line}.")
    width = len(found.header)
    options = {
        "has_header": False,
        "separator": found.delimiter.decode(),
        "schema": {column(position): pl.String for position in range(width)},
    }
    path, skip_lines, rows = found.path, found.skip_lines, found.rows

    def frame() -> pl.LazyFrame:
        if not rows:
            return pl.LazyFrame(schema={ROW: pl.UInt32, **options["schema"]})  # type: ignore[dict-item]
        return pl.scan_csv(path, skip_lines=skip_lines, row_index_name=ROW, glob=False, **options)  # type: ignore[arg-type]

    sample = pl.read_csv(io.BytesIO(bytes(found.sample)), **options) if found.sample else pl.DataFrame(schema=options["schema"])  # type: ignore[arg-type]
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
        dialect=Dialect(
            encoding=name,
            bom=bom,
            delimiter=found.delimiter.decode(),
            quote='"',
            line_end=found.line_end,
            header_line=found.header_line,
        ),
    )
