"""A workbook's table, every cell as text: which types the columns have is decided as for a CSV
file, on all values.

Dates come as ISO 8601, numbers in full precision, cells with an error as null.
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
from services.validation.reading.dialect import JUDGED_ROWS, names_or_data
from services.validation.reading.faults import FileFault
from services.validation.reading.table import ROW, LineMap, Table, column
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import FileFormat, Header, ReadOptions, Sheet

HEADER_WITHIN_ROWS = 50
"""The header is looked for in this many rows."""
HEADER_WIDTH_SHARE = 0.6
"""Share of the widest row's cells that the header must have: titles above a table are narrower."""
SHOWN_SHEETS = 10

_ROUNDED = r"\.\d{9}$"
_ROUNDING = 6e-10
"""The reader writes numbers with nine decimals when it is asked for text."""
_LINE_BREAKS = r"[\r\n\x01]"
_MIDNIGHT = r"^\d{4}-\d{2}-\d{2} 00:00:00$"


@dataclass(frozen=True)
class _Candidate:
    """A sheet that has a table."""

    index: int
    name: str
    cells: pl.DataFrame
    """All cells, from A1 on."""
    header_row: int
    """From 0; the first row where there is no header."""
    has_header: bool
    titles: int
    """Rows above it that are not blank."""
    filled: int
    """Cells with a value from the header on."""

    @property
    def body_row(self) -> int:
        """The first row of the data, from 0."""
        return self.header_row + self.has_header


def read(
    source: Path, format: "FileFormat.ValueType", limits: Limits, options: ReadOptions | None = None
) -> Table:
    """The table of the sheet that has the most of one, or of the one that was named.

    Raises:
        FileFault: FILE_CORRUPT, FILE_ENCRYPTED, RESOURCE_LIMIT, SHEET_NOT_FOUND, OPTION_MISFIT,
        NO_ROWS.
    """
    warnings: list[Problem] = []
    if format == FileFormat.FILE_FORMAT_XLSX:
        wrong = zip_guard.check(
            source, limits.max_inflated_bytes, limits.max_columns, limits.max_cells
        )
        if wrong:
            message = f"{wrong:,} cells of the workbook hold an error such as #DIV/0! instead of a value; they are read as empty."
            warnings.append(
                errors.problem(
                    ErrorReason.ERROR_REASON_VALUE_MISFIT,
                    message,
                    action="Mend the formulas of these cells.",
                )
            )
    with _faults_of_the_file():
        workbook = fastexcel.read_excel(source)
        names = list(workbook.sheet_names)
    said = options or ReadOptions()
    if said.sheet and said.sheet not in names:
        known = ", ".join(map(repr, names[:SHOWN_SHEETS]))
        message = f"The workbook has no sheet {said.sheet!r}; it has {known}."
        raise FileFault(ErrorReason.ERROR_REASON_SHEET_NOT_FOUND, message, value=said.sheet)
    best, others = _choose(workbook, names, said)
    if best is None:
        raise FileFault(
            ErrorReason.ERROR_REASON_SHEET_NOT_FOUND,
            "No sheet of the workbook has a header row with at least two cells.",
        )
    if others and not said.sheet:
        named = ", ".join(repr(name) for name in others[:SHOWN_SHEETS]) + (
            ", ..." if len(others) > SHOWN_SHEETS else ""
        )
        message = f"Only the sheet {best.name!r} was read, not {named}."
        warnings.append(
            errors.problem(ErrorReason.ERROR_REASON_SHEETS_IGNORED, message, value=best.name)
        )
    if best.titles:
        message = f"{best.titles:,} rows above the table were skipped."
        warnings.append(
            errors.problem(
                ErrorReason.ERROR_REASON_LINES_SKIPPED, message, line=1, value=best.titles
            )
        )
    if not best.has_header and said.header != Header.HEADER_NO:
        message = "The first row holds numbers or times like the rows below it, no names."
        warnings.append(
            errors.problem(ErrorReason.ERROR_REASON_NO_HEADER, message, line=best.header_row + 1)
        )
    return _table(workbook, best, names, format, limits, warnings)


@contextmanager
def _faults_of_the_file() -> Iterator[None]:
    """What the reader raises, as a fault of the file."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as failure:  # a panic of the reader is no Exception
        text = str(failure).split("\n", 1)[0]
        if "password" in text.lower():
            raise FileFault(
                ErrorReason.ERROR_REASON_FILE_ENCRYPTED, "The workbook is protected by a password."
            ) from failure
        if type(failure).__name__ == "PanicException":
            text = "its structure makes no sense"
        raise FileFault(
            ErrorReason.ERROR_REASON_FILE_CORRUPT, f"The workbook cannot be read: {text}."
        ) from failure


def _load(
    workbook: fastexcel.ExcelReader, index: int, type: Literal["string", "float"]
) -> pl.DataFrame:
    """All cells from A1 on; columns are named by their place in the result."""
    with _faults_of_the_file():
        sheet = workbook.load_sheet(index, header_row=None, skip_rows=0, dtypes=type)
        frame: pl.DataFrame = sheet.to_polars()
    frame.columns = [column(position) for position in range(frame.width)]
    return frame


def _choose(
    workbook: fastexcel.ExcelReader, names: list[str], options: ReadOptions
) -> tuple[_Candidate | None, list[str]]:
    """The sheet with the most cells below a header, and the names of the others that have cells."""
    best: _Candidate | None = None
    with_cells = []
    fault: FileFault | None = None
    for index, name in enumerate(names):
        if options.sheet and name != options.sheet:
            continue
        try:
            cells = _load(workbook, index, "string")
        except FileFault as found:
            # A sheet of another kind, such as a chart, does not keep the others from being read.
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
            message = f"The header is said to be in row {options.header_row:,} of the sheet {name!r}, which is empty."
            raise FileFault(ErrorReason.ERROR_REASON_OPTION_MISFIT, message, value="header_row")
    elif widest < 2:
        return None
    else:
        row = next(
            row for row, count in enumerate(head) if count >= max(2, widest * HEADER_WIDTH_SHARE)
        )
    titles = sum(count > 0 for count in filled.head(row))
    has_header = options.header != Header.HEADER_NO
    # Below a title, the widest row is a header whatever it holds.
    if has_header and options.header != Header.HEADER_YES and not options.header_row and not titles:
        first, *below = (
            tuple((cell or "").encode() for cell in cells)
            for cells in cells.slice(row, 1 + JUDGED_ROWS).iter_rows()
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
    # Empty columns left and right of the table are none of it.
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
        message = f"The sheet {best.name!r} has {len(header):,} columns; at most {limits.max_columns:,} are read."
        raise FileFault(ErrorReason.ERROR_REASON_RESOURCE_LIMIT, message, value=len(header))
    if not body.height:
        message = f"There is no row below the header of the sheet {best.name!r}."
        raise FileFault(ErrorReason.ERROR_REASON_NO_ROWS, message)
    body = _with_full_precision(
        workbook, best, body.select([column(position) for position in range(first, last + 1)])
    )
    body = _days_without_clock(body)
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
    """The cells, with numbers that the reader rounded in their text written in full."""
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


def _days_without_clock(body: pl.DataFrame) -> pl.DataFrame:
    """The cells, with days written as days: a workbook keeps them as midnights, which a column of
    days alone then shows.
    """
    days = [
        name
        for name in body.columns
        if body[name].null_count() < body.height
        and body.select(pl.col(name).str.contains(_MIDNIGHT).all(ignore_nulls=True)).item()
    ]
    return body.with_columns(pl.col(days).str.head(10)) if days else body
