"""Druid's ingestion spec of a load: built from constants and checked names, pure."""

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
"""Druid's type of task that does nothing."""

PARALLEL_FROM_ROWS = 1_000_000
"""Below, one sub-task inside the task itself is faster than handing work to others."""

_MAX_COLUMN_NAME_CHARS = 1000
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f,]")
"""Druid writes a segment's table of contents as lines of text cut at commas, so such a name makes a
segment that cannot be read.
"""
_PLAIN = re.compile(r"[A-Za-z0-9_ -]")

Json = dict[str, Any]


def check_names(load: Load) -> None:
    """Refuses what must not get into a spec, whoever sent it.

    Raises:
        SluiceError: DATASOURCE_NAME_INVALID or REQUEST_INVALID.
    """
    datasource_names.check_readable(load.datasource)
    seen = {TIME_COLUMN, LOAD_ID_COLUMN}
    for column in load.columns:
        name = column.name
        if _NOT_IN_NAMES.search(name) or len(name) > _MAX_COLUMN_NAME_CHARS:
            raise _invalid(
                "columns",
                "A column name is over 1,000 characters long, or has a comma or a control character, which Druid cannot store.",
                name,
            )
        if name in seen:
            raise _invalid(
                "columns",
                f"The column name {name!r} is taken: by another column, or by Sluice itself.",
                name,
            )
        seen.add(name)
    if load.min_millis > load.max_millis:
        raise _invalid("min_millis", "The smallest time is after the largest.", load.min_millis)
    if load.min_millis < EARLIEST_MILLIS:
        raise _invalid("min_millis", "The smallest time is before the year 1.", load.min_millis)
    if load.max_millis > LATEST_MILLIS:
        raise _invalid("max_millis", "The largest time is after the year 9998.", load.max_millis)


def _invalid(field: str, message: str, value: object) -> errors.SluiceError:
    return errors.error(
        ErrorReason.ERROR_REASON_REQUEST_INVALID, message, column=field, value=value
    )


def sub_tasks(parts: int, rows: int, free_slots: int | None) -> int:
    """Sub-tasks at once: no more than parts, as Druid never splits a file.

    Of the free slots one is the load's own task and one stays free for a small load that comes
    after. 1: the task reads all parts itself.
    """
    if rows < PARALLEL_FROM_ROWS or free_slots is None:
        return 1
    return max(1, min(parts, free_slots - 2))


def build(
    load: Load, granularity: Granularity, interval: Interval, input_source: Json, concurrency: int
) -> Json:
    """The task to post. `interval` is aligned to `granularity`; with it Druid skips a pass over the
    data.

    All tasks have one and the same lock priority: a task of a higher one would take the locks of a
    running load away and fail it.
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
                # Types for the columns that we know; discovery alone would make text of every CSV
                # column.
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
                # Without a list delimiter of ours Druid would cut a text at each U+0001.
                "inputFormat": {
                    "type": "csv",
                    "findColumnsFromHeader": True,
                    "listDelimiter": f"\u0001{load.druid_task_id}\u0001",
                },
                "appendToExisting": append,
                # True empties also the chunks that none of the rows is in.
                "dropExisting": load.mode.drops,
            },
            "tuningConfig": {
                "type": "index_parallel",
                "partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": MAX_ROWS_PER_SEGMENT},
                "maxNumConcurrentSubTasks": concurrency,
                "forceGuaranteedRollup": False,
                # The parts were validated: a row that does not parse is a fault of ours, told in
                # the report and not in Druid's log.
                "maxParseExceptions": 0,
                "maxSavedParseExceptions": 3,
                "logParseExceptions": False,
            },
        },
        "context": {"forceTimeChunkLock": True},
    }


def placeholder(task_id: str) -> Json:
    """A task that does nothing but use up the id: whatever is submitted under it later is
    refused.
    """
    return {"type": PLACEHOLDER, "id": task_id, "context": {}}


def expression_string(text: str) -> str:
    """A string constant of Druid's expression language; everything but plain letters, digits, '_',
    '-' and blanks is escaped.
    """
    return "'" + "".join(char if _PLAIN.match(char) else _escaped(char) for char in text) + "'"


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))
