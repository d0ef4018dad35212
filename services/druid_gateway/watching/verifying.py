"""Counting a load's rows as a query sees them."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
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
    """A column's sum, and the sum of its magnitudes: values that cancel out leave a rounding error
    of that size.
    """

    value: float
    magnitude: float


@dataclass(frozen=True)
class Expected:
    """What a query must see of a load: its rows, and sums by column name."""

    rows: int
    sums: Sequence[tuple[str, float]]


@dataclass(frozen=True)
class Seen:
    """What a query sees. `loaded_percent`: share of the interval's segments that queries reach;
    `hiding`: the empty segments that hide what was replaced; `published`, `available`: the
    interval's segments, and those that queries reach, where not all is as it should be.
    """

    verified: bool
    rows: int
    sums: Sequence[float]
    loaded_percent: float
    hiding: Sequence[str] = ()
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
) -> Seen:
    """Counts until everything agrees, or `wait_s` seconds are over. `drops`: rows had to disappear
    also where no new ones came.

    Raises:
        SluiceError: DRUID_UNAVAILABLE.
    """
    started = monotonic()
    # Makes the coordinator read its database now, not at its next turn, and so hand our segments
    # out at once.
    percent = await druid.loaded_percent(datasource, interval, refresh=True)
    while True:
        rows, sums = await count(
            druid, datasource, load_id, interval, [column for column, _ in expected.sums]
        )
        agree = rows == expected.rows and all(
            agrees(found, sum_) for found, (_, sum_) in zip(sums, expected.sums, strict=True)
        )
        age = monotonic() - started
        out_of_time = age + pause_s(age) > wait_s
        if agree or out_of_time:
            # After the count, and by a coordinator that knows our segments.
            percent = await druid.loaded_percent(datasource, interval, refresh=False)
            hiding = await tombstones(druid, datasource, interval) if drops else {}
            loaded = (percent == 100.0 or (percent is None and expected.rows == 0)) and all(
                hiding.values()
            )
            if out_of_time or loaded:
                # Where Druid knows no segment none is waited for.
                seen = Seen(
                    agree and loaded,
                    rows,
                    [found.value for found in sums],
                    100.0 if percent is None else percent,
                    sorted(hiding),
                )
                return (
                    seen
                    if seen.verified
                    else await _with_segments(druid, datasource, interval, seen)
                )
        await asyncio.sleep(pause_s(age))


async def _with_segments(druid: Druid, datasource: str, interval: Interval, seen: Seen) -> Seen:
    used = await druid.used_segments(datasource, interval)
    return replace(seen, published=len(used), available=sum(used.values()))


def agrees(found: Sum, expected: float) -> bool:
    """Within RELATIVE_TOLERANCE of the larger of the expected sum and the magnitudes that were
    added up.
    """
    if math.isnan(expected) or math.isinf(expected):
        return found.value == expected or (math.isnan(expected) and math.isnan(found.value))
    return abs(found.value - expected) <= RELATIVE_TOLERANCE * max(abs(expected), found.magnitude)


async def count(
    druid: Druid, datasource: str, load_id: str, interval: Interval, columns: Sequence[str]
) -> tuple[int, list[Sum]]:
    """Rows of the load in the interval, and the columns' sums. A datasource or column that SQL does
    not know yet: no rows so far.
    """
    # As DOUBLE, so that large integers do not overflow, and a column that is text in other loads
    # can be added up.
    values = [f"CAST({identifier(column)} AS DOUBLE)" for column in columns]
    asked = ["COUNT(*)", *(f"SUM({value}), SUM(ABS({value}))" for value in values)]
    sql = (
        f"SELECT {', '.join(asked)} FROM {identifier(datasource)} WHERE {identifier(LOAD_ID_COLUMN)} = ? "  # noqa: S608 (quoted)
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
    """A sum over nothing is NULL; NaN and Infinity come as text."""
    return 0.0 if value is None else float(value)
