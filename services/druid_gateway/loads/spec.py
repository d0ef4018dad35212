"""Druid's ingestion spec of a load, built from constants and checked names."""

import re
from typing import Any

from services.common import datasource_names, errors
from services.druid_gateway.loads.granularity import (
    EARLIEST_MILLIS,
    LATEST_MILLIS,
    MAX_ROWS_PER_SEGMENT,
    Granularity,
    iso_interval,
)
from services.druid_gateway.loads.load import Interval, Load, Mode
from sluice.common.v1.errors_pb2 import ErrorReason

TIME_COLUMN = "__time"
LOAD_ID_COLUMN = "__load_id"

PLACEHOLDER = "noop"
"""Druid's type of a task that does nothing."""

PARALLEL_FROM_ROWS = 1_000_000
"""With fewer rows, the task itself is faster than sub-tasks."""

_MAX_COLUMN_NAME_CHARS = 1000
_UNSTORABLE = re.compile(r"[\x00-\x1f\x7f,]")
"""Druid writes a segment's index as comma-separated lines, so such a name makes the segment
unreadable.
"""
_UNESCAPED = re.compile(r"[A-Za-z0-9_ -]")

Json = dict[str, Any]


def check_names(load: Load) -> None:
    """Check the names and times that become part of the spec.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID or REQUEST_INVALID.
    """
    datasource_names.check_readable(load.datasource)
    seen = {TIME_COLUMN, LOAD_ID_COLUMN}
    for column in load.columns:
        name = column.name
        if _UNSTORABLE.search(name) or len(name) > _MAX_COLUMN_NAME_CHARS:
            raise invalid(
                "columns",
                "A column name is longer than 1,000 characters, or has a comma or control character, which Druid cannot store.",
                name,
            )
        if name in seen:
            raise invalid(
                "columns",
                f"The column name {name!r} is used twice, or reserved by Sluice.",
                name,
            )
        seen.add(name)
    if load.min_millis > load.max_millis:
        raise invalid("min_millis", "The earliest time is after the latest.", load.min_millis)
    if load.min_millis < EARLIEST_MILLIS:
        raise invalid("min_millis", "The earliest time is before the year 1.", load.min_millis)
    if load.max_millis > LATEST_MILLIS:
        raise invalid("max_millis", "The latest time is after the year 9998.", load.max_millis)


def invalid(field: str, message: str, value: object = "") -> errors.SluiceError:
    """REQUEST_INVALID for a field of the request."""
    return errors.error(
        ErrorReason.ERROR_REASON_REQUEST_INVALID, message, column=field, value=value
    )


def sub_tasks(parts: int, rows: int, free_slots: int | None) -> int:
    """Return the number of parallel sub-tasks; 1 if the task reads all parts itself.

    No more than the parts, because Druid never splits a file. Of the free slots, one is for the
    load's task and one stays free for a later small load.
    """
    if rows < PARALLEL_FROM_ROWS or free_slots is None:
        return 1
    return max(1, min(parts, free_slots - 2))


def build(
    load: Load, granularity: Granularity, interval: Interval, input_source: Json, concurrency: int
) -> Json:
    """Return the task to submit. `interval`, aligned to `granularity`, saves Druid a pass over the
    data.

    All tasks have the same lock priority: a task with a higher one would revoke the locks of a
    running load, which then fails.
    """
    append = load.mode is Mode.APPEND
    dimensions = [{"type": column.type.value, "name": column.name} for column in load.columns]
    return {
        "type": "index_parallel",
        "id": load.druid_task_id,
        "spec": {
            "dataSchema": {
                "dataSource": load.datasource,
                "timestampSpec": {"column": TIME_COLUMN, "format": "millis"},
                # Explicit types, because schema discovery reads every CSV column as text.
                "dimensionsSpec": {
                    "dimensions": [*dimensions, {"type": "string", "name": LOAD_ID_COLUMN}],
                    "useSchemaDiscovery": True,
                },
                "transformSpec": {
                    "transforms": [
                        {
                            "type": "expression",
                            "name": LOAD_ID_COLUMN,
                            "expression": expression_string(load.task_id),
                        }
                    ]
                },
                "granularitySpec": {
                    "type": "uniform",
                    "segmentGranularity": granularity.value,
                    "queryGranularity": "NONE",
                    "rollup": False,
                    "intervals": [iso_interval(interval)],
                },
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": input_source,
                # With the default list delimiter, Druid would split values at each U+0001.
                "inputFormat": {
                    "type": "csv",
                    "findColumnsFromHeader": True,
                    "listDelimiter": f"\u0001{load.druid_task_id}\u0001",
                },
                "appendToExisting": append,
                # True also empties the time chunks without a new row.
                "dropExisting": load.mode.drops,
            },
            "tuningConfig": {
                "type": "index_parallel",
                "partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": MAX_ROWS_PER_SEGMENT},
                "maxNumConcurrentSubTasks": concurrency,
                "forceGuaranteedRollup": False,
                # The parts were validated, so a row that does not parse is our bug. It appears in
                # the report, not in Druid's log.
                "maxParseExceptions": 0,
                "maxSavedParseExceptions": 3,
                "logParseExceptions": False,
            },
        },
        "context": {"forceTimeChunkLock": True},
    }


def placeholder(task_id: str) -> Json:
    """Return a task that only reserves the id: Druid then refuses a later submit with it."""
    return {"type": PLACEHOLDER, "id": task_id, "context": {}}


def expression_string(text: str) -> str:
    """Return a string literal of Druid's expression language, with all characters escaped except
    ASCII letters, digits, '_', '-' and spaces.
    """
    return "'" + "".join(char if _UNESCAPED.match(char) else _escaped(char) for char in text) + "'"


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
