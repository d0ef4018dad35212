"""The load states of other loads match what queries see, whatever happens between their count and
the end.
"""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.common import errors
from services.status.pipeline import recount as recounting
from services.status.settings import Settings
from services.status.stages import clean as clean_stage
from services.status.stages import verify as verify_stage
from services.status.tasks.load_states import LOADS_AT_ONCE
from services.status.tasks.machine import State, cancel
from services.status.tasks.task import Task
from sluice.common.v1.errors_pb2 import ErrorReason
from tests.unit.status.fake_rows import TASK_ID, new_task
from tests.unit.status.fakes import ROWS, problem_of
from tests.unit.status.pipeline.test_stages import SETTINGS, World

CANCELLED = errors.problem(ErrorReason.ERROR_REASON_CANCELLED, "Cancelled.")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pace, as the fakes answer at once; and no drawing of tracebacks."""
    monkeypatch.setattr(verify_stage, "PACE_S", 0)
    monkeypatch.setattr(clean_stage, "PACE_S", 0)
    monkeypatch.setattr(recounting, "PACE_S", 0)
    with capture_logs():
        yield


def older(task_id: str, state: str = "LIVE") -> Task:
    """A load of 10 rows that succeeded before."""
    return new_task(
        task_id=task_id,
        row_count=10,
        load_state=state,
        interval_start_millis=0,
        interval_end_millis=100,
    )


def replacing(verify_deadline_s: float = 1800, /, **left: int) -> World:
    """A file that replaces older loads of 10 rows each, of which so many are left while it is
    there.
    """
    world = World(settings=Settings(**SETTINGS, verify_deadline_s=verify_deadline_s))
    world.rows.task = new_task(load_mode="REPLACE")
    world.rows.older = [older(name) for name in left]
    world.loads.replaced = {name: (rows, 10) for name, rows in left.items()}
    return world


def states(world: World) -> dict[str, str]:
    return {
        each.task_id: world.rows.load_states.get(each.task_id, each.load_state or "")
        for each in world.rows.older
    }


def before_the_end(world: World, happens: Callable[[], Any]) -> None:
    """Something happens once the older loads are counted, and before the load is SUCCEEDED."""
    count, done = world.loads.count, False

    async def counted(request: Any) -> Any:
        nonlocal done
        answer = await count(request)
        if not done:
            done = True
            await happens()
        return answer

    world.loads.count = counted  # type: ignore[method-assign]


async def test_a_replace_says_what_is_left_of_older_loads() -> None:
    world = replacing(gone=0, half=5, whole=10)
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert states(world) == {"gone": "REPLACED", "half": "PARTLY_REPLACED", "whole": "LIVE"}
    assert [event.state for event in world.rows.events][-1] is State.SUCCEEDED


async def test_a_replace_that_is_cancelled_while_older_loads_are_counted_has_replaced_nothing() -> (
    None
):
    world = replacing(gone=0, half=5)

    async def cancelled() -> None:
        move = cancel(State.VERIFYING, CANCELLED)
        assert move is not None
        assert await world.rows.move(TASK_ID, State.VERIFYING, move)

    before_the_end(world, cancelled)
    assert await world.run_to_the_end() is State.CANCELLED
    assert states(world) == {"gone": "LIVE", "half": "LIVE"}
    world.check_truth()


async def test_a_replace_that_is_out_of_time_while_older_loads_are_counted_has_replaced_nothing() -> (
    None
):
    world = replacing(0.1, gone=0)

    async def stuck() -> None:
        await asyncio.Event().wait()

    before_the_end(world, stuck)
    assert await world.run_to_the_end() is State.TIMEOUT
    assert states(world) == {"gone": "LIVE"}


async def test_a_worker_that_was_overtaken_while_older_loads_are_counted_changes_nothing() -> None:
    world = replacing(gone=0)

    async def overtaken() -> None:
        world.rows.expire()
        lease = world.rows.claim()
        assert world.rows.load_states == {}
        world.rows.expire()
        assert lease.owner.attempt == 2

    before_the_end(world, overtaken)
    await world.run()
    assert world.rows.task.status is State.VERIFYING
    assert world.rows.load_states == {}
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert states(world) == {"gone": "REPLACED"}


@pytest.mark.parametrize("after_effect", [False, True])
async def test_a_commit_that_fails_leaves_no_half(after_effect: bool) -> None:
    world = replacing(gone=0)
    world.faults.of = ("move SUCCEEDED",)
    world.faults.at, world.faults.after_effect = 1, after_effect
    world.faults.make = lambda: errors.error(
        ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE, "It is away."
    )
    await world.run()
    assert (world.rows.task.status is State.SUCCEEDED) is after_effect
    if not after_effect:
        assert world.rows.load_states == {}
        assert await world.run_to_the_end() is State.SUCCEEDED
        assert states(world) == {"gone": "REPLACED"}


async def test_older_loads_are_not_counted_while_segments_are_away() -> None:
    """Rows that no query reaches at the moment are not replaced."""
    world = replacing(gone=0)
    count, verify = world.loads.count, world.loads.verify
    asked: list[str] = []

    async def counted(request: Any) -> Any:
        asked.append("count")
        world.loads.loaded_percent = 100.0 if len(asked) > 2 else 50.0
        return await count(request)

    async def verified(request: Any) -> Any:
        world.loads.loaded_percent = 100.0
        return await verify(request)

    world.loads.count, world.loads.verify = counted, verified  # type: ignore[method-assign]
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert asked == ["count"] * 3
    assert any(
        "1 are available" in event.message
        for event in world.rows.events
        if event.kind == "PROGRESS"
    )


async def test_older_loads_that_can_never_be_counted_end_the_load_by_its_deadline() -> None:
    world = replacing(2, gone=0)
    world.loads.loaded_percent = 50.0
    remove = world.loads.remove

    async def removed(request: Any) -> Any:
        world.loads.loaded_percent = 100.0
        return await remove(request)

    world.loads.remove = removed  # type: ignore[method-assign]
    assert await world.run_to_the_end() is State.FAILED
    assert problem_of(world.rows.task.problem) == "LOAD_NOT_VISIBLE"
    assert states(world) == {"gone": "LIVE"}


async def test_a_count_that_is_outdated_is_made_again() -> None:
    world = replacing(gone=0)
    world.rows.outdated = 2
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert len(world.loads.counted) == 3


async def test_a_failed_replace_says_what_came_back() -> None:
    """A count during the load may have called them REPLACED: what matters is what is there in the
    end.
    """
    world = replacing(gone=0, half=5)
    world.loads.lose_rows = 1
    world.rows.load_states = {"gone": "REPLACED", "half": "PARTLY_REPLACED"}
    assert await world.run_to_the_end() is State.FAILED
    assert states(world) == {"gone": "LIVE", "half": "LIVE"}


async def test_a_failed_replace_says_what_did_not_come_back() -> None:
    world = replacing(gone=0)
    world.loads.lose_rows = 1
    remove = world.loads.remove

    async def lost(request: Any) -> Any:
        if request.restore_segment_ids:
            raise errors.error(
                ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE, "Druid has deleted 1 of 1 segments."
            )
        world.loads.replaced["gone"] = (0, 0)
        return await remove(request)

    world.loads.in_use, world.loads.remove = ["of gone"], lost  # type: ignore[method-assign]
    assert await world.run_to_the_end() is State.FAILED
    assert states(world) == {"gone": "REPLACED"}


async def test_a_failed_replace_does_not_end_before_what_came_back_can_be_counted() -> None:
    world = replacing(gone=0)
    world.loads.lose_rows = 1
    count = world.loads.count
    world.loads.loaded_percent = 100.0

    async def later(request: Any) -> Any:
        world.loads.loaded_percent = 50.0 if len(world.loads.counted) < 2 else 100.0
        assert world.rows.task.status is State.CLEANING
        return await count(request)

    world.loads.count = later  # type: ignore[method-assign]
    assert await world.run_to_the_end() is State.FAILED
    assert len(world.loads.counted) == 3


async def test_an_append_counts_no_other_load() -> None:
    world = World()
    world.rows.older = [older("other")]
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert world.loads.counted == []


async def test_thousands_of_older_loads_are_counted_by_a_few_calls() -> None:
    world = World()
    world.rows.task = new_task(load_mode="REPLACE_ALL")
    world.rows.older = [older(f"load {number:04}") for number in range(2 * LOADS_AT_ONCE + 500)]
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert [len(each.task_ids) for each in world.loads.counted] == [
        LOADS_AT_ONCE,
        LOADS_AT_ONCE,
        500,
    ]
    assert set(states(world).values()) == {"REPLACED"}


def undoing(**other: object) -> World:
    world = World()
    world.rows.task = new_task(
        status=State.SUCCEEDED,
        load_state="REVERTING",
        undone_from="LIVE",
        row_count=ROWS,
        druid_task_ids=["d"],
        **other,
    )
    world.rows.segments["OWN"] = {"own"}
    world.loads.visible[TASK_ID] = {"d": ROWS}
    return world


async def test_an_undo_counts_every_load_of_its_chunks() -> None:
    world = undoing()
    world.rows.older = [
        older("live"),
        older("hidden", "REPLACED"),
        older("partly", "PARTLY_REPLACED"),
    ]
    world.loads.visible |= {"live": {"x": 10}, "hidden": {"x": 10}, "partly": {"x": 4}}
    await world.run()
    assert world.rows.task.load_state == "REVERTED"
    assert states(world) == {"live": "LIVE", "hidden": "LIVE", "partly": "PARTLY_REPLACED"}
    assert "missing" not in world.rows.events[-1].message


async def test_an_undo_tells_of_rows_that_others_lack() -> None:
    world = undoing()
    world.rows.older = [older("live"), older("lost")]
    world.loads.visible |= {"live": {"x": 10}, "lost": {"x": 3}}
    await world.run()
    assert world.rows.task.load_state == "REVERTED"
    assert states(world) == {"live": "LIVE", "lost": "PARTLY_REPLACED"}
    assert "7 rows of other loads are missing: of tasks lost." in world.rows.events[-1].message


async def test_an_undo_does_not_end_while_others_cannot_be_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(recounting, "PATIENCE_S", 0)
    world = undoing()
    world.rows.older = [older("hidden", "REPLACED")]
    world.loads.loaded_percent = 50.0
    await world.run()
    assert (world.rows.task.load_state, world.rows.load_states) == ("REVERTING", {})
    world.loads.loaded_percent = 100.0
    await world.run()
    assert (world.rows.task.load_state, states(world)) == ("REVERTED", {"hidden": "REPLACED"})


@pytest.mark.parametrize(
    ("reason", "rows", "state"),
    [
        (ErrorReason.ERROR_REASON_SHARED_SEGMENTS, ROWS, "LIVE"),
        (ErrorReason.ERROR_REASON_NEWER_LOADS, ROWS, "LIVE"),
        (ErrorReason.ERROR_REASON_DRUID_LOCKED, ROWS - 1, "PARTLY_REPLACED"),
        (ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE, 0, "REPLACED"),
    ],
)
async def test_an_undo_that_is_refused_says_what_is_there(
    reason: "ErrorReason.ValueType", rows: int, state: str
) -> None:
    world = undoing()
    world.loads.visible[TASK_ID] = {"d": rows}
    world.loads.refusal = errors.error(reason, "Something is in the way.")
    await world.run()
    assert world.rows.task.load_state == state
    assert world.rows.events[-1].message == "The load could not be undone: Something is in the way."


async def test_what_a_failed_load_shares_with_others_stays_until_it_can_go() -> None:
    """CLEANING never takes rows of others; it asks again, and says what is in the way."""
    world = World()
    world.loads.lose_rows = 1
    message = "Its segments hold rows of 3 other loads too."
    world.loads.refusal = errors.error(ErrorReason.ERROR_REASON_SHARED_SEGMENTS, message)
    await world.run()
    await world.run()
    assert world.rows.task.status is State.CLEANING
    assert world.rows.events[-1].message.startswith(
        "Its segments hold rows of 3 other loads too; trying again"
    )
    world.loads.refusal = None
    assert await world.run_to_the_end() is State.FAILED
    assert problem_of(world.rows.task.problem) == "LOAD_MISMATCH"
    world.check_truth()
