"""What the pipeline needs of others."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Protocol

from services.status.db.jobs import Lease
from services.status.db.load_records import KeptPlan, Role
from services.status.db.load_states import OtherLoad, Outcome, Recount, Touched
from services.status.tasks.machine import Move, State
from services.status.tasks.task import Owner, Progress, Task
from sluice.common.v1.errors_pb2 import Problem
from sluice.druid.v1.druid_pb2 import (
    CountLoadsRequest,
    CountLoadsResponse,
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
    Policy,
    Quality,
    ReadOptions,
    Report,
    ValidateObjectRequest,
    ValidateObjectResponse,
)


class Validation(Protocol):
    """Reads files. All methods raise SluiceError, SERVICE_UNAVAILABLE among others."""

    def validate(
        self, request: ValidateObjectRequest, timeout_s: float
    ) -> AsyncGenerator[ValidateObjectResponse, None]:
        """Progress, then the report. Closing the iterator stops the work."""
        ...

    async def report(self, task_id: str, attempt: int) -> Report:
        """The report of an attempt."""
        ...


class Loads(Protocol):
    """Loads in Druid. All methods raise SluiceError, SERVICE_UNAVAILABLE and DRUID_UNAVAILABLE
    among others.
    """

    async def plan(self, request: PlanIngestionRequest) -> PlanIngestionResponse:
        """What a load would do."""
        ...

    async def submit(self, request: SubmitLoadRequest) -> SubmitLoadResponse:
        """Hands a load to Druid."""
        ...

    def watch(
        self, request: WatchLoadRequest, timeout_s: float
    ) -> AsyncGenerator[WatchLoadResponse, None]:
        """Follows a load to SUCCEEDED, FAILED or UNKNOWN."""
        ...

    async def verify(self, request: VerifyLoadRequest) -> VerifyLoadResponse:
        """Counts a load's rows."""
        ...

    async def count(self, request: CountLoadsRequest) -> CountLoadsResponse:
        """Counts the rows of several loads."""
        ...

    async def remove(self, request: RemoveLoadRequest) -> RemoveLoadResponse:
        """Makes a load's rows disappear."""
        ...


class Files(Protocol):
    """The stored files of tasks that have ended. All methods raise SluiceError, and are harmless
    when repeated.
    """

    async def delete_upload(self, task_id: str) -> None:
        """Deletes what was uploaded."""
        ...

    async def delete_results(self, task_id: str) -> None:
        """Deletes what was derived from it."""
        ...


class Rows(Protocol):
    """What the pipeline reads and writes of tasks; store.Store has the meaning of each. All raise
    SluiceError DATABASE_UNAVAILABLE.
    """

    async def owned(self, owner: Owner) -> Task | None: ...

    async def get(self, task_id: str) -> Task | None: ...

    async def move(
        self, task_id: str, state: State, move: Move, owner: Owner | None = None
    ) -> bool: ...

    async def move_unless_duplicate(
        self, task: Task, move: Move, owner: Owner | None
    ) -> str | None: ...

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
    ) -> bool: ...

    async def progress(self, task: Task, owner: Owner, progress: Progress) -> bool: ...

    async def record(self, task: Task, owner: Owner, columns: Mapping[str, object]) -> bool: ...

    async def enter_lane(self, task: Task, owner: Owner) -> bool: ...


class Records(Protocol):
    """What the pipeline notes of loads; load_records.LoadRecords has the meaning of each. All raise
    SluiceError DATABASE_UNAVAILABLE.
    """

    async def add(self, owner: Owner, role: Role, segments: Iterable[Segment]) -> None: ...

    async def plan(self, task_id: str) -> KeptPlan | None: ...

    async def rows_per_second(self, rows: int) -> float: ...

    async def keep_plan(self, owner: Owner, plan: KeptPlan) -> None: ...

    async def own(self, task_id: str) -> list[str]: ...

    async def restorable(self, task_id: str) -> list[str]: ...

    async def undone_since(self, task_id: str) -> list[str]: ...

    async def touched(self, task_id: str) -> Touched: ...

    async def others(
        self, task: Task, where: Touched, states: Sequence[str], after: OtherLoad | None
    ) -> list[OtherLoad]: ...

    async def end(self, task: Task, owner: Owner, move: Move, counted: Recount) -> Outcome: ...

    async def note(self, task: Task, counted: Recount) -> bool: ...

    async def end_undo(
        self,
        task: Task,
        owner: Owner,
        load_state: str,
        message: str,
        counted: Recount,
        problem: Problem | None = None,
    ) -> Outcome: ...


class Expectations(Protocol):
    """How the files of a datasource are judged; quality.Judging has the meaning of each. All raise
    SluiceError DATABASE_UNAVAILABLE.
    """

    async def expected(self, task: Task) -> tuple[Policy, ReadOptions | None]: ...

    async def keep(self, task: Task, owner: Owner, quality: Quality) -> None: ...


class Claims(Protocol):
    """What the pipeline does with its claim; jobs.Jobs has the meaning of each."""

    async def release(self, lease: Lease) -> None: ...

    def forget(self, lease: Lease) -> None: ...
