"""Tasks, problems and page tokens on their way out and back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import errors
from services.status.tasks import pages, problems
from services.status.tasks.machine import State
from services.status.tasks.messages import state_of, state_value, task_message, timings
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import LoadState, TaskState
from tests.unit.status.fake_rows import NOW, new_task
from tests.unit.unknown_values import filled

NO_NUL = st.text(st.characters(exclude_characters="\x00", codec="utf-8"))


@given(NO_NUL, st.none() | st.integers(0, 2**62), NO_NUL)
def test_a_problem_comes_back_as_it_was(message: str, line: int | None, value: str) -> None:
    problem = errors.problem(
        ErrorReason.ERROR_REASON_VALUE_MISFIT, message, line=line, column="c", value=value
    )
    assert problems.from_json(problems.to_json(problem)) == problem


def test_a_problem_of_a_newer_release_is_kept() -> None:
    newer = filled(Problem(message="Too new.", action="Wait."))
    kept = problems.from_json(problems.to_json(newer))
    assert (kept.message, kept.action) == ("Too new.", "Wait.")
    assert kept.code == ErrorReason.ERROR_REASON_INTERNAL


def test_nul_does_not_reach_postgresql() -> None:
    problem = errors.problem(
        ErrorReason.ERROR_REASON_VALUE_MISFIT, "a\x00", column="b\x00", value="c\x00"
    )
    assert "\x00" not in str(list(problems.to_json(problem).values()))
    assert "\\x00" not in repr(problems.to_json(problem))


@pytest.mark.parametrize("state", State)
def test_states_are_the_protos(state: State) -> None:
    assert state_of(state_value(state)) is state


def test_unset_stays_unset() -> None:
    message = task_message(new_task(file_size=None))
    for name in (
        "file_size",
        "rows_read",
        "rows_loaded",
        "rows_rejected",
        "rows_skipped",
        "problem",
        "start_time",
        "complete_time",
    ):
        assert not message.HasField(name), name
    assert (message.load_state, message.multipart_id) == (LoadState.LOAD_STATE_UNSPECIFIED, "")
    assert task_message(new_task(status=State.PENDING)).multipart_id == "m"
    assert message.state == TaskState.TASK_STATE_UPLOADED


def test_timings_are_those_of_the_states() -> None:
    def at(seconds: float) -> datetime:
        return NOW + timedelta(seconds=seconds)

    entered = [
        (State.PENDING, at(0)),
        (State.UPLOADED, at(2)),
        (State.VALIDATING, at(3)),
        (State.INGESTING, at(7)),
    ]
    task = replace(new_task(), status=State.INGESTING, entered=entered, now=at(8.5))
    found = timings(task)
    assert [(timing.stage, timing.seconds, timing.HasField("end_time")) for timing in found] == [
        ("receive", 2.0, True),
        ("validate", 4.0, True),
        ("ingest", 1.5, False),
    ]


@given(st.datetimes(timezones=st.just(UTC)))
def test_page_tokens_come_back(created_at: datetime) -> None:
    task = replace(new_task(), created_at=created_at)
    assert pages.position_of(pages.token_after(task)) == (created_at, task.task_id)


@given(st.text(min_size=1))
def test_other_tokens_are_refused(token: str) -> None:
    with pytest.raises(errors.SluiceError) as failure:
        pages.position_of(token)
    assert failure.value.code == "PAGE_TOKEN_INVALID"
