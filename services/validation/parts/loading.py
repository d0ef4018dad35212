"""Which rows are loaded, and the values that Druid receives."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import polars as pl

from services.validation.columns.column_types import ColumnFacts, NullTokens
from services.validation.columns.evidence import ParsedColumns
from services.validation.columns.names import TIME
from services.validation.reading.table import ROW, column
from sluice.validation.v1.validation_pb2 import ColumnType, LoadType, OnMisfit

_LINE_BREAKS = r"[\r\n\x01]+"
"""Replaced by a blank: Druid splits CSV at line breaks even inside quotes, and lists at U+0001."""


@dataclass(frozen=True)
class Loading:
    """The decisions on a table, as expressions over its rows."""

    columns: Sequence[ColumnFacts]
    names: Sequence[str]
    """Names in Druid, in the order of `columns`."""
    time: ColumnFacts | None
    null_tokens: NullTokens
    on_misfit: "OnMisfit.ValueType"
    left_out: frozenset[int] = frozenset()
    """Positions of the columns that the datasource's contract leaves out."""

    def rejects_misfits(self, fact: ColumnFacts) -> bool:
        """Whether a type mismatch in this column rejects its row."""
        return (
            fact.position not in self.left_out
            and (fact.on_misfit or self.on_misfit) == OnMisfit.ON_MISFIT_REJECT_ROW
        )

    def load_type(self, fact: ColumnFacts) -> "LoadType.ValueType":
        """Type of the column in the parts; UNSPECIFIED if it is not loaded."""
        if fact.position in self.left_out:
            return LoadType.LOAD_TYPE_UNSPECIFIED
        return LoadType.LOAD_TYPE_TIME if fact is self.time else fact.load_type

    def misfit(self, fact: ColumnFacts) -> pl.Expr:
        """Whether the row's value is a type mismatch."""
        return (
            self.null_tokens.value(column(fact.position)).is_not_null()
            & fact.typed(self.null_tokens).is_null()
        )

    def not_blank(self, without_tokens: Collection[int] = ()) -> pl.Expr:
        """Whether the row has any value.

        `without_tokens`: positions of columns without null tokens.
        """
        values = [
            pl.col(column(fact.position))
            if fact.position in without_tokens
            else self.null_tokens.value(column(fact.position))
            for fact in self.columns
        ]
        return pl.any_horizontal([value.is_not_null() for value in values])

    def faults(self) -> list[tuple[ColumnFacts, pl.Expr]]:
        """The columns that reject rows, the time column first, and whether a row is at fault."""
        found = []
        if self.time is not None and self.time.fitting < self.time.rows:
            found.append((self.time, self.time.typed(self.null_tokens).is_null()))
        found += [
            (fact, self.misfit(fact))
            for fact in self.columns
            if fact.misfits and fact is not self.time and self.rejects_misfits(fact)
        ]
        return found

    def loaded(self) -> dict[str, tuple[ColumnFacts, str]]:
        """Columns of the frame of loadable rows, without ROW: facts and name in Druid, by name."""
        others = {
            column(fact.position): (fact, name)
            for fact, name in zip(self.columns, self.names, strict=True)
            if fact is not self.time and self.load_type(fact) != LoadType.LOAD_TYPE_UNSPECIFIED
        }
        return {TIME: (self.time, TIME), **others} if self.time is not None else others

    def loadable(
        self, frame: pl.DataFrame, parsed: ParsedColumns, *, line_breaks: bool
    ) -> pl.DataFrame:
        """The loadable rows of a batch: ROW and the columns of `loaded`, times in milliseconds.

        Reuses the parsed columns of the batch. `line_breaks`: whether its texts may have any.
        """
        reused = {
            fact.position: parsed.values[fact.position]
            for fact in self.columns
            if self._has_decided_type(fact, parsed)
        }
        ready = {
            *reused,
            *(
                fact.position
                for fact in self.columns
                if fact.position in parsed.texts and not fact.is_number and not fact.is_time
            ),
        }

        def typed(fact: ColumnFacts) -> pl.Expr:
            if fact.position in ready:
                return pl.col(column(fact.position))
            return fact.typed(self.null_tokens)

        at_fault = []
        if self.time is not None and not (
            self.time.position in reused and not reused[self.time.position].null_count()
        ):
            at_fault.append(typed(self.time).is_null())
        at_fault += [
            self.misfit(fact)
            for fact in self.columns
            if fact.position not in ready
            and fact is not self.time
            and fact.may_misfit
            and self.rejects_misfits(fact)
        ]
        rows = frame.with_columns(list(reused.values())).lazy()
        if parsed.has_blank_rows:
            rows = rows.filter(self.not_blank(ready))
        if at_fault:
            rows = rows.filter(pl.any_horizontal(at_fault).not_())
        wanted = [pl.col(ROW)]
        for name, (fact, _) in self.loaded().items():
            wanted.append(self._as_loaded(fact, typed(fact), line_breaks).alias(name))
        return rows.select(wanted).collect()

    def _has_decided_type(self, fact: ColumnFacts, parsed: ParsedColumns) -> bool:
        """Whether the column was parsed in its decided type."""
        values = parsed.values.get(fact.position)
        return values is not None and (
            fact.time_format is not None if values.dtype == pl.Datetime else fact.is_number
        )

    def _as_loaded(self, fact: ColumnFacts, typed: pl.Expr, line_breaks: bool) -> pl.Expr:
        if fact is self.time:
            return typed.dt.epoch("ms")
        if fact.is_number:
            return typed.cast(pl.Float64) if fact.type == ColumnType.COLUMN_TYPE_DECIMAL else typed
        if fact.time_format is not None:
            return fact.time_format.to_text(typed)
        return typed.str.replace_all(_LINE_BREAKS, " ") if line_breaks else typed

    def changed_texts(self) -> list[pl.Expr]:
        """Per text column, the number of values whose line breaks are replaced by blanks."""
        return [
            pl.col(column(fact.position)).str.contains(_LINE_BREAKS).sum()
            for fact in self.columns
            if not fact.is_number and fact.time_format is None
        ]

    def same_rows_as(self, other: "Loading") -> bool:
        """Whether both load the same rows with the same values."""
        return self._key() == other._key()

    def _key(self) -> list[object]:
        key: list[object] = [self.time.position if self.time is not None else None]
        for fact, name in zip(self.columns, self.names, strict=True):
            key.append(
                (
                    name,
                    fact.type,
                    self.load_type(fact),
                    fact.time_format,
                    fact.style,
                    self.rejects_misfits(fact),
                )
            )
        return key
