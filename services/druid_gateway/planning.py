"""What a load would do, before it does anything."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from services.druid_gateway import catalog, granularity, segment_ids, spec
from services.druid_gateway.granularity import Granularity
from services.druid_gateway.loads import ColumnType, Interval, Load, Mode
from services.druid_gateway.ports import Druid
from services.druid_gateway.targeting import Target, target

SHOWN_CHUNKS = 1_000

ROWS_PER_SECOND = 25_000
"""Of one sub-task, on a slow core; where nobody knows better."""
LEAST_S = 1.5
"""From the submit of a small load until its rows are counted."""

_SQL_TYPES = {ColumnType.STRING: "VARCHAR", ColumnType.LONG: "BIGINT", ColumnType.DOUBLE: "DOUBLE"}

_ROWS = """
SELECT segment_id, num_rows FROM sys.segments
WHERE datasource = ? AND is_active = 1 AND is_published = 1 AND "start" < ? AND "end" > ?
"""


class Change(Enum):
    """What becomes of a column."""

    SAME = "same"
    NEW = "new"
    CHANGED = "changed"
    MISSING = "missing"


@dataclass(frozen=True)
class PlannedColumn:
    """SQL types; `type` is empty where the load does not have the column, `existing_type` where the datasource does not."""

    name: str
    change: Change
    type: str
    existing_type: str


@dataclass(frozen=True)
class PlannedChunk:
    """What happens in a chunk of time."""

    interval: Interval
    rows_added: int
    rows_replaced: int


@dataclass(frozen=True)
class Plan:
    """Where the rows go, what they meet there, and how they get there. `replaced`: the segments in use whose rows are replaced."""

    target: Target
    replaced: Sequence[str]
    columns: Sequence[PlannedColumn]
    chunks: Sequence[PlannedChunk]
    rows_replaced: int
    sub_tasks: int
    estimated_s: float


async def plan(druid: Druid, load: Load, rows_in_time: Sequence[tuple[int, int]], rows_per_second: float = 0.0) -> Plan:
    """The plan of a load; `rows_in_time`: moments and the load's rows from each to the next, as far as they are known;
    `rows_per_second`: what loads of this size had before, 0 where that is not known.

    Raises:
        SluiceError: as `target`.
    """
    aim = await target(druid, load)
    replaced, existing, slots = await asyncio.gather(
        _replaced(druid, load, aim), catalog.columns(druid, load.datasource), druid.free_slots()
    )
    chunks, rows_replaced = _chunks(load, aim, rows_in_time, replaced)
    concurrency = spec.sub_tasks(len(load.parts), load.rows, slots)
    return Plan(
        target=aim,
        replaced=sorted(replaced),
        columns=_columns(load, dict(existing)),
        chunks=chunks[:SHOWN_CHUNKS],
        rows_replaced=rows_replaced,
        sub_tasks=concurrency,
        estimated_s=LEAST_S + load.rows / (rows_per_second or ROWS_PER_SECOND * concurrency),
    )


async def _replaced(druid: Druid, load: Load, aim: Target) -> dict[str, int]:
    """The segments whose rows are replaced, all or a part of them, with their rows."""
    if load.mode is Mode.APPEND:
        return {}
    used = await druid.used_segments(load.datasource, aim.interval)
    span = [granularity.iso(aim.interval.end_millis), granularity.iso(aim.interval.start_millis)]
    rows = await druid.sql(_ROWS, [load.datasource, *span])
    counts = {str(segment): int(count or 0) for segment, count in rows}
    return {segment: counts.get(segment, 0) for segment in used}


def _columns(load: Load, existing: Mapping[str, str]) -> list[PlannedColumn]:
    columns = []
    for column in load.columns:
        before, now = existing.get(column.name, ""), _SQL_TYPES[column.type]
        change = Change.NEW if not before else Change.SAME if before == now else Change.CHANGED
        columns.append(PlannedColumn(column.name, change, now, before))
    known = {spec.TIME_COLUMN, spec.LOAD_ID_COLUMN, *(column.name for column in load.columns)}
    return [*columns, *(PlannedColumn(name, Change.MISSING, "", kind) for name, kind in existing.items() if name not in known)]


def _chunks(
    load: Load, aim: Target, rows_in_time: Sequence[tuple[int, int]], replaced: Mapping[str, int]
) -> tuple[list[PlannedChunk], int]:
    """The chunks in which something happens, in order, and the rows that disappear. Hours are shown as days: the rows are not
    known so finely."""
    shown = Granularity.DAY if aim.granularity is Granularity.HOUR else aim.granularity
    added: Counter[Interval] = Counter()
    for start, rows in rows_in_time:
        added[granularity.align(shown, start, start)] += rows
    lost: Counter[Interval] = Counter()
    for segment, rows in replaced.items():
        there = segment_ids.interval(load.datasource, segment)
        start, end = max(there.start_millis, aim.interval.start_millis), min(there.end_millis, aim.interval.end_millis)
        at = start
        while at < end:
            chunk = granularity.align(shown, at, at)
            if load.mode.drops or chunk in added or not rows_in_time:
                share = (min(chunk.end_millis, end) - at) / (there.end_millis - there.start_millis)
                lost[chunk] += round(rows * share)
            at = chunk.end_millis
    chunks = sorted(added.keys() | lost.keys(), key=lambda chunk: chunk.start_millis)
    return [PlannedChunk(chunk, added[chunk], lost[chunk]) for chunk in chunks], sum(lost.values())
