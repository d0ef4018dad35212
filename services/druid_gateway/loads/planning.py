"""What a load would do, before it does anything."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from services.druid_gateway.loads import granularity, spec
from services.druid_gateway.loads.granularity import Granularity
from services.druid_gateway.loads.load import ColumnType, Interval, Load, Mode
from services.druid_gateway.loads.targeting import Target, target
from services.druid_gateway.ports import Druid
from services.druid_gateway.queries import catalog
from services.druid_gateway.queries.datasource_sizes import rows_if_known
from services.druid_gateway.queries.sql_text import identifier

SHOWN_CHUNKS = 1_000

ROWS_PER_SECOND = 25_000
"""Of one sub-task, on a slow core; where nobody knows better."""
LEAST_S = 1.5
"""From the submit of a small load until its rows are counted."""

_SQL_TYPES = {ColumnType.STRING: "VARCHAR", ColumnType.LONG: "BIGINT", ColumnType.DOUBLE: "DOUBLE"}

_PERIODS = {Granularity.DAY: "P1D", Granularity.MONTH: "P1M", Granularity.YEAR: "P1Y"}


class Change(Enum):
    """What becomes of a column."""

    SAME = "same"
    NEW = "new"
    CHANGED = "changed"
    MISSING = "missing"


@dataclass(frozen=True)
class PlannedColumn:
    """SQL types; `type` is empty where the load does not have the column, `existing_type` where the
    datasource does not.
    """

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
    """Where the rows go, what they meet there, and how they get there. `replaced`: the segments in
    use whose rows are replaced.
    """

    target: Target
    replaced: Sequence[str]
    columns: Sequence[PlannedColumn]
    chunks: Sequence[PlannedChunk]
    rows_replaced: int
    sub_tasks: int
    estimated_s: float


async def plan(
    druid: Druid, load: Load, rows_in_time: Sequence[tuple[int, int]], rows_per_second: float = 0.0
) -> Plan:
    """The plan of a load; `rows_in_time`: moments and the load's rows from each to the next, as far
    as they are known; `rows_per_second`: what loads of this size had before, 0 where that is not
    known.

    Raises:
        SluiceError: as `target`.
    """
    aim = await target(druid, load)
    # Hours are shown as days: the rows are not known so finely.
    shown = Granularity.DAY if aim.granularity is Granularity.HOUR else aim.granularity
    replaced, there, existing, slots = await asyncio.gather(
        _replaced(druid, load, aim),
        _rows_there(druid, load, aim, shown),
        catalog.columns(druid, load.datasource),
        druid.free_slots(),
    )
    chunks = _chunks(load, shown, rows_in_time, there)
    concurrency = spec.sub_tasks(len(load.parts), load.rows, slots)
    return Plan(
        target=aim,
        replaced=replaced,
        columns=_columns(load, dict(existing)),
        chunks=chunks[:SHOWN_CHUNKS],
        rows_replaced=sum(chunk.rows_replaced for chunk in chunks),
        sub_tasks=concurrency,
        estimated_s=LEAST_S + load.rows / (rows_per_second or ROWS_PER_SECOND * concurrency),
    )


async def _replaced(druid: Druid, load: Load, aim: Target) -> list[str]:
    """The segments whose rows are replaced, all or a part of them."""
    return (
        []
        if load.mode is Mode.APPEND
        else sorted(await druid.used_segments(load.datasource, aim.interval))
    )


async def _rows_there(
    druid: Druid, load: Load, aim: Target, shown: Granularity
) -> Counter[Interval]:
    """The rows that a replace meets, in chunks of time. Counted by a query: Druid's own figures of
    a segment come a minute after it, and a segment may be longer than the chunk that is replaced.
    """
    there: Counter[Interval] = Counter()
    if load.mode is not Mode.APPEND:
        time = identifier(spec.TIME_COLUMN)
        sql = (
            f"SELECT TIMESTAMP_TO_MILLIS(TIME_FLOOR({time}, '{_PERIODS[shown]}')), COUNT(*) FROM {identifier(load.datasource)} "  # noqa: S608
            f"WHERE {time} >= MILLIS_TO_TIMESTAMP(?) AND {time} < MILLIS_TO_TIMESTAMP(?) GROUP BY 1"
        )
        for start, rows in await rows_if_known(
            druid, sql, [aim.interval.start_millis, aim.interval.end_millis]
        ):
            there[granularity.align(shown, int(start or 0), int(start or 0))] += int(rows or 0)
    return there


def _columns(load: Load, existing: Mapping[str, str]) -> list[PlannedColumn]:
    columns = []
    for column in load.columns:
        before, now = existing.get(column.name, ""), _SQL_TYPES[column.type]
        change = Change.NEW if not before else Change.SAME if before == now else Change.CHANGED
        columns.append(PlannedColumn(column.name, change, now, before))
    known = {spec.TIME_COLUMN, spec.LOAD_ID_COLUMN, *(column.name for column in load.columns)}
    return [
        *columns,
        *(
            PlannedColumn(name, Change.MISSING, "", kind)
            for name, kind in existing.items()
            if name not in known
        ),
    ]


def _chunks(
    load: Load,
    shown: Granularity,
    rows_in_time: Sequence[tuple[int, int]],
    there: Mapping[Interval, int],
) -> list[PlannedChunk]:
    """The chunks in which something happens, in order, and the rows that disappear there."""
    added: Counter[Interval] = Counter()
    for start, rows in rows_in_time:
        added[granularity.align(shown, start, start)] += rows
    lost = {
        chunk: rows
        for chunk, rows in there.items()
        if load.mode.drops or chunk in added or not rows_in_time
    }
    chunks = sorted(added.keys() | lost.keys(), key=lambda chunk: chunk.start_millis)
    return [PlannedChunk(chunk, added[chunk], lost.get(chunk, 0)) for chunk in chunks]
