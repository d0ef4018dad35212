"""Guide columns of the rejects file.

Sluice adds them before the user's columns, and removes them when the repaired file is uploaded. The
name of the first one contains the id of the task; the others have fixed names. A file whose header
begins with them is a rejects file.
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
"""Number of guide columns."""

_ESCAPED = f"^'({FORMULA_START})"
"""A formula escaped by `without_formula`."""


def header(task_id: str) -> list[str]:
    """Names of the guide columns of a task's rejects file."""
    return [f"line of {task_id}", *_OTHERS]


def task_of(names: Sequence[str]) -> str:
    """The task whose rejects file has this header; empty for any other file."""
    match = _FIRST.fullmatch(names[0].strip()) if names else None
    return match[1] if match and tuple(name.strip() for name in names[1:COLUMNS]) == _OTHERS else ""


def without(table: Table) -> Table:
    """The user's own table, without guide columns and escaped formulas."""
    return replace(
        table,
        header=own_names(table.header),
        frame=lambda: _own(table.frame(), len(table.header)),
        guide_columns=COLUMNS,
    )


def without_in(batch: Batch) -> Batch:
    """The rows of a batch, without guide columns and escaped formulas."""
    return replace(
        batch,
        header=own_names(batch.header),
        frame=_own(batch.frame.lazy(), len(batch.header)).collect(),
    )


def as_last_load(options: ReadOptions, contract: Contract, header: Sequence[str]) -> ReadOptions:
    """Options for repaired rows: those of the last load, unless the sender specifies others.

    A few rows are not enough to detect them. `header`: the user's own names.
    """
    merged = ReadOptions()
    merged.CopyFrom(options)
    specified = {column.name for column in options.columns}
    for known in contract.columns:
        if known.source_name in specified or known.source_name not in header:
            continue
        merged.columns.add(name=known.source_name, type=known.type, time_format=known.time_format)
        if known.name == TIME and not options.time_column:
            merged.time_column = known.source_name
    return merged


def own_names(header: Sequence[str]) -> list[str]:
    """The user's own column names in a rejects file."""
    return [re.sub(_ESCAPED, r"\1", name) for name in header[COLUMNS:]]


def _own(frame: pl.LazyFrame, columns: int) -> pl.LazyFrame:
    names = [column(position) for position in range(columns - COLUMNS)]
    cells = [pl.col(column(position + COLUMNS)).alias(name) for position, name in enumerate(names)]
    return frame.select(ROW, *cells).with_columns(pl.col(names).str.replace(_ESCAPED, "${1}"))


def own_fields(table: Table, broken: BrokenRow) -> BrokenRow:
    """The row without guide columns."""
    return replace(broken, fields=broken.fields[table.guide_columns :])
