"""The guide columns of a rejects file: what we put before the user's own columns, and take off
again when the repaired file comes back.

The first one's name holds the task whose rows these are; the others have fixed names. A file whose
header begins so is a rejects file.
"""

import re
from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from services.common.formulas import FORMULA_START
from services.validation.columns.names import TIME
from services.validation.reading.table import ROW, Batch, BrokenRow, Table, column
from sluice.validation.v1.validation_pb2 import Contract, ReadOptions

_FIRST = re.compile(r"line of ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_OTHERS = ("column", "value", "reason", "repair")
COLUMNS = 1 + len(_OTHERS)
"""How many there are."""

_ESCAPED = f"^'({FORMULA_START})"
"""What `without_formula` makes of a cell that a spreadsheet would run."""


def header(task_id: str) -> list[str]:
    """Names of the guide columns of a task's rejects file."""
    return [f"line of {task_id}", *_OTHERS]


def task_of(names: Sequence[str]) -> str:
    """The task whose rejects file has this header; empty where it is any other file."""
    match = _FIRST.fullmatch(names[0].strip()) if names else None
    return match[1] if match and tuple(name.strip() for name in names[1:COLUMNS]) == _OTHERS else ""


def without(table: Table) -> Table:
    """The user's own table: without the guide columns, and with cells as they were before they were
    escaped.
    """
    return replace(
        table,
        header=own_names(table.header),
        frame=lambda: _own(table.frame(), len(table.header)),
        guide_columns=COLUMNS,
    )


def without_in(batch: Batch) -> Batch:
    """The same of some rows."""
    return replace(
        batch,
        header=own_names(batch.header),
        frame=_own(batch.frame.lazy(), len(batch.header)).collect(),
    )


def as_last_load(options: ReadOptions, contract: Contract, header: Sequence[str]) -> ReadOptions:
    """How the repaired rows are read: as those of the last load where their sender says nothing
    else, as a few rows tell too little. `header`: the user's own names.
    """
    made = ReadOptions()
    made.CopyFrom(options)
    said = {column.name for column in options.columns}
    for known in contract.columns:
        if known.source_name in said or known.source_name not in header:
            continue
        made.columns.add(name=known.source_name, type=known.type, time_format=known.time_format)
        if known.name == TIME and not options.time_column:
            made.time_column = known.source_name
    return made


def own_names(header: Sequence[str]) -> list[str]:
    """The user's own names of a rejects file's columns."""
    return [re.sub(_ESCAPED, r"\1", name) for name in header[COLUMNS:]]


def _own(frame: pl.LazyFrame, columns: int) -> pl.LazyFrame:
    names = [column(position) for position in range(columns - COLUMNS)]
    cells = [pl.col(column(position + COLUMNS)).alias(name) for position, name in enumerate(names)]
    return frame.select(ROW, *cells).with_columns(pl.col(names).str.replace(_ESCAPED, "${1}"))


def own_fields(table: Table, broken: BrokenRow) -> BrokenRow:
    """The row without its guide cells."""
    return replace(broken, fields=broken.fields[table.guide_columns :])
