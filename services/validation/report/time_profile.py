"""What the times of the rows tell: how fine they are, where nothing is, which cannot be meant, and
how long Druid's segments may be.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from services.common import errors
from services.validation.columns.column_types import ColumnFacts
from services.validation.columns.time_formats import EPOCH_MILLIS, EPOCH_SECONDS
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
_YEAR_1970 = (0, 365 * DAY_MILLIS)
_YEAR_1900 = -25_567 * DAY_MILLIS
_YEAR_2200 = 84_006 * DAY_MILLIS

SHOWN_GAPS = 10
SHOWN_DAYS = 366
SHOWN_MONTHS = 1_200
GAP_FACTOR = 3
"""Days without rows are a gap where they are so many times the usual distance between days with
rows.
"""
ROWS_PER_CHUNK = 50_000
MAX_CHUNKS = 100
"""As many small segments slow every query."""


class TimeProfile:
    """Takes the times of the loadable rows batch by batch."""

    def __init__(self) -> None:
        self._whole = {unit: True for unit, _ in _UNITS}
        self._firsts = True
        self._days = pl.DataFrame(schema={"day": pl.Int64, "count": pl.Int64})
        self._hours = Distinct()
        self._counts = {"in_1970": 0, "long_ago": 0, "far_off": 0}

    def add(self, times: pl.Series) -> None:
        """Takes the next times, in milliseconds since 1970."""
        time = pl.col(times.name)
        units = [(unit, millis) for unit, millis in _UNITS if self._whole[unit]]
        found = times.to_frame().select(
            *((time % millis == 0).all().alias(f"whole{unit}") for unit, millis in units),
            time.is_between(*_YEAR_1970, closed="left").sum().alias("in_1970"),
            (time < _YEAR_1900).sum().alias("long_ago"),
            (time >= _YEAR_2200).sum().alias("far_off"),
        )
        for unit, _ in units:
            self._whole[unit] = found[f"whole{unit}"][0]
        for key in self._counts:
            self._counts[key] += found[key][0]
        if self._firsts:
            self._firsts = bool((times.cast(pl.Datetime("ms")).dt.day() == 1).all())
        days = (times // DAY_MILLIS).rename("day").value_counts().cast(pl.Int64)
        self._days = pl.concat([self._days, days]).group_by("day").agg(pl.col("count").sum())
        self._hours.add((times // 3_600_000).hash())

    def found(self) -> dict[str, Any]:
        """What was found in all times."""
        whole = {f"whole{unit}": whole for unit, whole in self._whole.items()}
        return {
            **whole,
            **self._counts,
            "firsts": self._firsts,
            "days": self._days,
            "hours": self._hours.count,
        }


def fill(
    made: TimeColumn, loading: Loading, table: Table, found: Mapping[str, Any]
) -> list[Problem]:
    """Completes the report's time column; returns the warnings about it."""
    fact, rows = loading.time, int(found["rows"])
    if fact is None or fact.time_format is None:
        raise ValueError("there is no time column")
    epoch = fact.time_format.format in (EPOCH_SECONDS, EPOCH_MILLIS)
    made.zone = "epoch" if epoch else "stated" if fact.time_format.has_zone else "assumed UTC"
    if not rows:
        return []
    made.granularity = TimeGranularity.TIME_GRANULARITY_MILLISECOND
    for unit, _ in _UNITS:
        if found[f"whole{unit}"]:
            made.granularity = unit
            break
    if made.granularity == TimeGranularity.TIME_GRANULARITY_DAY and found["firsts"]:
        made.granularity = TimeGranularity.TIME_GRANULARITY_MONTH
    by_day = found["days"].sort("day")
    days = by_day["day"]
    made.days = len(days)
    for start, count in _rows_in_time(by_day):
        made.rows_in_time.add(start_millis=start, rows=count)
    for start, end in _gaps(days):
        made.gaps.add(start_millis=start * DAY_MILLIS, end_millis=end * DAY_MILLIS)
    whole_days = made.granularity >= TimeGranularity.TIME_GRANULARITY_DAY
    made.segment_hint = _hint(days, None if whole_days else int(found["hours"]), rows)
    return list(_outliers(made, fact, loading, table, found, rows))


def _rows_in_time(by_day: pl.DataFrame) -> list[tuple[int, int]]:
    """Milliseconds at which a day, month or year with rows begins, and the rows in it: the finest
    of them that is not too many.
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
    """The longest stretches without a row, as first day without and first day with one again, in
    order.
    """
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
    """The finest of HOUR, DAY, MONTH, YEAR whose chunks that have rows are few and large enough."""
    dates = (days * DAY_MILLIS).cast(pl.Datetime("ms")).dt
    chunks = {} if hours is None else {"HOUR": hours}
    chunks |= {"DAY": len(days), "MONTH": dates.strftime("%Y-%m").n_unique()}
    worth = min(MAX_CHUNKS, max(rows // ROWS_PER_CHUNK, 1))
    return next((name for name, count in chunks.items() if count <= worth), "YEAR")


def _outliers(
    made: TimeColumn,
    fact: ColumnFacts,
    loading: Loading,
    table: Table,
    found: Mapping[str, Any],
    rows: int,
) -> Iterator[Problem]:
    reason = ErrorReason.ERROR_REASON_TIME_OUTLIERS
    kinds = {
        "in_1970": ("YEAR_1970", "lie in 1970, as zeros do"),
        "long_ago": ("BEFORE_1900", "lie before 1900"),
    }
    kinds["far_off"] = ("AFTER_2200", "lie after 2200, as 9999-12-31 does")
    for key, (kind, what) in kinds.items():
        count = int(found[key])
        # Where most rows are so, it is what the table is about.
        if count and count * 2 < rows:
            made.outliers.add(kind=kind, count=count)
            message = f"{count:,} of {rows:,} times in {fact.shown_name} {what}."
            yield errors.problem(reason, message, column=fact.source_name, value=count)
    count = _of_the_other_unit(fact, loading, table)
    if count:
        made.outliers.add(kind="SECONDS_MILLIS_MIX", count=count)
        message = f"{fact.shown_name} mixes seconds and milliseconds since 1970: {count:,} values are in the other unit."
        yield errors.problem(
            ErrorReason.ERROR_REASON_TIME_UNITS_MIXED, message, column=fact.source_name, value=count
        )


def _of_the_other_unit(fact: ColumnFacts, loading: Loading, table: Table) -> int:
    if (
        fact.time_format is None
        or fact.time_format.format not in (EPOCH_SECONDS, EPOCH_MILLIS)
        or not fact.misfits
    ):
        return 0
    number = loading.reading.value(column(fact.position)).cast(pl.Int64, strict=False)
    least, most = (10**11, 10**13) if fact.time_format.format == EPOCH_SECONDS else (10**8, 10**10)
    found = (
        table.frame()
        .select(number.is_between(least, most, closed="left").sum())
        .collect(engine="streaming")
    )
    return int(found.item() or 0)
