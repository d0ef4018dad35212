"""The table in memory, behind the port of the pipeline: the same conditions on every write as
store.Store.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from services.status.tasks import problems
from services.status.tasks.load_states import LOADS_AT_ONCE, OtherLoad, Outcome, Recount, Touched
from services.status.tasks.loads import Role, StoredPlan
from services.status.tasks.machine import TERMINAL, Move, State, check
from services.status.tasks.task import Lease, Owner, Progress, Task
from sluice.common.v1.errors_pb2 import Problem
from sluice.druid.v1.druid_pb2 import Segment
from tests.unit.status.fakes import Faults

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TASK_ID = "00000000-0000-4000-8000-000000000001"


def new_task(**other: object) -> Task:
    task = Task(
        task_id=TASK_ID,
        request_id="r",
        datasource_name="sales",
        original_filename="sales.csv",
        file_uri="s3://b/k",
        status=State.UPLOADED,
        message="",
        problem=None,
        validation_errors=None,
        created_at=NOW,
        updated_at=NOW,
        started_at=None,
        completed_at=None,
        file_size=2**20,
        received_size=2**20,
        multipart_id="m",
        sha256=b"",
        upload_writer="",
        client_metadata="",
        upload_mode="ONE_SHOT",
        load_mode="APPEND",
        allow_duplicate=False,
        retry_of="",
        duplicate_of="",
        repair_of="",
        trace_id="0" * 32,
        last_sequence=2,
        rows_read=None,
        rows_loadable=None,
        rows_rejected=None,
        rows_skipped=None,
        row_count=None,
        load_state=None,
        undone_from=None,
        expected_sums={},
        attempt=0,
        report_attempt=0,
        load_attempt=None,
        druid_task_id=None,
        druid_task_ids=[],
        interval_start_millis=None,
        interval_end_millis=None,
        stage_attempts=0,
        stage_waits=0,
        stage_takeovers=0,
        stage_seconds=0.0,
        cancel_requested=False,
        in_lane=False,
        plan_first=False,
        replace_start_millis=None,
        replace_end_millis=None,
        counted_sums={},
        client="",
        options=b"",
        files_delete_requested_at=None,
        clean_target=None,
        entered=[(State.PENDING, NOW), (State.UPLOADED, NOW)],
        now=NOW,
    )
    return replace(task, **other)  # type: ignore[arg-type]


@dataclass
class Written:
    """An event."""

    kind: str
    state: State
    message: str


class FakeRows:
    """Implements ports.PipelineStore, PipelineRecords and PipelineLeases for one task."""

    def __init__(self, task: Task, faults: Faults | None = None) -> None:
        self.task = task
        self.owner: Owner | None = None
        self.events: list[Written] = []
        self.faults = faults or Faults()
        self.duplicate = ""
        self.lane_taken = False
        self.delays: list[float] = []
        self.older: list[Task] = []
        self.get_more: list[Task] = []
        """Other existing tasks."""
        self.load_states: dict[str, str] = {}
        self.segments: dict[Role, set[str]] = {"OWN": set(), "REPLACED": set()}
        self.outdated = 0
        """So many counts of other loads are outdated when they are to be written."""
        self.kept_plan: StoredPlan | None = None
        self.stage_seconds = 0.0
        """Seconds of the stage by the database's clock, until the next transition."""

    def claim(self) -> Lease:
        """A lease as the next worker gets it."""
        assert self.owner is None
        assert self.task.status not in TERMINAL or self.task.load_state == "REVERTING"
        self.task = replace(self.task, attempt=self.task.attempt + 1)
        self.owner = Owner(self.task.task_id, self.task.attempt, f"worker {self.task.attempt}")
        return Lease(self.owner)

    async def owned(self, owner: Owner) -> Task | None:
        number = self.faults.before("owned")
        self.faults.after(number)
        return replace(self.task, stage_seconds=self.stage_seconds) if owner == self.owner else None

    async def get(self, task_id: str) -> Task | None:
        return (
            self.task
            if task_id == self.task.task_id
            else next((task for task in self.get_more if task.task_id == task_id), None)
        )

    async def move(
        self,
        task_id: str,
        state: State,
        move: Move,
        owner: Owner | None = None,
        writer: str | None = None,
    ) -> bool:
        number = self.faults.before(f"move {move.to}")
        check(state, move)
        if state is not self.task.status or (owner and owner != self.owner):
            return False
        values = {
            **move.columns,
            "status": move.to,
            "stage_attempts": 0,
            "stage_waits": 0,
            "stage_takeovers": 0,
        }
        if move.problem:
            values["problem"] = problems.to_json(move.problem)
        self.task = replace(self.task, **values)  # type: ignore[arg-type]
        self.stage_seconds = 0.0
        self.events.append(Written("STATE", move.to, move.message))
        if move.to in TERMINAL or (state is State.VALIDATING and move.to is State.INGESTING):
            self.owner = None
        self.faults.after(number)
        return True

    async def move_unless_duplicate(
        self, task: Task, move: Move, owner: Owner | None
    ) -> str | None:
        if self.duplicate and self.load_states.get(self.duplicate) != "REPLACED":
            return self.duplicate
        return "" if await self.move(task.task_id, task.status, move, owner) else None

    async def retry(
        self,
        task: Task,
        owner: Owner,
        *,
        delay_s: float,
        message: str,
        problem: Problem,
        failed: bool,
        new_load: bool,
    ) -> bool:
        number = self.faults.before("retry")
        if owner != self.owner or task.status is not self.task.status:
            return False
        counter = "stage_attempts" if failed else "stage_waits"
        self.task = replace(self.task, **{counter: getattr(self.task, counter) + 1})
        if new_load:
            self.task = replace(self.task, load_attempt=None, druid_task_id=None)
        self.owner = None
        self.delays.append(delay_s)
        self.events.append(Written("RETRY", task.status, message))
        self.faults.after(number)
        return True

    async def progress(self, task: Task, owner: Owner, progress: Progress) -> bool:
        if owner != self.owner or task.status is not self.task.status:
            return False
        self.events.append(Written("PROGRESS", task.status, progress.message))
        return True

    async def record(self, task: Task, owner: Owner, columns: Mapping[str, object]) -> bool:
        number = self.faults.before("record")
        if owner != self.owner or task.status is not self.task.status:
            return False
        self.task = replace(self.task, **columns)  # type: ignore[arg-type]
        self.faults.after(number)
        return True

    async def enter_lane(self, task: Task, owner: Owner) -> bool:
        number = self.faults.before("enter lane")
        if owner != self.owner or task.status is not self.task.status or self.lane_taken:
            return False
        self.task = replace(self.task, in_lane=True)
        self.faults.after(number)
        return True

    async def add(self, owner: Owner, role: Role, segments: Iterable[Segment]) -> None:
        number = self.faults.before(f"add {role}")
        if owner == self.owner:
            self.segments[role] |= {segment.id for segment in segments}
        self.faults.after(number)

    async def plan(self, task_id: str) -> StoredPlan | None:
        return self.kept_plan

    async def rows_per_second(self, rows: int) -> float:
        return 0.0

    async def keep_plan(self, owner: Owner, plan: StoredPlan) -> None:
        number = self.faults.before("keep_plan")
        if owner == self.owner:
            self.kept_plan = plan
        self.faults.after(number)

    async def own(self, task_id: str) -> list[str]:
        return sorted(self.segments["OWN"])

    async def restorable(self, task_id: str) -> list[str]:
        return sorted(self.segments["REPLACED"])

    async def undone_since(self, task_id: str) -> list[str]:
        return []

    async def touched(self, task_id: str) -> Touched:
        number = self.faults.before("touched")
        self.faults.after(number)
        return Touched(NOW, 0, 100)

    async def others(
        self, task: Task, where: Touched, states: Sequence[str], after: OtherLoad | None
    ) -> list[OtherLoad]:
        there = [OtherLoad.of(each) for each in self.older]
        now = [
            replace(each, load_state=self.load_states.get(each.task_id, each.load_state))
            for each in there
        ]
        passed = [each.task_id for each in now].index(after.task_id) + 1 if after else 0
        return [each for each in now[passed:] if each.load_state in states][:LOADS_AT_ONCE]

    async def end(self, task: Task, owner: Owner, move: Move, counted: Recount) -> Outcome:
        if self._is_outdated():
            return Outcome.OUTDATED
        if not await self.move(task.task_id, task.status, move, owner):
            return Outcome.FENCED
        self._keep(counted)
        return Outcome.WRITTEN

    async def record_counts(self, task: Task, counted: Recount) -> bool:
        if self._is_outdated():
            return False
        self._keep(counted)
        return True

    async def end_undo(
        self,
        task: Task,
        owner: Owner,
        load_state: str,
        message: str,
        counted: Recount,
        problem: Problem | None = None,
    ) -> Outcome:
        number = self.faults.before("end_undo")
        if self._is_outdated():
            return Outcome.OUTDATED
        if owner != self.owner:
            return Outcome.FENCED
        self.task = replace(self.task, load_state=load_state)
        self._keep(counted)
        self.events.append(Written("LOAD_STATE", self.task.status, message))
        self.owner = None
        self.faults.after(number)
        return Outcome.WRITTEN

    def _is_outdated(self) -> bool:
        self.outdated -= 1
        return self.outdated >= 0

    def _keep(self, counted: Recount) -> None:
        self.load_states.update({each.load.task_id: each.load_state for each in counted.loads})

    async def release(self, lease: Lease) -> None:
        if lease.owner == self.owner:
            self.owner = None

    def forget(self, lease: Lease) -> None:
        pass

    def expire(self) -> None:
        """The lease of a worker that gave up without a write runs out."""
        self.owner = None

    @property
    def states(self) -> list[State]:
        return [event.state for event in self.events if event.kind == "STATE"]
