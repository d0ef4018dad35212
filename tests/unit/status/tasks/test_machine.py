"""The graph of states."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.common import errors
from services.status.tasks.machine import (
    CLEAN_TARGETS,
    LOADED,
    TERMINAL,
    TRANSITIONS,
    Move,
    State,
    TransitionError,
    cancel,
    check,
    fail,
    is_worked_on,
)
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState

PROBLEM = errors.problem(ErrorReason.ERROR_REASON_INTERNAL, "It failed.")
CANCELLED = errors.problem(ErrorReason.ERROR_REASON_CANCELLED, "Cancelled.")


def test_the_states_are_those_of_the_contract() -> None:
    names = {name.removeprefix("TASK_STATE_") for name in TaskState.keys()} - {"UNSPECIFIED"}  # noqa: SIM118 - an enum wrapper
    assert {str(state) for state in State} == names


def test_terminal_states_have_no_exit_and_are_the_only_ones() -> None:
    assert {state for state in State if not TRANSITIONS[state]} == TERMINAL


@pytest.mark.parametrize("state", [state for state in State if state not in TERMINAL])
def test_every_state_can_end(state: State) -> None:
    seen, front = {state}, [state]
    while front:
        new = TRANSITIONS[front.pop()] - seen
        seen |= new
        front += new
    assert seen & TERMINAL


@pytest.mark.parametrize("state", [State.INGESTING, State.VERIFYING])
def test_what_may_be_in_druid_ends_badly_only_through_cleaning(state: State) -> None:
    assert not TRANSITIONS[state] & (TERMINAL - {State.SUCCEEDED})
    assert State.CLEANING in TRANSITIONS[state]


@given(st.sampled_from(State), st.sampled_from(State))
def test_only_the_graph_is_allowed(state: State, to: State) -> None:
    move = Move(to, "", columns={"clean_target": State.FAILED})
    if to in TRANSITIONS[state]:
        check(state, move)
    else:
        with pytest.raises(TransitionError):
            check(state, move)


def test_cleaning_has_to_lead_somewhere() -> None:
    for target in [None, *(set(State) - CLEAN_TARGETS)]:
        with pytest.raises(TransitionError):
            check(State.INGESTING, Move(State.CLEANING, "", columns={"clean_target": target}))


@given(st.sampled_from(State))
def test_cancelling_is_a_transition_of_the_graph(state: State) -> None:
    move = cancel(state, CANCELLED)
    if move is None:
        assert state in TERMINAL or state is State.CLEANING
    else:
        check(state, move)
        assert move.problem == CANCELLED


@pytest.mark.parametrize(
    "state", [state for state in State if is_worked_on(state) and state is not State.CLEANING]
)
def test_every_running_state_may_fail(state: State) -> None:
    move = fail(state, State.FAILED, PROBLEM)
    check(state, move)
    assert (move.to is State.CLEANING) == (state in LOADED)


class Life(RuleBasedStateMachine):
    """Any way through the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.way = [State.PENDING]

    @precondition(lambda self: self.way[-1] not in TERMINAL)
    @rule(data=st.data())
    def step(self, data: st.DataObject) -> None:
        state = self.way[-1]
        to = data.draw(st.sampled_from(sorted(TRANSITIONS[state])))
        check(
            state,
            Move(to, "", columns={"clean_target": State.FAILED} if to is State.CLEANING else {}),
        )
        self.way.append(to)

    @precondition(lambda self: self.way[-1] not in TERMINAL)
    @rule()
    def cancel(self) -> None:
        if move := cancel(self.way[-1], CANCELLED):
            check(self.way[-1], move)
            self.way.append(move.to)

    @precondition(lambda self: self.way[-1] in TERMINAL)
    @rule(to=st.sampled_from(State))
    def nothing_leaves_the_end(self, to: State) -> None:
        assert cancel(self.way[-1], CANCELLED) is None
        with pytest.raises(TransitionError):
            check(self.way[-1], Move(to, ""))

    @invariant()
    def success_was_counted(self) -> None:
        if self.way[-1] is State.SUCCEEDED:
            assert self.way[-2] is State.VERIFYING

    @invariant()
    def a_bad_end_after_loading_was_cleaned(self) -> None:
        if self.way[-1] in TERMINAL - {State.SUCCEEDED} and State.INGESTING in self.way:
            assert self.way[-2] is State.CLEANING

    @invariant()
    def it_comes_to_an_end(self) -> None:
        assert len(self.way) == len(set(self.way))


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=200, stateful_step_count=15)
