"""Fakes of the validation service and of Druid, behind the ports of the pipeline."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from services.common import errors
from services.status.tasks.task import Owner, Task
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import (
    CountLoadsRequest,
    CountLoadsResponse,
    Interval,
    LoadCount,
    LoadPhase,
    PlanIngestionRequest,
    PlanIngestionResponse,
    RemoveLoadRequest,
    RemoveLoadResponse,
    Segment,
    SubmitLoadRequest,
    SubmitLoadResponse,
    VerifyLoadRequest,
    VerifyLoadResponse,
    WatchLoadRequest,
    WatchLoadResponse,
)
from sluice.validation.v1.validation_pb2 import (
    Column,
    LoadType,
    Part,
    Policy,
    Quality,
    ReadOptions,
    Report,
    TimeColumn,
    ValidateObjectRequest,
    ValidateObjectResponse,
    ValidationProgress,
    Verdict,
)

ROWS = 1000
SUM = 123.5
SHA256 = bytes(range(32))


@dataclass
class Faults:
    """Fails the call with number `at` (from 1) among those whose name is in `of` (all where empty),
    before or after its effect.
    """

    at: int = 0
    after_effect: bool = False
    make: Callable[[], Exception] = lambda: errors.error(
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "It does not answer."
    )
    of: tuple[str, ...] = ()
    calls: list[str] = field(default_factory=list)
    fired: bool = False

    def before(self, name: str) -> int:
        """Counts the call and returns its number; 0 for one that is not counted."""
        if self.of and not name.startswith(self.of):
            return 0
        self.calls.append(name)
        number = len(self.calls)
        if number == self.at and not self.after_effect:
            self.fired = True
            raise self.make()
        return number

    def after(self, number: int) -> None:
        if number and number == self.at and self.after_effect:
            self.fired = True
            raise self.make()


def passed(task_id: str, attempt: int, rows: int = ROWS) -> Report:
    return Report(
        task_id=task_id,
        attempt=attempt,
        sha256=SHA256,
        verdict=Verdict.VERDICT_PASSED,
        rows_read=rows + 3,
        rows_loadable=rows,
        rows_rejected=2,
        rows_skipped=1,
        columns=[
            Column(name="__time", load_type=LoadType.LOAD_TYPE_TIME),
            Column(name="city", load_type=LoadType.LOAD_TYPE_STRING),
            Column(name="sales", load_type=LoadType.LOAD_TYPE_DOUBLE, sum=SUM),
        ],
        time=TimeColumn(min_millis=10, max_millis=20),
        parts=[Part(uri=f"s3://b/tasks/{task_id}/{attempt}/parts/000.csv", rows=rows)],
    )


def rejected(
    task_id: str,
    attempt: int,
    reason: "ErrorReason.ValueType" = ErrorReason.ERROR_REASON_TOO_FEW_COLUMNS,
) -> Report:
    problem = errors.problem(
        reason, "The file has 3 columns; 5 are needed.", line=1, value="a\x00b"
    )
    return Report(
        task_id=task_id,
        attempt=attempt,
        sha256=SHA256,
        verdict=Verdict.VERDICT_REJECTED,
        problems=[problem],
    )


class FakeQuality:
    """Implements ports.QualityRecords: nothing was set and nothing loaded before."""

    def __init__(self) -> None:
        self.policy = Policy()
        self.kept: list[Quality] = []

    async def expected(self, task: Task) -> tuple[Policy, ReadOptions | None]:
        return self.policy, None

    async def keep(self, task: Task, owner: Owner, quality: Quality) -> None:
        self.kept.append(quality)


class FakeValidation:
    """Implements ports.Validation."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.judge: Callable[[str, int], Report] = passed
        self.reports: dict[tuple[str, int], Report] = {}
        self.requests: list[ValidateObjectRequest] = []
        self.gate = asyncio.Event()
        """Validation ends only while it is set."""
        self.gate.set()
        self.running = 0
        self.began = asyncio.Event()

    async def validate(
        self, request: ValidateObjectRequest, timeout_s: float
    ) -> AsyncGenerator[ValidateObjectResponse, None]:
        number = self.faults.before("validate")
        self.requests.append(request)
        self.running += 1
        self.began.set()
        try:
            yield ValidateObjectResponse(
                progress=ValidationProgress(phase="scan", done=1, total=10, unit="rows")
            )
            await self.gate.wait()
            report = self.judge(request.task_id, request.attempt)
            self.reports[request.task_id, request.attempt] = report
            self.faults.after(number)
            yield ValidateObjectResponse(report=report)
        finally:
            self.running -= 1

    async def report(self, task_id: str, attempt: int) -> Report:
        number = self.faults.before("report")
        if (task_id, attempt) not in self.reports:
            raise errors.error(ErrorReason.ERROR_REASON_REPORT_NOT_FOUND, "There is no report.")
        self.faults.after(number)
        return self.reports[task_id, attempt]


@dataclass
class Load:
    task_id: str
    rows: int
    phase: "LoadPhase.ValueType" = LoadPhase.LOAD_PHASE_SUCCEEDED
    rows_read: int = 0
    """Rows in its report."""


INTERVAL = Interval(start_millis=0, end_millis=100)


def segment(name: str) -> Segment:
    return Segment(id=name, interval=INTERVAL)


class FakeLoads:
    """Implements ports.Loads: a Druid that loads at once by default."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.loads: dict[str, Load] = {}
        """What Druid knows, by its id of the load."""
        self.visible: dict[str, dict[str, int]] = {}
        """Rows that a query sees: task id -> Druid's id of the load -> rows."""
        self.replaced: dict[str, tuple[int, int]] = {}
        """Older loads: their rows while one of our loads is visible, and while none is."""
        self.submits = 0
        self.lose_rows = 0
        self.cut_short: list[int] = []
        """How many rows of the next loads Druid does not read, as its report tells, in turn; then
        it reads all.
        """
        self.phases: list[LoadPhase.ValueType] = []
        """How the next loads end, in turn; then all succeed."""
        self.in_use: list[str] = []
        """Segments that a replace would replace."""
        self.removals: list[RemoveLoadRequest] = []
        self.counted: list[CountLoadsRequest] = []
        self.granularity = "DAY"
        self.submitted: list[SubmitLoadRequest] = []
        self.planned: list[PlanIngestionRequest] = []
        self.loaded_percent = 100.0
        self.refusal: errors.SluiceError | None = None
        """What a removal is refused with."""
        self.gate = asyncio.Event()
        """A load is watched to its end only while it is set."""
        self.gate.set()
        self.began = asyncio.Event()

    async def plan(self, request: PlanIngestionRequest) -> PlanIngestionResponse:
        number = self.faults.before("plan")
        self.planned.append(request)
        self.faults.after(number)
        return PlanIngestionResponse(
            interval=INTERVAL,
            segment_granularity=self.granularity,
            replaced=[segment(each) for each in self.in_use],
        )

    async def submit(self, request: SubmitLoadRequest) -> SubmitLoadResponse:
        number = self.faults.before("submit")
        druid_id = f"sluice-{request.task_id}-{request.attempt}"
        already = druid_id in self.loads
        if not already:
            self.submits += 1
            self.submitted.append(request)
            phase = self.phases.pop(0) if self.phases else LoadPhase.LOAD_PHASE_SUCCEEDED
            rows = (
                request.rows
                - self.lose_rows
                - (unread := self.cut_short.pop(0) if self.cut_short else 0)
            )
            self.loads[druid_id] = Load(request.task_id, rows, phase, request.rows - unread)
            visible = rows if phase == LoadPhase.LOAD_PHASE_SUCCEEDED else rows // 2
            self.visible.setdefault(request.task_id, {})[druid_id] = visible
        self.faults.after(number)
        return SubmitLoadResponse(
            druid_task_id=druid_id,
            already_submitted=already,
            interval=INTERVAL,
            segment_granularity="DAY",
        )

    async def watch(
        self, request: WatchLoadRequest, timeout_s: float
    ) -> AsyncGenerator[WatchLoadResponse, None]:
        number = self.faults.before("watch")
        self.began.set()
        yield WatchLoadResponse(
            phase=LoadPhase.LOAD_PHASE_RUNNING,
            rows_processed=1,
            sub_tasks_done=1,
            sub_tasks_running=2,
        )
        await self.gate.wait()
        load = self.loads.get(request.druid_task_id)
        self.faults.after(number)
        problem = None
        if load and load.phase == LoadPhase.LOAD_PHASE_FAILED:
            problem = errors.problem(ErrorReason.ERROR_REASON_DRUID_TASK_FAILED, "The load failed.")
        if load is None:
            yield WatchLoadResponse(phase=LoadPhase.LOAD_PHASE_UNKNOWN)
        else:
            yield WatchLoadResponse(
                phase=load.phase, rows_processed=load.rows_read, problem=problem
            )

    async def verify(self, request: VerifyLoadRequest) -> VerifyLoadResponse:
        number = self.faults.before("verify")
        rows = sum(self.visible.get(request.task_id, {}).values())
        self.faults.after(number)
        verified = rows == request.expected_rows
        segments = (
            [segment(f"segment {each}") for each in self.visible.get(request.task_id, {})]
            if verified
            else []
        )
        sums = [each.sum for each in request.expected_sums]
        return VerifyLoadResponse(
            verified=verified,
            rows=rows,
            segments_loaded_percent=self.loaded_percent,
            segments=segments,
            sums=sums,
        )

    async def count(self, request: CountLoadsRequest) -> CountLoadsResponse:
        number = self.faults.before("count")
        self.counted.append(request)
        rows = {task_id: self.rows_of(task_id) for task_id in request.task_ids}
        self.faults.after(number)
        if self.loaded_percent < 100:
            return CountLoadsResponse(segments_published=2, segments_available=1)
        found = [LoadCount(task_id=task_id, rows=seen) for task_id, seen in rows.items() if seen]
        return CountLoadsResponse(complete=True, loads=found)

    async def remove(self, request: RemoveLoadRequest) -> RemoveLoadResponse:
        number = self.faults.before("remove")
        self.removals.append(request)
        if self.refusal is not None:
            raise self.refusal
        for druid_id in request.druid_task_ids:
            self.visible.get(request.task_id, {}).pop(druid_id, None)
            # The id stays taken, as in Druid: a submit that comes late is one that Druid knows
            # already.
            self.loads[druid_id] = Load(request.task_id, 0, LoadPhase.LOAD_PHASE_FAILED)
        self.faults.after(number)
        return RemoveLoadResponse(removed=True)

    def rows_of(self, task_id: str) -> int:
        """What a query counts."""
        if task_id in self.replaced:
            ours = (rows for each, rows in self.visible.items() if each not in self.replaced)
            return self.replaced[task_id][not any(ours)]
        return sum(self.visible.get(task_id, {}).values())


def problem_of(kept: dict[str, object] | None) -> str:
    """The code of a problem as the table has it."""
    return str(kept["code"]) if kept else ""
