"""What Druid has: datasources, their columns, the loads in them, and sample rows."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common import datasource_names, errors
from services.druid_gateway.loads.load import Interval
from services.druid_gateway.loads.spec import LOAD_ID_COLUMN, TIME_COLUMN
from services.druid_gateway.ports import Druid, Value
from services.druid_gateway.queries import querying
from services.druid_gateway.queries.datasource_sizes import Datasource, DatasourceSizes
from services.druid_gateway.queries.sql_text import identifier
from sluice.common.v1.errors_pb2 import ErrorReason

DEFAULT_DATASOURCES = 1_000
MAX_LOADS = 1_000
PREVIEW_TIMEOUT_MS = 10_000
PREVIEW_MAX_BYTES = 3 * 1024 * 1024
"""A preview must fit into one message."""

_COLUMNS = """
SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'druid' AND TABLE_NAME = ? ORDER BY ORDINAL_POSITION
"""


@dataclass(frozen=True)
class LoadRows:
    """Rows of one load. `times`: from its first to its last row, both inclusive."""

    task_id: str
    rows: int
    times: Interval


@dataclass(frozen=True)
class Description:
    """A datasource. `columns`: names and SQL types; `loads`: largest first."""

    datasource: Datasource
    columns: Sequence[tuple[str, str]]
    loads: Sequence[LoadRows]


@dataclass(frozen=True)
class Preview:
    """Sample rows, as a JSON array of arrays."""

    columns: Sequence[tuple[str, str]]
    json: bytes
    count: int


async def datasources(sizes: DatasourceSizes, limit: int) -> list[Datasource]:
    """List the datasources that have rows, by name. Raises SluiceError DRUID_UNAVAILABLE."""
    found = await sizes.all()
    return [found[name] for name in sorted(found)[:limit]]


async def describe(druid: Druid, sizes: DatasourceSizes, name: str) -> Description:
    """Describe a datasource.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID, DATASOURCE_NOT_FOUND, DRUID_UNAVAILABLE.
    """
    datasource_names.check_readable(name)
    found = await sizes.get(name)
    known = await columns(druid, name)
    if found is None or not known:
        raise _not_found(name)
    loads = await _loads(druid, name) if LOAD_ID_COLUMN in dict(known) else []
    return Description(found, known, loads)


async def columns(druid: Druid, name: str) -> list[tuple[str, str]]:
    """Return the columns of a datasource with their SQL types, in Druid's order; none if it has no
    rows. Raises DRUID_UNAVAILABLE.
    """
    return [(str(column), str(kind)) for column, kind in await druid.sql(_COLUMNS, [name])]


async def preview(druid: Druid, name: str, limit: int) -> Preview:
    """Return the newest rows, without the column that Sluice adds.

    Raises:
        SluiceError: as `describe`, QUERY_TIMEOUT, QUERY_TOO_LARGE.
    """
    datasource_names.check_readable(name)
    shown = [column for column, _ in await columns(druid, name) if column != LOAD_ID_COLUMN]
    if not shown:
        raise _not_found(name)
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


async def _loads(druid: Druid, name: str) -> list[LoadRows]:
    load_id, time = identifier(LOAD_ID_COLUMN), identifier(TIME_COLUMN)
    sql = (
        f"SELECT {load_id}, COUNT(*), TIMESTAMP_TO_MILLIS(MIN({time})), TIMESTAMP_TO_MILLIS(MAX({time})) FROM {identifier(name)} "  # noqa: S608
        f"WHERE {load_id} IS NOT NULL GROUP BY {load_id} ORDER BY COUNT(*) DESC LIMIT {MAX_LOADS}"
    )
    return [
        LoadRows(str(each), _int(rows), Interval(_int(first), _int(last)))
        for each, rows, first, last in await druid.sql(sql, [])
    ]


def _not_found(name: str) -> errors.SluiceError:
    message = f"No datasource {name} with rows exists."
    return errors.error(ErrorReason.ERROR_REASON_DATASOURCE_NOT_FOUND, message, value=name)


def _int(value: Value) -> int:
    return int(value or 0)
