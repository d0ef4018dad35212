"""Counting the rows of several loads at once, while no segment is away."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from services.druid_gateway.loads.load import Interval
from services.druid_gateway.ports import Druid
from services.druid_gateway.watching.pacing import pause_s


@dataclass(frozen=True)
class Counts:
    """Rows by load, where it is `complete`: all segments were there before and after the query.
    `published`, `available`: the segments of the interval, and those that queries reach."""

    complete: bool
    rows: Mapping[str, int]
    published: int
    available: int


async def count_loads(
    druid: Druid, datasource: str, interval: Interval, load_ids: Sequence[str], wait_s: float
) -> Counts:
    """Counts once all segments in the interval are available, or gives up after `wait_s` seconds.

    Raises:
        SluiceError: DRUID_UNAVAILABLE.
    """
    started = monotonic()
    before = await druid.used_segments(datasource, interval)
    while True:
        rows: Mapping[str, int] = {}
        after = before
        if all(before.values()):
            rows = await druid.rows_by_load(datasource, interval, load_ids)
            # A segment that was lost in between was not counted.
            after = await druid.used_segments(datasource, interval, refresh=False)
        complete = all(before.values()) and before == after
        age = monotonic() - started
        if complete or age + pause_s(age) > wait_s:
            reached = sum(after.values())
            return Counts(complete, rows if complete else {}, len(after), reached)
        await asyncio.sleep(pause_s(age))
        before = await druid.used_segments(datasource, interval, refresh=False)
