"""Which rows are loaded, and what Druid gets of them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from services.validation.columns.column_types import ColumnFacts, Plain, Reading
from services.validation.columns.names import TIME
from services.validation.reading.table import ROW, column
from sluice.validation.v1.validation_pb2 import ColumnType, LoadType, OnMisfit

_LINE_BREAKS = r"[\r\n\x01]+"
"""Druid reads a CSV line by line, also inside quotes, and takes U+0001 for the separator of lists:
a blank stands for them.
"""


@dataclass(frozen=True)
class Loading:
    """The decisions on a table, as expressions over its rows."""

    columns: Sequence[ColumnFacts]
    names: Sequence[str]
    """Names in Druid, in the order of `columns`."""
    time: ColumnFacts | None
    reading: Reading
    on_misfit: "OnMisfit.ValueType"
    left_out: frozenset[int] = frozenset()
    """Places of the columns that the datasource's contract leaves out."""

    def rejects_misfits(self, fact: ColumnFacts) -> bool:
        """Whether a value of this column that does not fit refuses its row."""
        return (
            fact.position not in self.left_out
            and (fact.on_misfit or self.on_misfit) == OnMisfit.ON_MISFIT_REJECT_ROW
        )

    def load_type(self, fact: ColumnFacts) -> "LoadType.ValueType":
        """How a column stands in the parts."""
        if fact.position in self.left_out:
            return LoadType.LOAD_TYPE_UNSPECIFIED
        return LoadType.LOAD_TYPE_TIME if fact is self.time else fact.load_type

    def misfit(self, fact: ColumnFacts) -> pl.Expr:
        """Whether the row's value is there and does not fit."""
        return (
            self.reading.value(column(fact.position)).is_not_null()
            & fact.typed(self.reading).is_null()
        )

    def not_blank(self, known: Collection[int] = ()) -> pl.Expr:
        """Whether the row has any value. Those of `known` columns are null where they mean
        nothing.
        """
        values = [
            pl.col(column(fact.position))
            if fact.position in known
            else self.reading.value(column(fact.position))
            for fact in self.columns
        ]
        return pl.any_horizontal([value.is_not_null() for value in values])

    def faults(self) -> list[tuple[ColumnFacts, pl.Expr]]:
        """Everything that may refuse a row, the time first: the column, and whether it is at
        fault.
        """
        found = []
        if self.time is not None and self.time.fitting < self.time.rows:
            found.append((self.time, self.time.typed(self.reading).is_null()))
        found += [
            (fact, self.misfit(fact))
            for fact in self.columns
            if fact.misfits and fact is not self.time and self.rejects_misfits(fact)
        ]
        return found

    def loaded(self) -> dict[str, tuple[ColumnFacts, str]]:
        """The columns of the frame of loadable rows, but for ROW, in their order: by their name
        there, the facts and the name in Druid."""
        others = {
            column(fact.position): (fact, name)
            for fact, name in zip(self.columns, self.names, strict=True)
            if fact is not self.time and self.load_type(fact) != LoadType.LOAD_TYPE_UNSPECIFIED
        }
        return {TIME: (self.time, TIME), **others} if self.time is not None else others

    def loadable(self, frame: pl.DataFrame, plain: Plain, *, line_breaks: bool) -> pl.DataFrame:
        """ROW, and the columns of `loaded` (the time in milliseconds), of the rows of a batch that
        are loaded. Columns that were read already are not read again."""
        read = {
            fact.position: plain.values[fact.position]
            for fact in self.columns
            if self._is_read_so(fact, plain)
        }
        known = {
            *read,
            *(
                fact.position
                for fact in self.columns
                if fact.position in plain.texts and not fact.is_number and not fact.is_time
            ),
        }

        def typed(fact: ColumnFacts) -> pl.Expr:
            return (
                pl.col(column(fact.position))
                if fact.position in known
                else fact.typed(self.reading)
            )

        at_fault = []
        if self.time is not None and not (
            self.time.position in read and not read[self.time.position].null_count()
        ):
            at_fault.append(typed(self.time).is_null())
        at_fault += [
            self.misfit(fact)
            for fact in self.columns
            if fact.position not in known
            and fact is not self.time
            and fact.may_misfit
            and self.rejects_misfits(fact)
        ]
        made = frame.with_columns(list(read.values())).lazy()
        if plain.blank:
            made = made.filter(self.not_blank(known))
        if at_fault:
            made = made.filter(pl.any_horizontal(at_fault).not_())
        wanted = [pl.col(ROW)]
        for name, (fact, _) in self.loaded().items():
            wanted.append(self._as_loaded(fact, typed(fact), line_breaks).alias(name))
        return made.select(wanted).collect()

    def _is_read_so(self, fact: ColumnFacts, plain: Plain) -> bool:
        """Whether the column was read in the type that was decided."""
        values = plain.values.get(fact.position)
        return values is not None and (
            fact.time_format is not None if values.dtype == pl.Datetime else fact.is_number
        )

    def _as_loaded(self, fact: ColumnFacts, typed: pl.Expr, line_breaks: bool) -> pl.Expr:
        if fact is self.time:
            return typed.dt.epoch("ms")
        if fact.is_number:
            return typed.cast(pl.Float64) if fact.type == ColumnType.COLUMN_TYPE_DECIMAL else typed
        if fact.time_format is not None:
            return fact.time_format.shown(typed)
        return typed.str.replace_all(_LINE_BREAKS, " ") if line_breaks else typed

    def changed_texts(self) -> list[tuple[int, pl.Expr]]:
        """Per text column, by position: how many values have line breaks, for which blanks are
        loaded. Over a batch as it was read.
        """
        texts = [
            fact.position
            for fact in self.columns
            if not fact.is_number and fact.time_format is None
        ]
        return [
            (position, pl.col(column(position)).str.contains(_LINE_BREAKS).sum())
            for position in texts
        ]

    def reads_as(self, other: "Loading") -> bool:
        """Whether the same rows are loaded, and in the same way."""
        return self._ways() == other._ways()

    def _ways(self) -> list[object]:
        ways: list[object] = [self.time.position if self.time is not None else None]
        for fact, name in zip(self.columns, self.names, strict=True):
            ways.append(
                (
                    name,
                    fact.type,
                    self.load_type(fact),
                    fact.time_format,
                    fact.style,
                    self.rejects_misfits(fact),
                )
            )
        return ways
