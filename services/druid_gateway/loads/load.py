"""The words of a load: what goes into Druid, and what Druid tells of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from services.common.druid_task_ids import druid_task_id


class ColumnType(Enum):
    """How Druid stores a column; the values are Druid's names."""

    STRING = "string"
    LONG = "long"
    DOUBLE = "double"


class Mode(Enum):
    """How a load meets the rows that are there."""

    APPEND = "append"
    REPLACE = "replace"
    REPLACE_INTERVAL = "replace_interval"
    REPLACE_ALL = "replace_all"

    @property
    def drops(self) -> bool:
        """Whether rows disappear also where no new row comes: Druid hides those chunks behind empty
        segments, called tombstones.
        """
        return self in (Mode.REPLACE_INTERVAL, Mode.REPLACE_ALL)


@dataclass(frozen=True)
class Column:
    """A column of the parts, `__time` excepted."""

    name: str
    type: ColumnType


@dataclass(frozen=True)
class Part:
    """A CSV file of the load, as s3://bucket/key, and its data rows."""

    uri: str
    rows: int


@dataclass(frozen=True)
class Interval:
    """A stretch of time in milliseconds since 1970-01-01T00:00:00Z; the end is the first moment
    after it.
    """

    start_millis: int
    end_millis: int


@dataclass(frozen=True)
class Load:
    """Everything that Druid must be told. `min_millis` and `max_millis` are the smallest and the
    largest time of the rows; `replace` is the stretch that REPLACE_INTERVAL and, where it is known
    already, REPLACE_ALL replace.
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
    def druid_task_id(self) -> str:
        """The fixed id: submitting twice under it is harmless."""
        return druid_task_id(self.task_id, self.attempt)


class TaskState(Enum):
    """Druid's own words for a task's state."""

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"


@dataclass(frozen=True)
class TaskStatus:
    """What the overlord tells of a task.

    `started`: a worker has it, so it no longer waits for locks or a slot. `duration_ms`: 0 until it
    ends.
    """

    state: TaskState
    started: bool
    duration_ms: int
    error: str


@dataclass(frozen=True)
class TaskTarget:
    """Where a task writes. `replaces`: it replaces chunks; `drops`: also those that none of its
    rows is in; `created`: when it was submitted, ISO 8601 in UTC.
    """

    interval: Interval
    replaces: bool
    created: str
    drops: bool = False


@dataclass(frozen=True)
class UnusedSegment:
    """A segment that no query sees. `created` and `unused_since`: ISO 8601 in UTC, so that they
    compare as texts.
    """

    id: str
    created: str
    unused_since: str


@dataclass(frozen=True)
class SubTasks:
    """How many sub-tasks of a load ended well, and how many run."""

    done: int
    running: int


@dataclass(frozen=True)
class TaskReport:
    """What a task tells of itself. `rows_processed`: None where it does not tell; `error`: empty
    unless it failed.
    """

    rows_processed: int | None
    error: str
