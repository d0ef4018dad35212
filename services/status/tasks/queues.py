"""The queues in which tasks wait for a worker."""

from dataclasses import dataclass
from enum import Enum, IntEnum


class TaskQueue(IntEnum):
    """A queue, by what its tasks wait for."""

    CLEANING = 0
    """Removal of a load from Druid."""
    SMALL_LOAD = 1
    """Start, continuation or revert of the load of a small file."""
    BIG_LOAD = 2
    SMALL_FILE = 3
    """Validation of a small file."""
    BIG_FILE = 4
    BEHIND = 5
    """Earlier loads of the same datasource. Workers skip this queue."""


class Kind(Enum):
    """The queues that a worker claims from."""

    CLEANING = (TaskQueue.CLEANING,)
    SMALL_LOADS = (TaskQueue.CLEANING, TaskQueue.SMALL_LOAD)
    LOADS = (TaskQueue.CLEANING, TaskQueue.SMALL_LOAD, TaskQueue.BIG_LOAD)
    SMALL_FILES = (TaskQueue.SMALL_FILE,)
    FILES = (TaskQueue.SMALL_FILE, TaskQueue.BIG_FILE)


@dataclass(frozen=True)
class QueuePosition:
    """A task's position in the backlog and its estimated time left. None: it does not wait; not
    known yet.
    """

    position: int | None = None
    seconds_left: float | None = None
