"""The rows that are not loaded: the user's own cells, where they stand and what is wrong with
them.
"""

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
from services.validation.reading.table import ROW, Table, column
from services.validation.report import guide, repairs
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import ColumnType, Reject

MARKS = "rejects.marks"
SHOWN_REJECTS = 100
SHOWN_MISFITS = 3
SHOWN_PROBLEMS = 10
"""Faults of one row that the report names; it has to stay small enough for a message."""
BATCH_ROWS = 20_000


@dataclass
class Rejects:
    """What was refused."""

    count: int = 0
    first: list[Reject] = field(default_factory=list)
    """The first SHOWN_REJECTS of the file."""
    misfits: dict[int, list[tuple[int, str]]] = field(default_factory=dict)
    """Per column, by position: line and value of the first few that do not fit."""
    path: Path | None = None
    """CSV of all of them; None where there is none. MARKS, beside it, has for each the places of
    the cells at fault.
    """


@dataclass(frozen=True)
class _Row:
    line: int
    cells: list[str]
    """Of the file: the guide columns, then the user's."""
    at_fault: str
    """Places of the user's cells at fault, from 0, with blanks between; empty where the whole row
    is.
    """


class _Writer:
    """Writes rows that end with a line feed. A lone carriage return would end one too, as most
    programs read it, and the module puts no quotes around it."""

    def __init__(self, file: IO[str]) -> None:
        self._usual = csv.writer(file, lineterminator="\n")
        self._quoting = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(self, cells: Sequence[str]) -> None:
        writer = self._quoting if any("\r" in cell for cell in cells) else self._usual
        writer.writerow(cells)


def write(table: Table, loading: Loading | None, folder: Path, task_id: str) -> Rejects:
    """Writes all refused rows to rejects.csv in `folder`, by line. `loading` is None where no row
    got so far.
    """
    rejects = Rejects()
    sources: list[Iterator[_Row]] = []
    if table.broken_path is not None:
        sources.append(_broken(table, table.broken_path, rejects))
    if loading is not None and (loading.faults() or any(fact.misfits for fact in loading.columns)):
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


def _broken(table: Table, path: Path, rejects: Rejects) -> Iterator[_Row]:
    for number, found in enumerate(read_broken(path)):
        broken = guide.own_fields(table, found)
        problem = errors.problem(
            broken.reason, broken.message, line=broken.line, value=broken.found
        )
        if number < SHOWN_REJECTS:
            rejects.first.append(Reject(line=broken.line, problems=[problem]))
        yield _row(broken.line, [problem], broken.found, broken.fields)


def _faulty(table: Table, loading: Loading, rejects: Rejects) -> Iterator[_Row]:
    """Rows that the grammar takes and a type or the time refuses. Collects the first misfits of
    every column on the way.
    """
    faults = loading.faults()
    tested = faults + [
        (fact, loading.misfit(fact))
        for fact in loading.columns
        if fact.misfits and all(fact is not known for known, _ in faults)
    ]
    flags = [expression.alias(f"fault{fact.position}") for fact, expression in tested]
    frame = (
        table.frame()
        .filter(loading.not_blank())
        .with_columns(flags)
        .filter(pl.any_horizontal([flag.meta.output_name() for flag in flags]))
    )
    refused = 0
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
            for fact, flag, refuses in flagged:
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
                if refuses:
                    problems.append(problem)
            if problems:
                refused += 1
                if refused <= SHOWN_REJECTS:
                    rejects.first.append(Reject(line=line, problems=problems[:SHOWN_PROBLEMS]))
                at_fault = [
                    fact.position for fact, flag, refuses in flagged if refuses and values[flag]
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
    wanted = _KINDS.get(fact.type, "a value of the column's type")
    if fact.time_format is not None:
        wanted += f" in the format {fact.time_format.strptime}"
    if fact is not loading.time:
        reason, message = (
            ErrorReason.ERROR_REASON_VALUE_MISFIT,
            f"The value of {fact.display_name} is not {wanted}.",
        )
    elif loading.null_tokens.is_null(cell):
        reason, message = (
            ErrorReason.ERROR_REASON_TIME_MISSING,
            f"The row has no time in {fact.display_name}.",
        )
    else:
        reason, message = (
            ErrorReason.ERROR_REASON_TIME_INVALID,
            f"The time in {fact.display_name} is not {wanted}.",
        )
    meant = (
        "" if reason == ErrorReason.ERROR_REASON_TIME_MISSING else repairs.suggest(fact, cell or "")
    )
    action = f"Write {meant} in {fact.display_name}, if that is meant." if meant else ""
    return errors.problem(reason, message, line=line, column=name, value=cell or "", action=action)
