"""Verifies a load: counts its rows as a query sees them."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from services.druid_gateway.loads.load import Interval
from services.druid_gateway.loads.spec import LOAD_ID_COLUMN, TIME_COLUMN
from services.druid_gateway.ports import Druid, Value
from services.druid_gateway.queries.datasource_sizes import rows_if_known
from services.druid_gateway.queries.sql_text import identifier
from services.druid_gateway.removing.tombstones import tombstones
from services.druid_gateway.watching.pacing import pause_s

RELATIVE_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Sum:
    """A column's sum, and the sum of its absolute values, which bounds the rounding error of values
    that cancel out.
    """

    value: float
    magnitude: float


@dataclass(frozen=True)
class Expected:
    """What a query should find of a load: its row count, and sums by column name."""

    rows: int
    sums: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Found:
    """What a query found. `loaded_percent`: percentage of the interval's segments that are loaded;
    `tombstones`: the empty segments that hide replaced rows; `published`, `available`: number of
    segments in the interval, and of those that queries can reach, set if not verified.
    """

    verified: bool
    rows: int
    sums: Sequence[float]
    loaded_percent: float
    tombstones: Sequence[str] = ()
    published: int = 0
    available: int = 0


async def verify(
    druid: Druid,
    datasource: str,
    load_id: str,
    interval: Interval,
    expected: Expected,
    wait_s: float,
    *,
    drops: bool = False,
) -> Found:
    """Count until everything matches, for at most `wait_s` seconds. `drops`: rows also had to
    disappear from time chunks without new rows.

    Raises:
        SluiceError: DRUID_UNAVAILABLE.
    """
    started = monotonic()
    # Makes the coordinator read its database now, so that it assigns our segments at once.
    await druid.loaded_percent(datasource, interval, refresh=True)
    columns = [column for column, _ in expected.sums]
    while True:
        rows, sums = await count(druid, datasource, load_id, interval, columns)
        match = rows == expected.rows and all(
            matches(found, sum_) for found, (_, sum_) in zip(sums, expected.sums, strict=True)
        )
        age = monotonic() - started
        out_of_time = age + pause_s(age) > wait_s
        if match or out_of_time:
            # After the count, when the coordinator knows our segments.
            percent = await druid.loaded_percent(datasource, interval, refresh=False)
            empty = await tombstones(druid, datasource, interval) if drops else {}
            # None: Druid has no segment in the interval.
            all_loaded = percent == 100.0 or (percent is None and expected.rows == 0)
            verified = match and all_loaded and all(empty.values())
            if out_of_time or verified:
                used = {} if verified else await druid.used_segments(datasource, interval)
                return Found(
                    verified,
                    rows,
                    [found.value for found in sums],
                    100.0 if percent is None else percent,
                    sorted(empty),
                    len(used),
                    sum(used.values()),
                )
        await asyncio.sleep(pause_s(age))


def matches(found: Sum, expected: float) -> bool:
    """Whether a sum is as expected, within RELATIVE_TOLERANCE of the larger of the expected sum and
    the sum of absolute values.
    """
    if math.isnan(expected) or math.isinf(expected):
        return found.value == expected or (math.isnan(expected) and math.isnan(found.value))
    return abs(found.value - expected) <= RELATIVE_TOLERANCE * max(abs(expected), found.magnitude)


async def count(
    druid: Druid, datasource: str, load_id: str, interval: Interval, columns: Sequence[str]
) -> tuple[int, list[Sum]]:
    """Count the load's rows in the interval, and sum the columns. No rows if SQL does not know the
    datasource or a column yet.
    """
    # As DOUBLE, so that large integers do not overflow, and columns that are text in other loads
    # can be summed.
    values = [f"CAST({identifier(column)} AS DOUBLE)" for column in columns]
    aggregates = ["COUNT(*)", *(f"SUM({value}), SUM(ABS({value}))" for value in values)]
    sql = (
        f"SELECT {', '.join(aggregates)} FROM {identifier(datasource)} WHERE {identifier(LOAD_ID_COLUMN)} = ? "  # noqa: S608 (quoted)
        f"AND {identifier(TIME_COLUMN)} >= MILLIS_TO_TIMESTAMP(?) AND {identifier(TIME_COLUMN)} < MILLIS_TO_TIMESTAMP(?)"
    )
    found = await rows_if_known(druid, sql, [load_id, interval.start_millis, interval.end_millis])
    if not found:
        return 0, [Sum(0.0, 0.0) for _ in columns]
    rows, *figures = found[0]
    sums = [
        Sum(_number(value), _number(magnitude))
        for value, magnitude in zip(figures[::2], figures[1::2], strict=True)
    ]
    return int(rows or 0), sums


def _number(value: Value) -> float:
    """Convert a sum: NULL if there are no values, text for NaN and Infinity."""
    return 0.0 if value is None else float(value)
