"""Counts the rows of several loads at once, while all segments are available."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from services.druid_gateway.loads.load import Interval
from services.druid_gateway.ports import Druid
from services.druid_gateway.watching.pacing import pause_s


@dataclass(frozen=True)
class Counts:
    """Row counts by load. `complete`: all segments were available before and after the query,
    otherwise `rows` is empty; `published`, `available`: number of segments in the interval, and of
    those that queries can reach."""

    complete: bool
    rows: Mapping[str, int]
    published: int
    available: int


async def count_loads(
    druid: Druid, datasource: str, interval: Interval, load_ids: Sequence[str], wait_s: float
) -> Counts:
    """Count rows once all segments in the interval are available, waiting at most `wait_s` seconds.

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
            # If a segment was lost meanwhile, its rows were not counted.
            after = await druid.used_segments(datasource, interval, refresh=False)
        complete = all(before.values()) and before == after
        age = monotonic() - started
        if complete or age + pause_s(age) > wait_s:
            return Counts(complete, rows if complete else {}, len(after), sum(after.values()))
        await asyncio.sleep(pause_s(age))
        before = await druid.used_segments(datasource, interval, refresh=False)
