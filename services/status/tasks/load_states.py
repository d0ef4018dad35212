"""What later loads left of a load (ADR 0012): the counts of its rows and the load states that follow
from them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from services.status.tasks.task import Task

LOADS_AT_ONCE = 1_000
"""Maximum number of loads in a page, a count query and a SQL statement."""

STATES = ("LIVE", "PARTLY_REPLACED", "REPLACED")
"""The load states between which a count can move a load."""


@dataclass(frozen=True)
class Touched:
    """The time range in which a load may have changed what queries see of others, and the
    database's clock. The range is None if there is none.
    """

    since: datetime
    start_millis: int | None = None
    end_millis: int | None = None


@dataclass(frozen=True)
class OtherLoad:
    """A SUCCEEDED load with the rows it loaded, all between `start_millis` and `end_millis`."""

    task_id: str
    load_state: str
    rows: int
    start_millis: int
    end_millis: int

    @classmethod
    def of(cls, task: Task) -> "OtherLoad":
        """The load of a SUCCEEDED task."""
        start, end = task.interval_start_millis or 0, task.interval_end_millis or 0
        return cls(task.task_id, task.load_state or "", task.row_count or 0, start, end)


@dataclass(frozen=True)
class Counted:
    """A load and its `rows` that a query returns now."""

    load: OtherLoad
    rows: int

    @property
    def missing(self) -> int:
        """Rows of the load that no query returns."""
        return max(0, self.load.rows - self.rows)

    @property
    def load_state(self) -> str:
        """The load state that follows from the count."""
        if not self.missing:
            return "LIVE"
        return "PARTLY_REPLACED" if self.rows else "REPLACED"

    def message(self, datasource: str) -> str:
        """The count as a sentence."""
        if not self.missing:
            return f"{self.rows:,} rows are in {datasource} and can be queried."
        if not self.rows:
            return f"None of its {self.load.rows:,} rows is in {datasource} any more."
        return f"{self.rows:,} of its {self.load.rows:,} rows are left in {datasource}."

    @property
    def has_changed(self) -> bool:
        """Whether the load state or the number of missing rows may differ from the recorded ones."""
        return self.load_state != self.load.load_state or self.load_state == "PARTLY_REPLACED"


@dataclass(frozen=True)
class Recount:
    """Counts of other loads. They are valid if no load changed after `since`, by the database's
    clock.
    """

    since: datetime
    loads: Sequence[Counted] = ()


class Outcome(Enum):
    """Result of a write."""

    WRITTEN = "written"
    FENCED = "the lease is lost, or the task has moved on"
    OUTDATED = "other loads have changed since they were counted"
