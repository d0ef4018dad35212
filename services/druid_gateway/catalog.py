"""What is in Druid: datasources, their columns, the loads in them, and some of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.common import datasource_names, errors
from services.druid_gateway import querying
from services.druid_gateway.granularity import clipped_millis_of
from services.druid_gateway.loads import Interval
from services.druid_gateway.ports import Druid, Value
from services.druid_gateway.spec import LOAD_ID_COLUMN, TIME_COLUMN
from services.druid_gateway.sql_text import identifier
from sluice.common.v1.errors_pb2 import ErrorReason

DATASOURCES = 1_000
"""Datasources of a list where the request says nothing."""
MAX_LOADS = 1_000
PREVIEW_TIMEOUT_MS = 10_000
PREVIEW_MAX_BYTES = 3 * 1024 * 1024
"""A preview is one message."""

# Druid cannot take the smallest of texts here, so the chunks of time are put together by us. Tombstones are what a replace left empty.
_CHUNKS = """
SELECT datasource, "start", "end", SUM(num_rows), SUM("size"), COUNT(*), MIN(num_rows) FROM sys.segments
WHERE is_active = 1 AND is_published = 1 AND shard_spec NOT LIKE '%"type":"tombstone"%' {narrowed} GROUP BY datasource, "start", "end"
"""

_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'druid' AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION
"""


@dataclass(frozen=True)
class Datasource:
    """A datasource that has rows. `size`: bytes of its segments."""

    name: str
    rows: int
    size: int
    segments: int
    interval: Interval


@dataclass(frozen=True)
class LoadIn:
    """Rows of one load; `times`: from its first row to its last, the last included."""

    task_id: str
    rows: int
    times: Interval


@dataclass(frozen=True)
class Description:
    """A datasource with its columns, as name and SQL type, and the loads in it, the largest first."""

    datasource: Datasource
    columns: Sequence[tuple[str, str]]
    loads: Sequence[LoadIn]


@dataclass(frozen=True)
class Preview:
    """Some rows: a JSON array of arrays."""

    columns: Sequence[tuple[str, str]]
    json: bytes
    count: int


async def datasources(druid: Druid, limit: int) -> list[Datasource]:
    """Those that have rows, by name, at most `limit`. Raises SluiceError DRUID_UNAVAILABLE."""
    found = await _by_name(druid, "", [])
    return [found[name] for name in sorted(found)[:limit]]


async def describe(druid: Druid, name: str) -> Description:
    """One datasource.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID, DATASOURCE_NOT_FOUND, DRUID_UNAVAILABLE.
    """
    datasource_names.check_readable(name)
    found = (await _by_name(druid, "AND datasource = ?", [name])).get(name)
    known = await columns(druid, name)
    if found is None or not known:
        raise errors.error(ErrorReason.ERROR_REASON_DATASOURCE_NOT_FOUND, f"There is no datasource {name} with rows in it.", value=name)
    loads = await _loads(druid, name) if LOAD_ID_COLUMN in dict(known) else []
    return Description(found, known, loads)


async def columns(druid: Druid, name: str) -> list[tuple[str, str]]:
    """The columns of a datasource with their SQL types, in Druid's order; none where it has no rows. Raises DRUID_UNAVAILABLE."""
    return [(str(column), str(kind)) for column, kind in await druid.sql(_COLUMNS, [name])]


async def rows_if_known(druid: Druid, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
    """The rows of a small answer; none where Druid's SQL does not know the table or a column (yet). Raises SluiceError as Druid.sql."""
    try:
        return await druid.sql(sql, parameters)
    except errors.SluiceError as failure:
        if failure.reason == ErrorReason.ERROR_REASON_QUERY_INVALID and " not found" in failure.problem.message:
            return []
        raise


async def preview(druid: Druid, name: str, limit: int) -> Preview:
    """The newest rows, without the column that is Sluice's own.

    Raises:
        SluiceError: as `describe`, QUERY_TIMEOUT, QUERY_TOO_LARGE.
    """
    shown = [column for column, _ in (await describe(druid, name)).columns if column != LOAD_ID_COLUMN]
    sql = f"SELECT {', '.join(map(identifier, shown))} FROM {identifier(name)} ORDER BY {identifier(TIME_COLUMN)} DESC"  # noqa: S608
    header: Sequence[tuple[str, str]] = []
    batches: list[bytes] = []
    count = 0
    async for step in querying.run(druid, sql, limit, PREVIEW_TIMEOUT_MS, PREVIEW_MAX_BYTES):
        match step:
            case querying.Header():
                header = step.columns
            case querying.Batch():
                batches.append(step.json[1:-1])
                count += step.count
    return Preview(header, b"[" + b",".join(batches) + b"]", count)


async def _loads(druid: Druid, name: str) -> list[LoadIn]:
    load_id, time = identifier(LOAD_ID_COLUMN), identifier(TIME_COLUMN)
    sql = (
        f"SELECT {load_id}, COUNT(*), TIMESTAMP_TO_MILLIS(MIN({time})), TIMESTAMP_TO_MILLIS(MAX({time})) FROM {identifier(name)} "  # noqa: S608
        f"WHERE {load_id} IS NOT NULL GROUP BY {load_id} ORDER BY COUNT(*) DESC LIMIT {MAX_LOADS}"
    )
    return [LoadIn(str(each), _int(rows), Interval(_int(first), _int(last))) for each, rows, first, last in await druid.sql(sql, [])]


async def _by_name(druid: Druid, narrowed: str, parameters: Sequence[Value]) -> dict[str, Datasource]:
    """The datasources that the chunks of time belong to."""
    found: dict[str, Datasource] = {}
    uncounted = set()
    for name, start, end, rows, size, segments, fewest in await druid.sql(_CHUNKS.format(narrowed=narrowed), parameters):
        chunk = Datasource(
            str(name), _int(rows), _int(size), _int(segments), Interval(clipped_millis_of(str(start)), clipped_millis_of(str(end)))
        )
        found[chunk.name] = _joined(found[chunk.name], chunk) if chunk.name in found else chunk
        if not fewest:
            uncounted.add(chunk.name)
    for name in uncounted:
        [[rows]] = await rows_if_known(druid, f"SELECT COUNT(*) FROM {identifier(name)}", []) or [[0]]  # noqa: S608 (quoted)
        found[name] = replace(found[name], rows=_int(rows))
    return {name: each for name, each in found.items() if each.rows}


def _joined(one: Datasource, other: Datasource) -> Datasource:
    times = Interval(min(one.interval.start_millis, other.interval.start_millis), max(one.interval.end_millis, other.interval.end_millis))
    return Datasource(one.name, one.rows + other.rows, one.size + other.size, one.segments + other.segments, times)


def _int(value: Value) -> int:
    return int(value or 0)
