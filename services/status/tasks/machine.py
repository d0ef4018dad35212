"""The states of a task and their transitions. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from services.common import task_states
from sluice.common.v1.errors_pb2 import Problem


class State(StrEnum):
    """The names of the states of task.proto, as stored in the table. A test compares the two."""

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
"""States in which Druid may have rows of the task: failures go through CLEANING."""

STAGE_OF = {state: info.stage for state, info in _INFO.items() if info.stage}
"""The name of the stage that runs in a state. In UPLOADED a task waits for its first stage."""

CLEAN_TARGETS = frozenset({State.FAILED, State.CANCELLED, State.TIMEOUT})
"""Where CLEANING may lead."""

TRANSITIONS: Mapping[State, frozenset[State]] = {
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
    """The transition is not allowed."""


@dataclass(frozen=True)
class Move:
    """A transition to make, with the columns that it sets."""

    to: State
    message: str
    """One sentence for a person."""
    problem: Problem | None = None
    """The reason, if it leads to a failure."""
    columns: Mapping[str, object] = field(default_factory=dict)
    """Further columns of the row, by name."""


def check(state: State, move: Move) -> None:
    """Raises TransitionError if `move` is not allowed from `state`."""
    if move.to not in TRANSITIONS[state]:
        raise TransitionError(f"{state} -> {move.to} is not a transition")
    if move.to is State.CLEANING and move.columns.get("clean_target") not in CLEAN_TARGETS:
        raise TransitionError("CLEANING requires a clean_target")


def is_worked_on(state: State) -> bool:
    """Whether the pipeline works on a task in `state`: PENDING waits for its upload, PLANNED for
    ApplyPlan.
    """
    return _INFO[state].worked_on


def cancel(state: State, problem: Problem) -> Move | None:
    """Returns the transition of a cancellation in `state`; None if the task is ending or has ended."""
    if not _INFO[state].cancellable:
        return None
    if state in LOADED:
        columns = {"clean_target": State.CANCELLED, "cancel_requested": True}
        return Move(
            State.CLEANING, "Cancelled; the load is being removed from Druid.", problem, columns
        )
    return Move(State.CANCELLED, problem.message, problem, {"cancel_requested": True})


def fail(state: State, target: State, problem: Problem) -> Move:
    """Returns the transition to FAILED or TIMEOUT, through CLEANING if Druid may have rows."""
    if state in LOADED:
        message = f"{problem.message} The load is being removed from Druid."
        return Move(State.CLEANING, message, problem, {"clean_target": target})
    return Move(target, problem.message, problem)
