"""The profile of the times: precision, gaps, outliers and a hint for the segment granularity."""

from collections import Counter
from collections.abc import Iterator

import polars as pl

from services.common import errors
from services.validation.columns.column_types import ColumnFacts
from services.validation.columns.names import TIME
from services.validation.columns.time_formats import EPOCH_SECONDS
from services.validation.parts.loading import Loading
from services.validation.reading.table import Table, column
from services.validation.report.distinct import Distinct
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import TimeColumn, TimeGranularity

DAY_MILLIS = 86_400_000
_UNITS = (
    (TimeGranularity.TIME_GRANULARITY_DAY, DAY_MILLIS),
    (TimeGranularity.TIME_GRANULARITY_HOUR, 3_600_000),
    (TimeGranularity.TIME_GRANULARITY_MINUTE, 60_000),
    (TimeGranularity.TIME_GRANULARITY_SECOND, 1000),
)
"""Coarsest first."""
_TIME = pl.col(TIME)
_OUTLIERS = {
    "YEAR_1970": (
        _TIME.is_between(0, 365 * DAY_MILLIS, closed="left"),
        "are in 1970, like zeros",
    ),
    "BEFORE_1900": (_TIME < -25_567 * DAY_MILLIS, "are before 1900"),
    "AFTER_2200": (_TIME >= 84_006 * DAY_MILLIS, "are after 2200, like 9999-12-31"),
}
"""Per kind of outlier, its condition and description."""

SHOWN_GAPS = 10
SHOWN_DAYS = 366
SHOWN_MONTHS = 1_200
GAP_FACTOR = 3
"""Days without rows are a gap from this multiple of the usual distance between days with rows."""
ROWS_PER_CHUNK = 50_000
MAX_CHUNKS = 100
"""Many small segments slow every query."""


class TimeProfile:
    """Profiles the times of the loadable rows, batch by batch."""

    def __init__(self) -> None:
        self._whole = {unit: True for unit, _ in _UNITS}
        self._first_of_month = True
        self._days = pl.DataFrame(schema={"day": pl.Int64, "count": pl.Int64})
        self._hours = Distinct()
        self._outliers: Counter[str] = Counter()

    def add(self, times: pl.Series) -> None:
        """Profiles a batch of times, in milliseconds since 1970."""
        units = [(unit, millis) for unit, millis in _UNITS if self._whole[unit]]
        found = times.to_frame(TIME).select(
            *((_TIME % millis == 0).all().alias(str(unit)) for unit, millis in units),
            *(condition.sum().alias(kind) for kind, (condition, _) in _OUTLIERS.items()),
        )
        for unit, _ in units:
            self._whole[unit] = found[str(unit)][0]
        self._outliers.update({kind: found[kind][0] for kind in _OUTLIERS})
        if self._first_of_month:
            self._first_of_month = bool((times.cast(pl.Datetime("ms")).dt.day() == 1).all())
        days = (times // DAY_MILLIS).rename("day").value_counts().cast(pl.Int64)
        self._days = pl.concat([self._days, days]).group_by("day").agg(pl.col("count").sum())
        self._hours.add((times // 3_600_000).hash())

    def fill(self, column: TimeColumn, loading: Loading, table: Table, rows: int) -> list[Problem]:
        """Adds the profile to the report's time column. Returns the warnings.

        `rows`: the loadable rows.
        """
        fact = loading.time
        if fact is None or fact.time_format is None:
            raise ValueError("there is no time column")
        zone = "stated" if fact.time_format.has_zone else "assumed UTC"
        column.zone = "epoch" if fact.time_format.is_epoch else zone
        if not rows:
            return []
        column.granularity = next(
            (unit for unit, whole in self._whole.items() if whole),
            TimeGranularity.TIME_GRANULARITY_MILLISECOND,
        )
        if column.granularity == TimeGranularity.TIME_GRANULARITY_DAY and self._first_of_month:
            column.granularity = TimeGranularity.TIME_GRANULARITY_MONTH
        by_day = self._days.sort("day")
        days = by_day["day"]
        column.days = len(days)
        for start, count in _rows_in_time(by_day):
            column.rows_in_time.add(start_millis=start, rows=count)
        for start, end in _gaps(days):
            column.gaps.add(start_millis=start * DAY_MILLIS, end_millis=end * DAY_MILLIS)
        whole_days = column.granularity >= TimeGranularity.TIME_GRANULARITY_DAY
        column.segment_hint = _hint(days, None if whole_days else self._hours.count, rows)
        return list(self._warnings(column, fact, loading, table, rows))

    def _warnings(
        self, column: TimeColumn, fact: ColumnFacts, loading: Loading, table: Table, rows: int
    ) -> Iterator[Problem]:
        for kind, (_, description) in _OUTLIERS.items():
            count = self._outliers[kind]
            # If most times are like this, they are intended.
            if count and count * 2 < rows:
                column.outliers.add(kind=kind, count=count)
                yield errors.problem(
                    ErrorReason.ERROR_REASON_TIME_OUTLIERS,
                    f"{count:,} of {rows:,} times in {fact.display_name} {description}.",
                    column=fact.source_name,
                    value=count,
                )
        if count := _in_other_unit(fact, loading, table):
            column.outliers.add(kind="SECONDS_MILLIS_MIX", count=count)
            message = f"{fact.display_name} mixes seconds and milliseconds since 1970: {count:,} values are in the other unit."
            yield errors.problem(
                ErrorReason.ERROR_REASON_TIME_UNITS_MIXED,
                message,
                column=fact.source_name,
                value=count,
            )


def _rows_in_time(by_day: pl.DataFrame) -> list[tuple[int, int]]:
    """Start in milliseconds and rows of each day, month or year with rows.

    Uses the finest of these periods that does not give too many.
    """
    start = (pl.col("day") * DAY_MILLIS).cast(pl.Datetime("ms"))
    for step, most in (("1d", SHOWN_DAYS), ("1mo", SHOWN_MONTHS), ("1y", None)):
        summed = (
            by_day.group_by(start.dt.truncate(step).dt.epoch("ms").alias("start"))
            .agg(pl.col("count").sum())
            .sort("start")
        )
        if most is None or len(summed) <= most:
            break
    return list(summed.iter_rows())


def _gaps(days: pl.Series) -> list[tuple[int, int]]:
    """The longest gaps in order: the first day without rows, and the next day with rows."""
    if len(days) < 3:
        return []
    steps = days.diff().drop_nulls()
    usual = float(steps.median() or 1)  # type: ignore[arg-type]
    frame = pl.DataFrame(
        {"start": days.head(len(days) - 1) + 1, "end": days.tail(len(days) - 1), "step": steps}
    )
    longest = (
        frame.filter(pl.col("step") > max(1, usual * GAP_FACTOR))
        .sort("step", descending=True)
        .head(SHOWN_GAPS)
        .sort("start")
    )
    return [(start, end) for start, end, _ in longest.iter_rows()]


def _hint(days: pl.Series, hours: int | None, rows: int) -> str:
    """The finest segment granularity with few enough and large enough time chunks."""
    dates = (days * DAY_MILLIS).cast(pl.Datetime("ms")).dt
    chunks = {} if hours is None else {"HOUR": hours}
    chunks |= {"DAY": len(days), "MONTH": dates.strftime("%Y-%m").n_unique()}
    most = min(MAX_CHUNKS, max(rows // ROWS_PER_CHUNK, 1))
    return next((name for name, count in chunks.items() if count <= most), "YEAR")


def _in_other_unit(fact: ColumnFacts, loading: Loading, table: Table) -> int:
    """Type mismatches that are milliseconds in a column of seconds, or the reverse."""
    if fact.time_format is None or not fact.time_format.is_epoch or not fact.misfits:
        return 0
    number = loading.null_tokens.value(column(fact.position)).cast(pl.Int64, strict=False)
    least, most = (10**11, 10**13) if fact.time_format.format == EPOCH_SECONDS else (10**8, 10**10)
    found = (
        table.frame()
        .select(number.is_between(least, most, closed="left").sum())
        .collect(engine="streaming")
    )
    return int(found.item() or 0)
