"""What the task states are called and what each of them means, as task.proto declares it."""

from services.common import enums
from sluice.common.v1 import task_pb2
from sluice.common.v1.task_pb2 import TaskState, TaskStateInfo

_PREFIX = "TASK_STATE_"


def info_of(state: "TaskState.ValueType") -> TaskStateInfo:
    """What the state means; all false for one that a newer release has added."""
    value = TaskState.DESCRIPTOR.values_by_number.get(state)
    return value.GetOptions().Extensions[task_pb2.task_state] if value else TaskStateInfo()


def name_of(state: "TaskState.ValueType") -> str:
    """The state's name as users see it, such as PENDING."""
    return enums.short_name(TaskState.DESCRIPTOR, state)


def state_of(name: str) -> "TaskState.ValueType":
    """The state of a name such as PENDING.

    Raises:
        ValueError: there is no such state.
    """
    return TaskState.Value(_PREFIX + name)


STATES = tuple(
    TaskState.Value(each.name) for each in TaskState.DESCRIPTOR.values if each.number != 0
)
"""Every state that a task can be in."""

NAMES = tuple(name_of(state) for state in STATES)
"""Their names."""

TERMINAL = frozenset(state for state in STATES if info_of(state).terminal)
"""States that no transition leaves."""
