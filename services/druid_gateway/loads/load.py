"""Domain types of a load: what is submitted to Druid, and what Druid reports about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from services.common.druid_task_ids import druid_task_id


class ColumnType(Enum):
    """Storage type of a column; the values are Druid's names."""

    STRING = "string"
    LONG = "long"
    DOUBLE = "double"


class Mode(Enum):
    """How a load treats existing rows."""

    APPEND = "append"
    REPLACE = "replace"
    REPLACE_INTERVAL = "replace_interval"
    REPLACE_ALL = "replace_all"

    @property
    def drops(self) -> bool:
        """Whether rows also disappear from time chunks without a new row. Druid hides those chunks
        behind empty segments, called tombstones.
        """
        return self in (Mode.REPLACE_INTERVAL, Mode.REPLACE_ALL)


@dataclass(frozen=True)
class Column:
    """A column of the parts, except `__time`."""

    name: str
    type: ColumnType


@dataclass(frozen=True)
class Part:
    """A CSV file of the load, as s3://bucket/key, and its number of data rows."""

    uri: str
    rows: int


@dataclass(frozen=True)
class Interval:
    """A time interval in milliseconds since 1970-01-01T00:00:00Z, end exclusive."""

    start_millis: int
    end_millis: int

    def overlaps(self, other: "Interval") -> bool:
        """Whether the intervals have a time in common."""
        return self.start_millis < other.end_millis and self.end_millis > other.start_millis


@dataclass(frozen=True)
class Load:
    """A load to submit. `min_millis` and `max_millis`: first and last time of its rows; `replace`:
    the interval that REPLACE_INTERVAL replaces, and REPLACE_ALL if it is known.
    """

    task_id: str
    attempt: int
    datasource: str
    mode: Mode
    columns: Sequence[Column]
    parts: Sequence[Part]
    min_millis: int
    max_millis: int
    rows: int
    replace: Interval | None = None

    @property
    def times(self) -> Interval:
        """The smallest interval with all rows."""
        return Interval(self.min_millis, self.max_millis + 1)

    @property
    def druid_task_id(self) -> str:
        """The fixed id, which makes a repeated submit harmless."""
        return druid_task_id(self.task_id, self.attempt)


class TaskState(Enum):
    """Druid's names for a task's state."""

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


@dataclass(frozen=True)
class TaskStatus:
    """A task's status, as the overlord reports it.

    `started`: a worker runs it, so it no longer waits for locks or a slot. `duration_ms`: 0 until
    it ends.
    """

    state: TaskState
    started: bool
    duration_ms: int
    error: str


@dataclass(frozen=True)
class TaskTarget:
    """Where a task writes. `replaces`: it replaces time chunks; `drops`: including those without a
    new row; `created`: when it was submitted, ISO 8601 in UTC.
    """

    interval: Interval
    replaces: bool
    created: str
    drops: bool = False


@dataclass(frozen=True)
class UnusedSegment:
    """A segment that queries do not see. `created` and `unused_since` are ISO 8601 in UTC, so they
    compare as strings.
    """

    id: str
    created: str
    unused_since: str


@dataclass(frozen=True)
class SubTasks:
    """Number of a load's sub-tasks that succeeded, and that are running."""

    done: int
    running: int


@dataclass(frozen=True)
class TaskReport:
    """A task's own report. `rows_processed`: None if not reported; `error`: empty unless the task
    failed.
    """

    rows_processed: int | None
    error: str
