"""A sheet of a workbook as a table of text, so that column types are detected as in a CSV file.

Dates are ISO 8601, numbers have full precision, and cells with an error are null.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fastexcel
import polars as pl

from services.common import errors
from services.validation.process.limits import Limits
from services.validation.reading import zip_guard
from services.validation.reading.dialect import HEADER_SAMPLE_ROWS, names_or_data
from services.validation.reading.faults import FileFault, encrypted
from services.validation.reading.table import NO_HEADER, ROW, LineMap, Table, column
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import FileFormat, Header, ReadOptions, Sheet

HEADER_WITHIN_ROWS = 50
"""The header is one of the first rows, up to this number."""
HEADER_WIDTH_SHARE = 0.6
"""Least number of cells in the header, as a share of the widest row. Titles have fewer."""
SHOWN_SHEETS = 10

_ROUNDED = r"\.\d{9}$"
_ROUNDING = 6e-10
"""fastexcel rounds numbers to nine decimals when it reads them as text."""
_LINE_BREAKS = r"[\r\n\x01]"
_MIDNIGHT = r"^\d{4}-\d{2}-\d{2} 00:00:00$"


@dataclass(frozen=True)
class _Candidate:
    """A sheet with a table."""

    index: int
    name: str
    cells: pl.DataFrame
    """All cells from A1 on."""
    header_row: int
    """Index of the header row, or of the first row if there is no header."""
    has_header: bool
    titles: int
    """Number of rows above it that are not blank."""
    filled: int
    """Number of cells with a value from the header on."""

    @property
    def body_row(self) -> int:
        """Index of the first row below the header."""
        return self.header_row + self.has_header


def read(
    source: Path, format: "FileFormat.ValueType", limits: Limits, options: ReadOptions | None = None
) -> Table:
    """Read the specified sheet, or the one with the largest table.

    Raises:
        FileFault: FILE_CORRUPT, FILE_ENCRYPTED, RESOURCE_LIMIT, SHEET_NOT_FOUND, OPTION_MISFIT,
        NO_ROWS.
    """
    warnings: list[Problem] = []
    if format == FileFormat.FILE_FORMAT_XLSX:
        error_cells = zip_guard.check(
            source, limits.max_inflated_bytes, limits.max_columns, limits.max_cells
        )
        if error_cells:
            warnings.append(
                errors.problem(
                    ErrorReason.ERROR_REASON_VALUE_MISFIT,
                    f"{error_cells:,} cells of the workbook contain an error such as #DIV/0! instead of a value. They are read as empty.",
                    action="Correct the formulas of these cells.",
                )
            )
    with _translating_errors():
        workbook = fastexcel.read_excel(source)
        names = list(workbook.sheet_names)
    options = options or ReadOptions()
    if options.sheet and options.sheet not in names:
        known = ", ".join(map(repr, names[:SHOWN_SHEETS]))
        raise FileFault(
            ErrorReason.ERROR_REASON_SHEET_NOT_FOUND,
            f"The workbook has no sheet {options.sheet!r}; its sheets are {known}.",
            value=options.sheet,
        )
    best, others = _choose(workbook, names, options)
    if best is None:
        raise FileFault(
            ErrorReason.ERROR_REASON_SHEET_NOT_FOUND,
            "No sheet of the workbook has a header with at least two cells.",
        )
    if others and not options.sheet:
        ignored = ", ".join(map(repr, others[:SHOWN_SHEETS])) + (
            ", ..." if len(others) > SHOWN_SHEETS else ""
        )
        warnings.append(
            errors.problem(
                ErrorReason.ERROR_REASON_SHEETS_IGNORED,
                f"Only the sheet {best.name!r} was read, not {ignored}.",
                value=best.name,
            )
        )
    if best.titles:
        warnings.append(
            errors.problem(
                ErrorReason.ERROR_REASON_LINES_SKIPPED,
                f"{best.titles:,} rows above the table were skipped.",
                line=1,
                value=best.titles,
            )
        )
    if not best.has_header and options.header != Header.HEADER_NO:
        warnings.append(
            errors.problem(ErrorReason.ERROR_REASON_NO_HEADER, NO_HEADER, line=best.header_row + 1)
        )
    return _table(workbook, best, names, format, limits, warnings)


@contextmanager
def _translating_errors() -> Iterator[None]:
    """Raise the errors of fastexcel as faults of the file."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as failure:  # a panic of the Rust code is not an Exception
        text = str(failure).split("\n", 1)[0]
        if "password" in text.lower():
            raise encrypted() from failure
        if type(failure).__name__ == "PanicException":
            text = "its structure is invalid"
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_CORRUPT, f"The workbook cannot be read: {text}."
        ) from failure


def _load(
    workbook: fastexcel.ExcelReader, index: int, type: Literal["string", "float"]
) -> pl.DataFrame:
    """Return all cells from A1 on."""
    with _translating_errors():
        sheet = workbook.load_sheet(index, header_row=None, skip_rows=0, dtypes=type)
        frame: pl.DataFrame = sheet.to_polars()
    frame.columns = [column(position) for position in range(frame.width)]
    return frame


def _choose(
    workbook: fastexcel.ExcelReader, names: list[str], options: ReadOptions
) -> tuple[_Candidate | None, list[str]]:
    """Return the sheet with the most filled cells from its header on, and the names of the others
    that are not empty.
    """
    best: _Candidate | None = None
    with_cells = []
    fault: FileFault | None = None
    for index, name in enumerate(names):
        if options.sheet and name != options.sheet:
            continue
        try:
            cells = _load(workbook, index, "string")
        except FileFault as found:
            # Sheets of other kinds, such as charts, cannot be loaded.
            fault = found
            continue
        if not cells.height or not cells.width:
            continue
        with_cells.append(name)
        candidate = _candidate(index, name, cells, options)
        if candidate is not None and (best is None or candidate.filled > best.filled):
            best = candidate
    if best is None and fault is not None:
        raise fault
    return best, [name for name in with_cells if best is None or name != best.name]


def _candidate(
    index: int, name: str, cells: pl.DataFrame, options: ReadOptions
) -> _Candidate | None:
    filled = cells.select(
        pl.sum_horizontal(pl.all().str.strip_chars().str.len_bytes().fill_null(0) > 0)
    ).to_series()
    head = filled.head(HEADER_WITHIN_ROWS).to_list()
    widest = max(head)
    if options.header_row:
        row = options.header_row - 1
        if row >= cells.height or not filled[row]:
            raise FileFault(
                ErrorReason.ERROR_REASON_OPTION_MISFIT,
                f"Row {options.header_row:,} of the sheet {name!r} is specified as the header, but it is empty.",
                value="header_row",
            )
    elif widest < 2:
        return None
    else:
        row = next(
            row for row, count in enumerate(head) if count >= max(2, widest * HEADER_WIDTH_SHARE)
        )
    titles = sum(count > 0 for count in filled.head(row))
    has_header = options.header != Header.HEADER_NO
    # Below a title, the widest row is a header, whatever its values are.
    if has_header and options.header != Header.HEADER_YES and not options.header_row and not titles:
        first, *below = (
            tuple((cell or "").encode() for cell in cells)
            for cells in cells.slice(row, 1 + HEADER_SAMPLE_ROWS).iter_rows()
        )
        has_header = names_or_data(first, below) >= 0
    return _Candidate(index, name, cells, row, has_header, titles, int(filled.slice(row).sum()))


def _table(
    workbook: fastexcel.ExcelReader,
    best: _Candidate,
    names: list[str],
    format: "FileFormat.ValueType",
    limits: Limits,
    warnings: list[Problem],
) -> Table:
    body = best.cells.slice(best.body_row)
    header_cells = (
        [cell or "" for cell in best.cells.row(best.header_row)]
        if best.has_header
        else [""] * best.cells.width
    )
    # Empty columns left and right of the table do not belong to it.
    used = [
        position
        for position, cell in enumerate(header_cells)
        if cell.strip() or body[column(position)].null_count() < body.height
    ]
    first, last = used[0], used[-1]
    header = header_cells[first : last + 1]
    if not best.has_header:
        header = [f"column_{number}" for number in range(1, len(header) + 1)]
    if len(header) > limits.max_columns:
        raise FileFault(
            ErrorReason.ERROR_REASON_RESOURCE_LIMIT,
            f"The sheet {best.name!r} has {len(header):,} columns; the limit is {limits.max_columns:,}.",
            value=len(header),
        )
    if not body.height:
        raise FileFault(
            ErrorReason.ERROR_REASON_NO_ROWS,
            f"The sheet {best.name!r} has no rows below its header.",
        )
    body = _with_full_precision(
        workbook, best, body.select([column(position) for position in range(first, last + 1)])
    )
    body = _dates_without_time(body)
    body.columns = [column(position) for position in range(len(header))]
    blank = body.select(pl.all_horizontal(pl.all().is_null())).to_series()
    lines = LineMap()
    first_line = best.body_row + 1
    if blank.any():
        for row, place in enumerate(blank.not_().arg_true()):
            lines.add(row, first_line + place)
        body = body.filter(~blank)
    else:
        lines.add(0, first_line)
    frame = body.with_row_index(ROW)
    return Table(
        format=format,
        header=header,
        frame=frame.lazy,
        rows=body.height,
        lines=lines,
        size=int(body.estimated_size()),
        line_breaks=bool(
            body.select(pl.any_horizontal(pl.all().str.contains(_LINE_BREAKS).any())).item()
        ),
        blank_rows=int(blank.sum()),
        has_header=best.has_header,
        sheet=Sheet(
            name=best.name,
            header_row=best.header_row + 1 if best.has_header else 0,
            all_names=names,
        ),
        warnings=warnings,
    )


def _with_full_precision(
    workbook: fastexcel.ExcelReader, best: _Candidate, body: pl.DataFrame
) -> pl.DataFrame:
    """Replace numbers that fastexcel rounded in their text by their exact values."""
    rounded = [
        name
        for name in body.columns
        if body.select(
            pl.col(name).str.contains(_ROUNDED).any()
            | (pl.col(name).is_in(["0", "-0"]).any() & ~pl.col(name).str.contains("[1-9]").any())
        ).item()
    ]
    if not rounded:
        return body
    numbers = _load(workbook, best.index, "float").select(rounded).slice(best.body_row)
    for name in rounded:
        exact = numbers[name]
        shown = body[name].cast(pl.Float64, strict=False)
        differs = (exact != shown) & ((exact - shown).abs() <= _ROUNDING)
        body = body.with_columns(
            pl.select(pl.when(differs).then(exact.cast(pl.String)).otherwise(body[name]))
            .to_series()
            .alias(name)
        )
    return body


def _dates_without_time(body: pl.DataFrame) -> pl.DataFrame:
    """Remove the time of day from columns that have midnight in every row: they contain dates."""
    dates = [
        name
        for name in body.columns
        if body[name].null_count() < body.height
        and body.select(pl.col(name).str.contains(_MIDNIGHT).all(ignore_nulls=True)).item()
    ]
    return body.with_columns(pl.col(dates).str.head(10)) if dates else body
