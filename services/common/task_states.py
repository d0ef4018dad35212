"""Names and properties of the task states, from task.proto."""

from services.common import enums
from sluice.common.v1 import task_pb2
from sluice.common.v1.task_pb2 import TaskState, TaskStateInfo

_PREFIX = "TASK_STATE_"


def info_of(state: "TaskState.ValueType") -> TaskStateInfo:
    """Return the properties of a state; all are false for a state of a newer release."""
    value = TaskState.DESCRIPTOR.values_by_number.get(state)
    return value.GetOptions().Extensions[task_pb2.task_state] if value else TaskStateInfo()


def name_of(state: "TaskState.ValueType") -> str:
    """Return the name that users see, such as PENDING."""
    return enums.short_name(TaskState.DESCRIPTOR, state)


def state_of(name: str) -> "TaskState.ValueType":
    """Return the state of a name such as PENDING.

    Raises:
        ValueError: there is no such state.
    """
    return TaskState.Value(_PREFIX + name)


STATES = tuple(
    TaskState.Value(each.name) for each in TaskState.DESCRIPTOR.values if each.number != 0
)
"""All states, in the order of the proto."""

NAMES = tuple(name_of(state) for state in STATES)
"""The names of STATES, in the same order."""

TERMINAL = frozenset(state for state in STATES if info_of(state).terminal)
"""The states without transitions to other states."""
