"""The states of a task and the ways between them: the one place that says which transition is
allowed. Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.common import task_states
from sluice.common.v1.errors_pb2 import Problem


class State(StrEnum):
    """The states of task.proto by their names, as the table has them. A test compares the two."""

    PENDING = "PENDING"
    UPLOADED = "UPLOADED"
    VALIDATING = "VALIDATING"
    PLANNED = "PLANNED"
    INGESTING = "INGESTING"
    VERIFYING = "VERIFYING"
    CLEANING = "CLEANING"
    SUCCEEDED = "SUCCEEDED"
    REJECTED = "REJECTED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"


_INFO = {state: task_states.info_of(task_states.state_of(state)) for state in State}

TERMINAL = frozenset(state for state in State if _INFO[state].terminal)
"""States without exits."""

LOADED = frozenset(state for state in State if _INFO[state].in_druid)
"""States in which rows of the task may be in Druid: they end badly only through CLEANING."""

STAGE_OF = {state: info.stage for state, info in _INFO.items() if info.stage}
"""The states in which a stage runs, with its name. In UPLOADED a task waits for its first."""

CLEAN_TARGETS = frozenset({State.FAILED, State.CANCELLED, State.TIMEOUT})
"""Where CLEANING may lead."""

_NEXT: Mapping[State, frozenset[State]] = {
    State.PENDING: frozenset({State.UPLOADED, State.REJECTED, State.FAILED, State.CANCELLED}),
    State.UPLOADED: frozenset({State.VALIDATING, State.FAILED, State.CANCELLED}),
    State.VALIDATING: frozenset(
        {
            State.PLANNED,
            State.INGESTING,
            State.REJECTED,
            State.FAILED,
            State.CANCELLED,
            State.TIMEOUT,
        }
    ),
    State.PLANNED: frozenset({State.INGESTING, State.CANCELLED}),
    State.INGESTING: frozenset({State.VERIFYING, State.CLEANING}),
    State.VERIFYING: frozenset({State.SUCCEEDED, State.CLEANING}),
    State.CLEANING: CLEAN_TARGETS,
    **dict.fromkeys(TERMINAL, frozenset()),
}


class TransitionError(ValueError):
    """The graph has no such transition."""


@dataclass(frozen=True)
class Move:
    """A transition that is wanted, with what becomes known by it."""

    to: State
    message: str
    """One sentence for a person."""
    problem: Problem | None = None
    """Why, where it leads to a bad end."""
    columns: Mapping[str, object] = field(default_factory=dict)
    """Further columns of the row, by name."""


def next_states(state: State) -> frozenset[State]:
    """Where a task may go from `state`; nowhere from a terminal one."""
    return _NEXT[state]


def check(state: State, move: Move) -> None:
    """Raises TransitionError where `move` is not allowed from `state`."""
    if move.to not in _NEXT[state]:
        raise TransitionError(f"{state} -> {move.to} is not a transition")
    if move.to is State.CLEANING and move.columns.get("clean_target") not in CLEAN_TARGETS:
        raise TransitionError("CLEANING needs clean_target: where it leads")


def is_worked_on(state: State) -> bool:
    """Whether the pipeline works on a task in `state`: PENDING waits for its upload, PLANNED for
    ApplyPlan.
    """
    return _INFO[state].worked_on


def cancel(state: State, problem: Problem) -> Move | None:
    """The transition that cancelling means in `state`; None where the task is ending or has ended.
    `problem` says who cancelled.
    """
    if not _INFO[state].cancellable:
        return None
    if state in LOADED:
        columns = {"clean_target": State.CANCELLED, "cancel_requested": True}
        return Move(
            State.CLEANING, "Cancelled; what Druid has of it is being removed.", problem, columns
        )
    return Move(State.CANCELLED, problem.message, problem, {"cancel_requested": True})


def end_badly(state: State, target: State, problem: Problem) -> Move:
    """The transition to a bad end, FAILED or TIMEOUT, through CLEANING where rows may be in
    Druid.
    """
    if state in LOADED:
        message = f"{problem.message} What Druid has of it is being removed."
        return Move(State.CLEANING, message, problem, {"clean_target": target})
    return Move(target, problem.message, problem)
