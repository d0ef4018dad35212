"""VERIFYING: how long wrong numbers are tolerated before the load fails."""

import pytest

from services.status.settings import Settings
from services.status.stages import verify
from services.status.tasks.machine import State
from sluice.druid.v1.druid_pb2 import VerifyLoadRequest, VerifyLoadResponse
from tests.unit.status.fake_rows import TASK_ID, new_task
from tests.unit.status.fakes import ROWS
from tests.unit.status.pipeline.test_stages import SETTINGS, World
from tests.unit.status.stages.test_standstill import Clock

CALL_S = 3.0
"""Seconds of the clock that a count takes."""

WRONG = VerifyLoadResponse(rows=ROWS + 1, segments_loaded_percent=100)
INCOMPLETE = VerifyLoadResponse(rows=ROWS - 1, segments_loaded_percent=50)


async def counts_until_the_end(
    monkeypatch: pytest.MonkeyPatch, settle_s: float, *answers: VerifyLoadResponse
) -> tuple[int, State]:
    """The number of counts and the state after VERIFYING. After the answers, the numbers are
    right.
    """
    clock = Clock(monkeypatch)
    world = World(settings=Settings(**{**SETTINGS, "verify_settle_s": settle_s}))
    monkeypatch.setattr(verify, "PACE_S", 0)
    world.rows.task = new_task(
        status=State.VERIFYING, rows_loadable=ROWS, load_attempt=1, druid_task_id="d", in_lane=True
    )
    world.loads.visible[TASK_ID] = {"d": ROWS}
    left, counted, calls = list(answers), world.loads.verify, 0

    async def answer(request: VerifyLoadRequest) -> VerifyLoadResponse:
        nonlocal calls
        calls += 1
        clock.now += CALL_S
        return left.pop(0) if left else await counted(request)

    states: list[State] = []
    move = world.rows.move

    async def moved(*arguments: object) -> bool:
        states.append(arguments[2].to)  # type: ignore[attr-defined]
        return await move(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world.loads, "verify", answer)
    monkeypatch.setattr(world.rows, "move", moved)
    await world.run()
    return calls, states[0]


@pytest.mark.parametrize(("settle_s", "counts"), [(2, 1), (9, 3), (9.1, 4)])
async def test_wrong_numbers_fail_the_load_once_they_are_settled(
    monkeypatch: pytest.MonkeyPatch, settle_s: float, counts: int
) -> None:
    found = await counts_until_the_end(monkeypatch, settle_s, *[WRONG] * 10)
    assert found == (counts, State.CLEANING)


async def test_segments_that_are_not_loaded_begin_the_time_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [WRONG, WRONG, INCOMPLETE, WRONG, WRONG, INCOMPLETE, WRONG, WRONG]
    assert await counts_until_the_end(monkeypatch, 9, *answers) == (9, State.SUCCEEDED)


async def test_numbers_that_are_right_in_time_succeed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await counts_until_the_end(monkeypatch, 9, WRONG, WRONG) == (3, State.SUCCEEDED)
