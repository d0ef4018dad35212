"""The pipeline of the status service: PostgreSQL, the validation service and the Druid gateway fail
it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from unittest.mock import patch

from services.common import errors
from services.status.pipeline import recount
from services.status.pipeline.gate import Gate
from services.status.pipeline.runner import Pipeline
from services.status.settings import Settings
from services.status.stages import clean as clean_stage
from services.status.stages import verify as verify_stage
from services.status.tasks.load_states import Counted, OtherLoad
from services.status.tasks.machine import TERMINAL, State, cancel
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import LoadPhase
from tests.unit.calls.failing import GRPC, POSTGRESQL, Failing, Plan, Stage, hold
from tests.unit.status.fake_rows import TASK_ID, FakeRows, new_task
from tests.unit.status.fakes import ROWS, FakeLoads, FakeQuality, FakeValidation, rejected

MOST_CLAIMS = 60

SETTINGS = Settings(
    bind_addr="127.0.0.1:0",
    database_url="postgresql://u@h/d",
    upload_addr="h:0",
    validation_addr="h:1",
    druid_gateway_addr="h:2",
    verify_settle_s=0.01,
)


class World:
    """One task and what surrounds it."""

    def __init__(self, plan: Plan) -> None:
        self.rows = FakeRows(new_task())
        self.validation = FakeValidation()
        self.loads = FakeLoads()
        rows = Failing(self.rows, POSTGRESQL, plan)
        expectations = Failing(FakeQuality(), POSTGRESQL, plan)
        validation, loads = Failing(self.validation, GRPC, plan), Failing(self.loads, GRPC, plan)
        self.pipeline = Pipeline(
            rows, rows, rows, expectations, validation, loads, Gate(), SETTINGS
        )

    async def run_to_the_end(self) -> State:
        """Claims again and again, as time passes."""
        for _ in range(MOST_CLAIMS):
            if self.rows.task.status in TERMINAL:
                return self.rows.task.status
            lease = self.rows.claim()
            # Workers logs what is raised here, and the lease runs out.
            with suppress(Exception):
                await self.pipeline.run(lease)
            self.rows.expire()
        hold(False, f"still {self.rows.task.status} after {MOST_CLAIMS} claims")
        raise AssertionError

    def check(self) -> None:
        """The rows are in Druid once, or not at all, as the task says; and its states went along
        the graph, which the fake checks.
        """
        seen, task = self.loads.rows_of(TASK_ID), self.rows.task
        if task.status is State.SUCCEEDED:
            hold(
                (seen, task.row_count) == (ROWS, ROWS),
                f"SUCCEEDED with {seen} rows in Druid and row_count {task.row_count}",
            )
        else:
            hold(seen == 0, f"{task.status} with {seen} rows in Druid")
            hold(task.problem is not None, f"{task.status} without a problem")
        for older in self.rows.older:
            left = Counted(OtherLoad.of(older), self.loads.rows_of(older.task_id)).load_state
            said = self.rows.load_states.get(older.task_id, older.load_state)
            hold(said == left, f"{task.status} with an older load that is {left} and called {said}")


def _cancelled(world: World) -> None:
    """Somebody cancels while the first submit is on its way."""
    submit = world.loads.submit

    async def submitted(request: object) -> object:
        move = cancel(
            world.rows.task.status, errors.problem(ErrorReason.ERROR_REASON_CANCELLED, "Cancelled.")
        )
        if move is not None:
            await world.rows.move(TASK_ID, world.rows.task.status, move)
        return await submit(request)  # type: ignore[arg-type]

    world.loads.submit = submitted  # type: ignore[assignment, method-assign]


def _replacing(world: World) -> None:
    """Older loads of 10 rows, of which 0 and 4 are left while the load is there."""
    world.rows.task = new_task(load_mode="REPLACE")
    world.loads.replaced = {"whole": (0, 10), "half": (4, 10)}
    world.rows.older = [
        new_task(task_id=each, row_count=10, load_state="LIVE") for each in world.loads.replaced
    ]


def _replacing_in_vain(world: World) -> None:
    _replacing(world)
    world.loads.lose_rows = 1


def _replacing_and_cancelled(world: World) -> None:
    _replacing(world)
    _cancelled(world)


SCENARIOS: dict[str, tuple[Callable[[World], object], State]] = {
    "a good file": (lambda world: None, State.SUCCEEDED),
    "a load that fails first": (
        lambda world: world.loads.phases.append(LoadPhase.LOAD_PHASE_FAILED),
        State.SUCCEEDED,
    ),
    "a load that Druid forgets": (
        lambda world: world.loads.phases.append(LoadPhase.LOAD_PHASE_UNKNOWN),
        State.SUCCEEDED,
    ),
    "a load that loses a row": (lambda world: setattr(world.loads, "lose_rows", 1), State.FAILED),
    "a bad file": (lambda world: setattr(world.validation, "judge", rejected), State.REJECTED),
    "a duplicate": (lambda world: setattr(world.rows, "duplicate", "another"), State.REJECTED),
    "a cancelled load": (_cancelled, State.CANCELLED),
    "a replace": (_replacing, State.SUCCEEDED),
    "a replace that loses a row": (_replacing_in_vain, State.FAILED),
    "a cancelled replace": (_replacing_and_cancelled, State.CANCELLED),
}


def _stage(prepare: Callable[[World], object], expected: State) -> Stage:
    async def run(plan: Plan) -> None:
        world = World(plan)
        prepare(world)
        with _hurried():
            ended = await world.run_to_the_end()
        world.check()
        hold(ended is expected, f"it ended {ended}, and {expected} is the truth")

    return run


@contextmanager
def _hurried() -> Iterator[None]:
    """No pace: the fakes answer at once."""
    with (
        patch.object(verify_stage, "PACE_S", 0),
        patch.object(clean_stage, "PACE_S", 0),
        patch.object(recount, "PACE_S", 0),
    ):
        yield


STAGES: dict[str, Stage] = {
    f"pipeline, {name}": _stage(*scenario) for name, scenario in SCENARIOS.items()
}
