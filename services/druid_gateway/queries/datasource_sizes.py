"""Sizes of the datasources: rows as a query counts them, bytes, segments, time span.

Druid's metadata has the row count of each segment. It is what a query counts if every segment is
published, loaded and has a known row count, and none hides a part of another, as replaced days hide
a part of a month's segment. Otherwise a query counts the rows.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic

from services.common import errors
from services.druid_gateway.loads.granularity import parse_interval
from services.druid_gateway.loads.load import Interval
from services.druid_gateway.ports import Druid, Value
from services.druid_gateway.queries.sql_text import identifier
from sluice.common.v1.errors_pb2 import ErrorReason

COUNT_S = 5.0
"""How long a counted result is valid if the segments do not change."""
MAX_CONCURRENT_COUNTS = 4

# Druid has no MIN of strings here, so the code below merges the time chunks. Tombstones hide what a
# replace left empty; unpublished rows are still being streamed in.
_SEGMENTS = """
SELECT datasource, "start", "end", "version",
    CASE WHEN shard_spec LIKE '%"type":"tombstone"%' THEN 1 ELSE 0 END,
    SUM(num_rows), SUM("size"), COUNT(*),
    SUM(CASE WHEN num_rows > 0 AND is_published = 1 AND is_available = 1 THEN 0 ELSE 1 END)
FROM sys.segments WHERE is_active = 1 {condition} GROUP BY 1, 2, 3, 4, 5
"""


@dataclass(frozen=True)
class Datasource:
    """A datasource that has rows. `size`: bytes of all segments."""

    name: str
    rows: int
    size: int
    segments: int
    interval: Interval


@dataclass(frozen=True)
class _Chunk:
    """Segments of one version of a time chunk. `uncounted`: number of those whose visible rows are
    unknown."""

    interval: Interval
    version: str
    tombstones: bool
    rows: int
    size: int
    segments: int
    uncounted: int


@dataclass(frozen=True)
class _Count:
    chunks: frozenset[_Chunk]
    rows: int
    time: float


class DatasourceSizes:
    """Sizes of the datasources. Counts are cached for COUNT_S."""

    def __init__(self, druid: Druid) -> None:
        self._druid = druid
        self._counts: dict[str, _Count] = {}
        self._counting = asyncio.Semaphore(MAX_CONCURRENT_COUNTS)

    async def all(self) -> Mapping[str, Datasource]:
        """Return all datasources that have rows, by name. Raises SluiceError DRUID_UNAVAILABLE."""
        return await self._measure("", [])

    async def get(self, name: str) -> Datasource | None:
        """Return a datasource; None if it has no rows. Raises SluiceError DRUID_UNAVAILABLE."""
        return (await self._measure("AND datasource = ?", [name])).get(name)

    async def _measure(
        self, condition: str, parameters: Sequence[Value]
    ) -> Mapping[str, Datasource]:
        chunks: dict[str, list[_Chunk]] = {}
        for name, *values in await self._druid.sql(
            _SEGMENTS.format(condition=condition), parameters
        ):
            chunks.setdefault(str(name), []).append(_chunk(values))
        sizes = await asyncio.gather(*(self._size(name, each) for name, each in chunks.items()))
        return {size.name: size for size in sizes if size is not None}

    async def _size(self, name: str, chunks: Sequence[_Chunk]) -> Datasource | None:
        data = [each for each in chunks if not each.tombstones]
        rows = sum(each.rows for each in data)
        if data and (any(each.uncounted for each in data) or _overlap(chunks)):
            rows = await self._count(name, frozenset(chunks))
        if not data or not rows:
            return None
        start = min(each.interval.start_millis for each in data)
        end = max(each.interval.end_millis for each in data)
        size, segments = sum(each.size for each in data), sum(each.segments for each in data)
        return Datasource(name, rows, size, segments, Interval(start, end))

    async def _count(self, name: str, chunks: frozenset[_Chunk]) -> int:
        async with self._counting:
            known = self._counts.get(name)
            if known is None or known.chunks != chunks or monotonic() - known.time > COUNT_S:
                sql = f"SELECT COUNT(*) FROM {identifier(name)}"  # noqa: S608 (quoted)
                [[rows]] = await rows_if_known(self._druid, sql, []) or [[0]]
                known = _Count(chunks, int(rows or 0), monotonic())
                fresh = {
                    each: kept
                    for each, kept in self._counts.items()
                    if known.time - kept.time <= COUNT_S
                }
                self._counts = {**fresh, name: known}
            return known.rows


async def rows_if_known(druid: Druid, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
    """Return the rows of a small result; none if Druid's SQL does not know the table or a column
    yet. Raises SluiceError as Druid.sql."""
    try:
        return await druid.sql(sql, parameters)
    except errors.SluiceError as failure:
        unknown = failure.reason == ErrorReason.ERROR_REASON_QUERY_INVALID
        if unknown and " not found" in failure.problem.message:
            return []
        raise


def _chunk(values: Sequence[Value]) -> _Chunk:
    start, end, version, tombstones, *numbers = values
    rows, size, segments, uncounted = (int(number or 0) for number in numbers)
    interval = parse_interval(f"{start}/{end}")
    return _Chunk(interval, str(version), bool(tombstones), rows, size, segments, uncounted)


def _overlap(chunks: Iterable[_Chunk]) -> bool:
    """Whether two chunks overlap, so that one may hide rows of the other."""
    ordered = sorted((each.interval.start_millis, each.interval.end_millis) for each in chunks)
    return any(start < end for (_, end), (start, _) in pairwise(ordered))
