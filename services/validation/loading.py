"""Which rows are loaded, and what Druid gets of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from services.validation.column_types import ColumnFacts, Reading
from services.validation.names import TIME
from services.validation.table import ROW, Table, column
from sluice.validation.v1.validation_pb2 import LoadType, OnMisfit

_LINE_BREAKS = r"[\r\n\x01]+"
"""Druid reads a CSV line by line, also inside quotes, and takes U+0001 for the separator of lists: a blank stands for them."""


@dataclass(frozen=True)
class Loading:
    """The decisions on a table, as expressions over its frame."""

    table: Table
    columns: Sequence[ColumnFacts]
    names: Sequence[str]
    """Names in Druid, in the order of `columns`."""
    time: ColumnFacts | None
    reading: Reading
    on_misfit: "OnMisfit.ValueType"
    blank_rows: int

    def rejects_misfits(self, fact: ColumnFacts) -> bool:
        """Whether a value of this column that does not fit refuses its row."""
        return (fact.on_misfit or self.on_misfit) == OnMisfit.ON_MISFIT_REJECT_ROW

    def load_type(self, fact: ColumnFacts) -> "LoadType.ValueType":
        """How a column stands in the parts."""
        return LoadType.LOAD_TYPE_TIME if fact is self.time else fact.load_type

    def misfit(self, fact: ColumnFacts) -> pl.Expr:
        """Whether the row's value is there and does not fit."""
        return self.reading.value(column(fact.position)).is_not_null() & fact.typed(self.reading).is_null()

    def not_blank(self) -> pl.Expr:
        """Whether the row has any value."""
        if not self.blank_rows:
            return pl.lit(True)
        return pl.any_horizontal([self.reading.value(column(fact.position)).is_not_null() for fact in self.columns])

    def faults(self) -> list[tuple[ColumnFacts, pl.Expr]]:
        """Everything that may refuse a row, the time first: the column, and whether it is at fault."""
        found = []
        if self.time is not None and self.time.fitting < self.time.rows:
            found.append((self.time, self.time.typed(self.reading).is_null()))
        found += [
            (fact, self.misfit(fact)) for fact in self.columns if fact.misfits and fact is not self.time and self.rejects_misfits(fact)
        ]
        return found

    def loadable(self) -> pl.LazyFrame:
        """ROW, `__time` (milliseconds) where there is a time column, and the columns as they are loaded, of the rows that are."""
        frame = self.table.frame()
        at_fault = [expression for _, expression in self.faults()]
        if self.blank_rows:
            frame = frame.filter(self.not_blank())
        if at_fault:
            frame = frame.filter(pl.any_horizontal(at_fault).not_())
        wanted = [pl.col(ROW)]
        if self.time is not None:
            wanted.append(self.time.typed(self.reading).dt.epoch("ms").alias(TIME))
        for fact, name in zip(self.columns, self.names, strict=True):
            if fact is not self.time and self.load_type(fact) != LoadType.LOAD_TYPE_UNSPECIFIED:
                wanted.append(self._loaded(fact).alias(name))
        return frame.select(wanted)

    def _loaded(self, fact: ColumnFacts) -> pl.Expr:
        if fact.is_number:
            return fact.typed(self.reading)
        if fact.time_format is not None:
            return fact.time_format.shown(fact.typed(self.reading))
        text = fact.typed(self.reading)
        return text.str.replace_all(_LINE_BREAKS, " ") if self.table.line_breaks else text

    def changed_texts(self) -> list[tuple[ColumnFacts, pl.Expr]]:
        """Per text column: how many values have line breaks, for which blanks are loaded. Over the frame of the table."""
        if not self.table.line_breaks:
            return []
        texts = [fact for fact in self.columns if not fact.is_number and fact.time_format is None and fact.values]
        return [(fact, pl.col(column(fact.position)).str.contains(_LINE_BREAKS).sum()) for fact in texts]
