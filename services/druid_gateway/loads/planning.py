"""Predicts what a load would do."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from services.druid_gateway.loads import granularity, spec
from services.druid_gateway.loads.granularity import Granularity
from services.druid_gateway.loads.load import ColumnType, Interval, Load, Mode
from services.druid_gateway.loads.targeting import Target, choose_target
from services.druid_gateway.ports import Druid
from services.druid_gateway.queries import catalog
from services.druid_gateway.queries.datasource_sizes import rows_if_known
from services.druid_gateway.queries.sql_text import identifier

MAX_CHUNKS = 1_000
"""Maximum number of time chunks in a plan."""
ROWS_PER_SECOND = 25_000
"""Assumed rate of one sub-task, on a slow core."""
MIN_S = 1.5
"""Time from the submit of a small load to its verification."""

_SQL_TYPES = {ColumnType.STRING: "VARCHAR", ColumnType.LONG: "BIGINT", ColumnType.DOUBLE: "DOUBLE"}

_PERIODS = {Granularity.DAY: "P1D", Granularity.MONTH: "P1M", Granularity.YEAR: "P1Y"}


class Change(Enum):
    """How a load changes a column."""

    SAME = "same"
    NEW = "new"
    CHANGED = "changed"
    MISSING = "missing"


@dataclass(frozen=True)
class PlannedColumn:
    """A column with its SQL types. `type` is empty if the load does not have the column,
    `existing_type` if the datasource does not.
    """

    name: str
    change: Change
    type: str
    existing_type: str


@dataclass(frozen=True)
class PlannedChunk:
    """Rows that a load adds and replaces in a time chunk."""

    interval: Interval
    rows_added: int
    rows_replaced: int


@dataclass(frozen=True)
class Plan:
    """What a load would do. `replaced`: the used segments of which all or some rows are replaced;
    `sub_tasks`: parallel sub-tasks with the slots that are free now.
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
    """Plan a load. `rows_in_time`: start times of periods with their rows, as far as known;
    `rows_per_second`: rate of earlier loads of this size, 0 if unknown.

    Raises:
        SluiceError: as `choose_target`.
    """
    target = await choose_target(druid, load)
    # Hours are shown as days, because rows_in_time is not that precise.
    shown = Granularity.DAY if target.granularity is Granularity.HOUR else target.granularity
    replaced, existing_rows, existing_columns, slots = await asyncio.gather(
        _replaced_segments(druid, load, target),
        _existing_rows(druid, load, target, shown),
        catalog.columns(druid, load.datasource),
        druid.free_slots(),
    )
    chunks = _chunks(load, shown, rows_in_time, existing_rows)
    concurrency = spec.sub_tasks(len(load.parts), load.rows, slots)
    return Plan(
        target=target,
        replaced=replaced,
        columns=_columns(load, dict(existing_columns)),
        chunks=chunks[:MAX_CHUNKS],
        rows_replaced=sum(chunk.rows_replaced for chunk in chunks),
        sub_tasks=concurrency,
        estimated_s=MIN_S + load.rows / (rows_per_second or ROWS_PER_SECOND * concurrency),
    )


async def _replaced_segments(druid: Druid, load: Load, target: Target) -> list[str]:
    """List the segments of which all or some rows are replaced."""
    replaces = load.mode is not Mode.APPEND
    return sorted(await druid.used_segments(load.datasource, target.interval)) if replaces else []


async def _existing_rows(
    druid: Druid, load: Load, target: Target, shown: Granularity
) -> Counter[Interval]:
    """Count the rows that a replace affects, per time chunk. By a query, because Druid's row counts
    of a segment are up to a minute late, and a segment may extend beyond the replaced interval.
    """
    existing: Counter[Interval] = Counter()
    if load.mode is not Mode.APPEND:
        time = identifier(spec.TIME_COLUMN)
        sql = (
            f"SELECT TIMESTAMP_TO_MILLIS(TIME_FLOOR({time}, '{_PERIODS[shown]}')), COUNT(*) FROM {identifier(load.datasource)} "  # noqa: S608
            f"WHERE {time} >= MILLIS_TO_TIMESTAMP(?) AND {time} < MILLIS_TO_TIMESTAMP(?) GROUP BY 1"
        )
        for start, rows in await rows_if_known(
            druid, sql, [target.interval.start_millis, target.interval.end_millis]
        ):
            existing[granularity.align(shown, int(start or 0), int(start or 0))] += int(rows or 0)
    return existing


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
    existing: Mapping[Interval, int],
) -> list[PlannedChunk]:
    """Return the time chunks that gain or lose rows, in order."""
    added: Counter[Interval] = Counter()
    for start, rows in rows_in_time:
        added[granularity.align(shown, start, start)] += rows
    lost = {
        chunk: rows
        for chunk, rows in existing.items()
        if load.mode.drops or chunk in added or not rows_in_time
    }
    chunks = sorted(added.keys() | lost.keys(), key=lambda chunk: chunk.start_millis)
    return [PlannedChunk(chunk, added[chunk], lost.get(chunk, 0)) for chunk in chunks]
