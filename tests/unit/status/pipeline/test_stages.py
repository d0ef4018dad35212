"""The pipeline between fakes of everything around it."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.common import errors
from services.status.pipeline.gate import Gate
from services.status.pipeline.runner import Pipeline
from services.status.settings import Settings
from services.status.stages import clean as clean_stage
from services.status.stages import verify as verify_stage
from services.status.tasks.loads import StoredPlan
from services.status.tasks.machine import State, cancel
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import LoadPhase, PlanIngestionResponse
from sluice.validation.v1.validation_pb2 import Report
from tests.unit.status.fake_rows import TASK_ID, FakeRows, new_task
from tests.unit.status.fakes import (
    ROWS,
    FakeLoads,
    FakeQuality,
    FakeValidation,
    Faults,
    passed,
    problem_of,
    rejected,
    segment,
)

SETTINGS: dict[str, Any] = {
    "bind_addr": "127.0.0.1:0",
    "database_url": "postgresql://u@h/d",
    "validation_addr": "h:1",
    "druid_gateway_addr": "h:2",
    "upload_addr": "h:3",
    "verify_settle_s": 0.01,
}


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pace, as the fakes answer at once; and no drawing of tracebacks."""
    monkeypatch.setattr(verify_stage, "PACE_S", 0)
    monkeypatch.setattr(clean_stage, "PACE_S", 0)
    with capture_logs():
        yield


@dataclass
class World:
    """One task, a pipeline, and what surrounds it."""

    faults: Faults = field(default_factory=Faults)
    settings: Settings = field(default_factory=lambda: Settings(**SETTINGS))

    def __post_init__(self) -> None:
        self.rows = FakeRows(new_task(), self.faults)
        self.validation = FakeValidation(self.faults)
        self.loads = FakeLoads(self.faults)
        self.pipeline = Pipeline(
            self.rows,
            self.rows,
            self.rows,
            FakeQuality(),
            self.validation,
            self.loads,
            Gate(),
            self.settings,
        )

    async def run(self) -> None:
        """Claims once and works until the claim is given back; then claims as a worker for loads
        where the file has passed.
        """
        before = self.rows.task.status
        lease = self.rows.claim()
        await asyncio.wait_for(self.pipeline.run(lease), 10)
        self.rows.expire()
        if (
            before in {State.UPLOADED, State.VALIDATING}
            and self.rows.task.status is State.INGESTING
        ):
            await self.run()

    async def run_to_the_end(self, most: int = 60) -> State:
        """Claims again and again, as time passes."""
        for _ in range(most):
            if self.rows.task.completed_at or self.rows.task.status in {
                State.SUCCEEDED,
                State.FAILED,
                State.REJECTED,
                State.TIMEOUT,
                State.CANCELLED,
            }:
                return self.rows.task.status
            await self.run()
        raise AssertionError(f"still {self.rows.task.status} after {most} claims")

    def check_truth(self) -> None:
        """What must hold at every end."""
        seen = self.loads.rows_of(TASK_ID)
        if self.rows.task.status is State.SUCCEEDED:
            assert (seen, self.rows.task.row_count) == (ROWS, ROWS)
        else:
            assert seen == 0


def failing(
    reason: "ErrorReason.ValueType", message: str = "It failed."
) -> Callable[[], Exception]:
    return lambda: errors.error(reason, message)


NEIGHBOURS = ("validate", "report", "submit", "watch", "verify", "count", "remove")
DATABASE = ("owned", "move", "retry", "record", "touched")

KINDS: dict[str, Faults] = {
    "refused": Faults(of=NEIGHBOURS, make=failing(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE)),
    "timeout": Faults(of=NEIGHBOURS, make=failing(ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED)),
    "reset after the effect": Faults(
        of=NEIGHBOURS, after_effect=True, make=failing(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE)
    ),
    "server error": Faults(of=NEIGHBOURS, make=failing(ErrorReason.ERROR_REASON_INTERNAL)),
    "garbage": Faults(
        of=NEIGHBOURS, after_effect=True, make=lambda: ValueError("cannot be decoded")
    ),
    "database away": Faults(
        of=DATABASE, make=failing(ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE)
    ),
    "commit's answer lost": Faults(
        of=DATABASE, after_effect=True, make=failing(ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE)
    ),
}

DRUIDS: dict[str, Callable[[World], None]] = {
    "well": lambda world: None,
    "first load fails": lambda world: world.loads.phases.append(LoadPhase.LOAD_PHASE_FAILED),
    "first load is forgotten": lambda world: world.loads.phases.append(
        LoadPhase.LOAD_PHASE_UNKNOWN
    ),
    "first load is cut short": lambda world: world.loads.cut_short.append(1),
    "a row is lost": lambda world: setattr(world.loads, "lose_rows", 1),
    "rejected": lambda world: setattr(world.validation, "judge", rejected),
}


@pytest.mark.parametrize("druid", DRUIDS)
@pytest.mark.parametrize("kind", KINDS)
async def test_each_call_may_fail_once(kind: str, druid: str) -> None:
    undisturbed = World()
    DRUIDS[druid](undisturbed)
    expected = await undisturbed.run_to_the_end()
    number = 0
    while True:
        number += 1
        world = World(replace(KINDS[kind], at=number, calls=[]))
        DRUIDS[druid](world)
        assert await world.run_to_the_end() is expected, f"call {number}: {world.faults.calls}"
        world.check_truth()
        if not world.faults.fired:
            break
    assert number > 1


@pytest.mark.parametrize(
    ("datasource", "end"),
    [("sales", State.SUCCEEDED), ("others", State.REJECTED), (None, State.REJECTED)],
)
async def test_repaired_rows_join_the_datasource_of_their_task_only(
    datasource: str | None, end: State
) -> None:
    origin = "00000000-0000-4000-8000-0000000000aa"
    world = World()

    def judge(task_id: str, attempt: int) -> Report:
        report = passed(task_id, attempt)
        report.rejects_of = origin
        return report

    world.validation.judge = judge
    older = [] if datasource is None else [new_task(task_id=origin, datasource_name=datasource)]
    world.rows.get_more = older
    assert await world.run_to_the_end() is end
    assert world.rows.task.repair_of == origin
    if end is State.REJECTED:
        assert world.rows.task.problem is not None
        assert world.rows.task.problem["code"] == "REJECTS_ELSEWHERE"


async def test_druid_may_be_away_for_long() -> None:
    world = World()
    real = world.loads.submit
    away = 40

    async def submit(request: Any) -> Any:
        nonlocal away
        away -= 1
        if away > 0:
            raise errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, "Druid does not answer.")
        return await real(request)

    world.loads.submit = submit  # type: ignore[method-assign]
    assert await world.run_to_the_end() is State.SUCCEEDED
    messages = [event.message for event in world.rows.events if event.kind == "RETRY"]
    assert len(messages) == 39
    assert messages[0] == "Druid does not answer; trying again in 1 s."
    assert max(world.rows.delays) <= world.settings.retry_max_s
    assert world.rows.task.stage_attempts == 0


async def test_druid_may_not_be_away_for_ever() -> None:
    world = World(
        Faults(1, of=("submit",), make=failing(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE)),
        Settings(**SETTINGS, ingest_deadline_s=100, ingest_deadline_s_per_mib=10),
    )
    await world.run()
    assert world.rows.task.status is State.INGESTING
    world.rows.stage_seconds = 111
    world.faults.at = 2
    await world.run()
    assert world.rows.states[-2:] == [State.CLEANING, State.TIMEOUT]
    assert problem_of(world.rows.task.problem) == "STAGE_DEADLINE"
    world.check_truth()


async def test_a_failure_that_stays_ends_after_its_attempts() -> None:
    world = World()

    def broken(task_id: str, attempt: int) -> Report:
        raise errors.error(ErrorReason.ERROR_REASON_INTERNAL, "It broke.")

    world.validation.judge = broken
    assert await world.run_to_the_end() is State.FAILED
    assert world.rows.task.attempt == world.settings.stage_attempts
    assert problem_of(world.rows.task.problem) == "ATTEMPTS_EXHAUSTED"
    assert world.rows.task.problem is not None
    assert "It broke." in world.rows.task.problem["message"]


async def test_loads_that_keep_failing_are_cleaned_up() -> None:
    world = World()
    world.loads.phases = [LoadPhase.LOAD_PHASE_FAILED] * 10
    assert await world.run_to_the_end() is State.FAILED
    assert world.rows.states[-2:] == [State.CLEANING, State.FAILED]
    assert world.loads.submits == world.settings.stage_attempts
    assert len(set(world.rows.task.druid_task_ids)) == world.settings.stage_attempts
    world.check_truth()


async def test_a_forgotten_load_whose_rows_are_there_is_not_loaded_again() -> None:
    world = World()
    real = world.loads.verify
    world.loads.phases = [LoadPhase.LOAD_PHASE_UNKNOWN]

    async def verify(request: Any) -> Any:
        world.loads.visible[TASK_ID] = dict.fromkeys(world.loads.visible[TASK_ID], ROWS)
        return await real(request)

    world.loads.verify = verify  # type: ignore[method-assign]
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert world.loads.submits == 1
    world.check_truth()


async def test_a_load_that_druid_read_only_a_part_of_is_restarted() -> None:
    world = World()
    world.loads.cut_short = [ROWS // 2]
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert (world.loads.submits, len(world.rows.task.druid_task_ids)) == (2, 2)
    world.check_truth()


async def test_a_report_that_lacks_rows_does_not_undo_a_load_that_has_them() -> None:
    world = World()
    real = world.loads.watch

    async def watch(request: Any, timeout_s: float) -> Any:
        async for step in real(request, timeout_s):
            step.rows_processed = min(step.rows_processed, ROWS // 2)
            yield step

    world.loads.watch = watch  # type: ignore[method-assign]
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert world.loads.submits == 1


async def test_a_wrong_count_is_not_called_success() -> None:
    world = World()
    world.loads.lose_rows = 1
    assert await world.run_to_the_end() is State.FAILED
    assert world.rows.states[-2:] == [State.CLEANING, State.FAILED]
    assert problem_of(world.rows.task.problem) == "LOAD_MISMATCH"
    world.check_truth()


async def test_a_resource_limit_is_a_verdict() -> None:
    world = World()
    world.validation.judge = lambda task_id, attempt: rejected(
        task_id, attempt, ErrorReason.ERROR_REASON_RESOURCE_LIMIT
    )
    assert await world.run_to_the_end() is State.REJECTED
    assert (world.rows.task.attempt, problem_of(world.rows.task.problem)) == (1, "RESOURCE_LIMIT")


async def test_a_lost_object_is_not_tried_again() -> None:
    world = World(Faults(1, of=NEIGHBOURS, make=failing(ErrorReason.ERROR_REASON_OBJECT_LOST)))
    assert await world.run_to_the_end() is State.FAILED
    assert (world.rows.task.attempt, problem_of(world.rows.task.problem)) == (1, "OBJECT_LOST")


async def test_a_duplicate_is_refused() -> None:
    world = World()
    world.rows.duplicate = "another"
    assert await world.run_to_the_end() is State.REJECTED
    assert (world.rows.task.duplicate_of, problem_of(world.rows.task.problem)) == (
        "another",
        "DUPLICATE_CONTENT",
    )
    assert world.loads.submits == 0


async def test_what_was_dropped_from_druid_by_hand_is_no_duplicate() -> None:
    world = World()
    world.rows.duplicate = "dropped"
    world.rows.get_more = [
        new_task(task_id="dropped", status=State.SUCCEEDED, load_state="LIVE", row_count=10)
    ]
    assert await world.run_to_the_end() is State.SUCCEEDED
    assert world.rows.load_states == {"dropped": "REPLACED"}
    world.check_truth()


async def test_rows_that_druid_does_not_reach_at_the_moment_are_duplicates() -> None:
    world = World()
    world.rows.duplicate = "unreached"
    world.rows.get_more = [
        new_task(task_id="unreached", status=State.SUCCEEDED, load_state="LIVE", row_count=10)
    ]
    world.loads.loaded_percent = 50.0
    assert await world.run_to_the_end() is State.REJECTED
    assert world.rows.load_states == {}


async def test_rows_that_a_replace_on_its_way_may_be_hiding_are_duplicates() -> None:
    world = World()
    world.rows.duplicate = "hidden"
    world.rows.get_more = [
        new_task(task_id="hidden", status=State.SUCCEEDED, load_state="LIVE", row_count=10)
    ]
    world.rows.outdated = 1
    assert await world.run_to_the_end() is State.REJECTED
    assert world.rows.load_states == {}


async def test_a_plan_that_others_overtook_replaces_nothing() -> None:
    world = World()
    world.rows.task = new_task(
        load_mode="REPLACE",
        status=State.INGESTING,
        plan_first=True,
        rows_loadable=ROWS,
        report_attempt=1,
    )
    world.validation.reports[TASK_ID, 1] = passed(TASK_ID, 1)
    world.loads.in_use = ["of the plan", "that came later"]
    world.rows.kept_plan = StoredPlan(
        "hash", PlanIngestionResponse(replaced=[segment("of the plan")]).SerializeToString()
    )
    assert await world.run_to_the_end() is State.FAILED
    assert (problem_of(world.rows.task.problem), world.loads.submits) == ("PLAN_STALE", 0)


async def test_progress_has_the_sub_tasks() -> None:
    world = World()
    await world.run_to_the_end()
    [message] = [
        event.message
        for event in world.rows.events
        if event.kind == "PROGRESS" and event.state is State.INGESTING
    ]
    assert message == "Druid is loading the rows; 1 of its sub-tasks are done, 2 are running."


async def test_workers_that_die_again_and_again_end_the_task() -> None:
    world = World(settings=Settings(**SETTINGS, stage_takeovers=3))
    world.rows.task = new_task(status=State.VALIDATING, stage_takeovers=4)
    assert await world.run_to_the_end() is State.FAILED
    assert problem_of(world.rows.task.problem) == "ATTEMPTS_EXHAUSTED"


async def test_a_submit_on_the_way_is_waited_for_before_the_load_is_removed() -> None:
    world = World()
    real, began, go_on = world.loads.submit, asyncio.Event(), asyncio.Event()

    async def slow(request: Any) -> Any:
        began.set()
        await go_on.wait()
        return await real(request)

    world.loads.submit = slow  # type: ignore[method-assign]
    await world.pipeline.run(world.rows.claim())
    lease = world.rows.claim()
    running = asyncio.create_task(world.pipeline.run(lease))
    await began.wait()
    move = cancel(State.INGESTING, errors.problem(ErrorReason.ERROR_REASON_CANCELLED, "Cancelled."))
    assert move is not None
    assert await world.rows.move(TASK_ID, State.INGESTING, move)
    lease.cancelled.set()
    for _ in range(10):
        await asyncio.sleep(0)
    assert "remove" not in world.faults.calls
    go_on.set()
    await asyncio.wait_for(running, 5)
    assert world.rows.task.status is State.CANCELLED
    assert world.loads.submits == 1
    world.check_truth()


async def test_a_load_waits_for_its_lane_without_failing() -> None:
    world = World()
    world.rows.lane_taken = True
    await world.run()
    assert world.rows.task.status is State.INGESTING
    assert (world.rows.task.stage_attempts, world.rows.task.stage_waits, world.loads.submits) == (
        0,
        0,
        0,
    )
    assert "other loads" in world.rows.events[-1].message
    world.rows.lane_taken = False
    assert await world.run_to_the_end() is State.SUCCEEDED
    world.check_truth()
