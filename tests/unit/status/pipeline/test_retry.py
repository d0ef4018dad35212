"""What follows from a failure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import errors
from services.status.pipeline import retry
from services.status.settings import Settings
from services.status.tasks.machine import State, check, fail
from sluice.common.v1.errors_pb2 import ErrorReason
from tests.unit.status.fake_rows import new_task
from tests.unit.status.pipeline.test_stages import SETTINGS

REASONS = [reason for reason in ErrorReason.values() if reason]
CONFIGURED = Settings(**SETTINGS)
RUNNING = [State.UPLOADED, State.VALIDATING, State.INGESTING, State.VERIFYING]


@given(
    st.sampled_from(RUNNING), st.sampled_from(REASONS), st.integers(0, 10_000), st.integers(0, 4)
)
def test_waiting_never_uses_up_attempts(
    state: State, reason: "ErrorReason.ValueType", waits: int, attempts: int
) -> None:
    task = new_task(status=state, stage_waits=waits, stage_attempts=attempts)
    decision = retry.decide(task, errors.problem(reason, "It failed."), CONFIGURED)
    if reason in retry.WAITED_FOR:
        assert isinstance(decision, retry.Retry)
        assert not decision.failed
    if isinstance(decision, retry.Retry):
        assert 0 < decision.delay_s <= CONFIGURED.retry_max_s
    elif decision.target is not State.TIMEOUT or state is not State.UPLOADED:
        check(state, fail(state, decision.target, decision.problem))


@given(st.sampled_from(REASONS), st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 1e6))
def test_cleaning_never_gives_up(
    reason: "ErrorReason.ValueType", waits: int, attempts: int, seconds: float
) -> None:
    task = new_task(
        status=State.CLEANING,
        stage_waits=waits,
        stage_attempts=attempts,
        stage_seconds=seconds,
        stage_takeovers=1000,
    )
    decision = retry.decide(task, errors.problem(reason, "It failed."), CONFIGURED)
    assert isinstance(decision, retry.Retry)
    assert ("administrator" in decision.message) == (seconds > CONFIGURED.clean_deadline_s)
    assert retry.taken_over_too_often(task, CONFIGURED) is None


def test_delays_double_up_to_the_longest() -> None:
    problem = errors.problem(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, "Druid does not answer.")
    for waits, longest in [(0, 0.25), (1, 0.5), (2, 1), (3, 2), (4, 4), (5, 8), (6, 8), (1000, 8)]:
        decision = retry.decide(
            new_task(status=State.INGESTING, stage_waits=waits), problem, CONFIGURED
        )
        assert isinstance(decision, retry.Retry)
        assert longest / 2 <= decision.delay_s <= longest


@pytest.mark.parametrize(("size", "seconds"), [(None, 1800), (0, 1800), (100 * 2**20, 2400)])
def test_big_files_may_load_longer(size: int | None, seconds: float) -> None:
    assert retry.deadline_s(new_task(status=State.INGESTING, file_size=size), CONFIGURED) == seconds
