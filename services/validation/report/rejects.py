"""The rejects file: every rejected row with its line, its problem and the user's own cells."""

import csv
import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import polars as pl

from services.common import errors
from services.common.formulas import without_formula
from services.validation.columns.column_types import ColumnFacts
from services.validation.parts.loading import Loading
from services.validation.reading.structure import read_broken
from services.validation.reading.table import ROW, BrokenRow, Table, column
from services.validation.report import guide, repairs
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import ColumnType, Reject

MARKS = "rejects.marks"
SHOWN_REJECTS = 100
SHOWN_MISFITS = 3
SHOWN_PROBLEMS = 10
"""Problems of one row in the report, which must fit into a gRPC message."""
BATCH_ROWS = 20_000


@dataclass
class Rejects:
    """The rejected rows of a file."""

    count: int = 0
    first: list[Reject] = field(default_factory=list)
    """The first SHOWN_REJECTS rejects of the file."""
    misfits: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    """By column position: line and value of its first type mismatches."""
    path: Path | None = None
    """CSV of all rejects; None without rejects.

    The file MARKS in the same folder has the positions of the cells at fault, one line per row.
    """


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]
    """The guide columns, then the user's own cells."""
    at_fault: str
    """Positions of the user's cells at fault, separated by blanks; empty for the whole row."""


class _Writer:
    """Writes rows that end with a line feed.

    Quotes cells with a carriage return, which most programs read as a line break. The csv module
    does not quote them by itself.
    """

    def __init__(self, file: IO[str]) -> None:
        self._minimal = csv.writer(file, lineterminator="\n")
        self._quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(self, cells: Sequence[str]) -> None:
        writer = self._quoting if any("\r" in cell for cell in cells) else self._minimal
        writer.writerow(cells)


def write(table: Table, loading: Loading, folder: Path, task_id: str) -> Rejects:
    """Writes all rejected rows to rejects.csv in `folder`, by line."""
    rejects = Rejects()
    sources: list[Iterator[_Row]] = []
    if table.broken_path is not None:
        sources.append(_broken(table, table.broken_path, rejects))
    if loading.faults() or any(fact.misfits for fact in loading.columns):
        sources.append(_faulty(table, loading, rejects))
    path = folder / "rejects.csv"
    with (
        path.open("w", encoding="utf-8", newline="") as file,
        (folder / MARKS).open("w", encoding="ascii") as marks,
    ):
        writer = _Writer(file)
        writer.write([*guide.header(task_id), *(without_formula(name) for name in table.header)])
        for row in heapq.merge(*sources, key=lambda row: row.line):
            rejects.count += 1
            writer.write(row.cells)
            marks.write(f"{row.at_fault}\n")
    rejects.first = sorted(rejects.first, key=lambda reject: reject.line)[:SHOWN_REJECTS]
    if rejects.count:
        rejects.path = path
    else:
        path.unlink()
        (folder / MARKS).unlink()
    return rejects


def _row(
    line: int,
    problems: Sequence[Problem],
    value: str,
    cells: Sequence[str | None],
    at_fault: Sequence[int] = (),
) -> _Row:
    first = problems[0]
    repair = " ".join(dict.fromkeys(problem.action for problem in problems))
    head = [
        str(line),
        without_formula(first.column),
        without_formula(value),
        errors.code_of(first.code),
        repair,
    ]
    return _Row(
        line,
        [*head, *("" if cell is None else without_formula(cell) for cell in cells)],
        " ".join(map(str, at_fault)),
    )


def problem_of(row: BrokenRow) -> Problem:
    """What is wrong with a broken row."""
    return errors.problem(row.reason, row.message, line=row.line, value=row.found)


def _broken(table: Table, path: Path, rejects: Rejects) -> Iterator[_Row]:
    for number, found in enumerate(read_broken(path)):
        broken = guide.own_fields(table, found)
        problem = problem_of(broken)
        if number < SHOWN_REJECTS:
            rejects.first.append(Reject(line=broken.line, problems=[problem]))
        yield _row(broken.line, [problem], broken.found, broken.fields)


def _faulty(table: Table, loading: Loading, rejects: Rejects) -> Iterator[_Row]:
    """Well-formed rows with a type mismatch or without a time.

    Also collects the first type mismatches of every column.
    """
    faults = loading.faults()
    tested = faults + [
        (fact, loading.misfit(fact))
        for fact in loading.columns
        if fact.misfits and all(fact is not faulty for faulty, _ in faults)
    ]
    flags = [expression.alias(f"fault{fact.position}") for fact, expression in tested]
    frame = (
        table.frame()
        .filter(loading.not_blank())
        .with_columns(flags)
        .filter(pl.any_horizontal([flag.meta.output_name() for flag in flags]))
    )
    rejected = 0
    for batch in frame.collect_batches(
        chunk_size=BATCH_ROWS, maintain_order=True, engine="streaming"
    ):
        names = batch.columns
        rows, cells = names.index(ROW), [names.index(column(i)) for i in range(len(table.header))]
        flagged = [
            (fact, names.index(f"fault{fact.position}"), number < len(faults))
            for number, (fact, _) in enumerate(tested)
        ]
        for values in batch.iter_rows():
            line = table.lines.line(values[rows])
            problems = []
            for fact, flag, rejects_row in flagged:
                if not values[flag]:
                    continue
                cell = values[cells[fact.position]]
                problem = _problem(fact, loading, line, cell)
                shown = rejects.misfits.setdefault(fact.position, [])
                if (
                    len(shown) < SHOWN_MISFITS
                    and problem.code != ErrorReason.ERROR_REASON_TIME_MISSING
                ):
                    shown.append((line, problem.value))
                if rejects_row:
                    problems.append(problem)
            if problems:
                rejected += 1
                if rejected <= SHOWN_REJECTS:
                    rejects.first.append(Reject(line=line, problems=problems[:SHOWN_PROBLEMS]))
                at_fault = [
                    fact.position
                    for fact, flag, rejects_row in flagged
                    if rejects_row and values[flag]
                ]
                yield _row(
                    line,
                    problems,
                    values[cells[at_fault[0]]] or "",
                    [values[cell] for cell in cells],
                    at_fault,
                )


_KINDS = {
    ColumnType.COLUMN_TYPE_INTEGER: "a whole number",
    ColumnType.COLUMN_TYPE_DECIMAL: "a number",
    ColumnType.COLUMN_TYPE_DATE: "a date",
    ColumnType.COLUMN_TYPE_DATETIME: "a time",
}


def _problem(fact: ColumnFacts, loading: Loading, line: int, cell: str | None) -> Problem:
    name = fact.source_name
    expected = _KINDS.get(fact.type, "a value of the column's type")
    if fact.time_format is not None:
        expected += f" in the format {fact.time_format.strptime}"
    if fact is not loading.time:
        reason, message = (
            ErrorReason.ERROR_REASON_VALUE_MISFIT,
            f"The value of {fact.display_name} is not {expected}.",
        )
    elif loading.null_tokens.is_null(cell):
        reason, message = (
            ErrorReason.ERROR_REASON_TIME_MISSING,
            f"The row has no time in {fact.display_name}.",
        )
    else:
        reason, message = (
            ErrorReason.ERROR_REASON_TIME_INVALID,
            f"The time in {fact.display_name} is not {expected}.",
        )
    suggestion = (
        "" if reason == ErrorReason.ERROR_REASON_TIME_MISSING else repairs.suggest(fact, cell or "")
    )
    action = f"If it means {suggestion}, write that in {fact.display_name}." if suggestion else ""
    return errors.problem(reason, message, line=line, column=name, value=cell or "", action=action)
