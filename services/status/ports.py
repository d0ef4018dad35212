"""What the domain requires from outside. An adapter has the name of its port: the stores are in db/,
the clients of other services (with the suffix Rpc) in rpc/.
"""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from typing import Any, Protocol

from services.status.tasks.load_states import OtherLoad, Outcome, Recount, Touched
from services.status.tasks.loads import NewerLoad, Role, StoredPlan
from services.status.tasks.machine import Move, State
from services.status.tasks.pages import Filter
from services.status.tasks.queues import Kind
from services.status.tasks.task import Event, Lease, NewTask, Owner, Progress, Task
from services.status.webhooks.webhook import ClaimedDelivery
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
        """Yields the progress, then the report. Closing the iterator stops the work."""

    async def report(self, task_id: str, attempt: int) -> Report:
        """Returns the report of an attempt."""


class Loads(Protocol):
    """Loads in Druid. All methods raise SluiceError, SERVICE_UNAVAILABLE and DRUID_UNAVAILABLE
    among others.
    """

    async def plan(self, request: PlanIngestionRequest) -> PlanIngestionResponse:
        """Returns what a load would do."""

    async def submit(self, request: SubmitLoadRequest) -> SubmitLoadResponse:
        """Submits a load to Druid."""

    def watch(
        self, request: WatchLoadRequest, timeout_s: float
    ) -> AsyncGenerator[WatchLoadResponse, None]:
        """Follows a load to SUCCEEDED, FAILED or UNKNOWN."""

    async def verify(self, request: VerifyLoadRequest) -> VerifyLoadResponse:
        """Counts a load's rows."""

    async def count(self, request: CountLoadsRequest) -> CountLoadsResponse:
        """Counts the rows of several loads."""

    async def remove(self, request: RemoveLoadRequest) -> RemoveLoadResponse:
        """Removes a load's rows."""


class Files(Protocol):
    """Deletes the stored files of tasks that have ended. All methods raise SluiceError and are
    idempotent.
    """

    async def delete_upload(self, task_id: str) -> None:
        """Deletes the uploaded object."""

    async def delete_results(self, task_id: str) -> None:
        """Deletes everything that validation derived from it."""


class PipelineStore(Protocol):
    """The part of Store that the pipeline uses."""

    async def owned(self, owner: Owner) -> Task | None: ...

    async def get(self, task_id: str) -> Task | None: ...

    async def move(
        self,
        task_id: str,
        state: State,
        move: Move,
        owner: Owner | None = None,
        writer: str | None = None,
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


class Store(PipelineStore, Protocol):
    """The tasks and their events; documented in db/store.py. All methods raise SluiceError
    DATABASE_UNAVAILABLE.
    """

    async def create(self, new: NewTask) -> bool: ...

    async def free_request(self, task: Task) -> None: ...

    async def get_all(self, task_ids: Sequence[str]) -> dict[str, Task]: ...

    async def by_request(self, request_id: str) -> Task | None: ...

    async def page(self, wanted: Filter, limit: int) -> list[Task]: ...

    async def begin_receiving(
        self, task_id: str, received_size: int, multipart_id: str, writer: str
    ) -> bool: ...

    async def receive(
        self,
        task_id: str,
        multipart_id: str,
        writer: str,
        progress: Progress,
        findings: list[dict[str, Any]],
    ) -> bool: ...

    async def mark_lane_fronts(self) -> None: ...

    async def events(self, task_id: str, from_sequence: int) -> list[Event]: ...

    async def newer_events(self, after: Mapping[str, int]) -> list[Event]: ...

    async def events_from(self, position: int) -> list[Event]: ...

    async def last_position(self) -> int: ...


class PipelineRecords(Protocol):
    """The part of LoadRecords that the pipeline uses."""

    async def add(self, owner: Owner, role: Role, segments: Iterable[Segment]) -> None: ...

    async def plan(self, task_id: str) -> StoredPlan | None: ...

    async def rows_per_second(self, rows: int) -> float: ...

    async def keep_plan(self, owner: Owner, plan: StoredPlan) -> None: ...

    async def own(self, task_id: str) -> list[str]: ...

    async def restorable(self, task_id: str) -> list[str]: ...

    async def undone_since(self, task_id: str) -> list[str]: ...

    async def touched(self, task_id: str) -> Touched: ...

    async def others(
        self, task: Task, where: Touched, states: Sequence[str], after: OtherLoad | None
    ) -> list[OtherLoad]: ...

    async def end(self, task: Task, owner: Owner, move: Move, counted: Recount) -> Outcome: ...

    async def record_counts(self, task: Task, counted: Recount) -> bool: ...

    async def end_undo(
        self,
        task: Task,
        owner: Owner,
        load_state: str,
        message: str,
        counted: Recount,
        problem: Problem | None = None,
    ) -> Outcome: ...


class LoadRecords(PipelineRecords, Protocol):
    """The plans and segments of loads; documented in db/load_records.py. All methods raise
    SluiceError DATABASE_UNAVAILABLE.
    """

    async def own_segments(self, task_id: str) -> list[Segment]: ...

    async def renew_plan(self, task_id: str, plan: StoredPlan) -> None: ...

    async def begin_undo(self, task: Task, message: str) -> list[NewerLoad]: ...


class StoredFiles(Protocol):
    """The part of db/stored_files.py that housekeeping uses."""

    async def request_older(self, age_s: float) -> int: ...

    async def delete_requested(self) -> int: ...


class QualityRecords(Protocol):
    """The part of db/quality.py that the pipeline uses."""

    async def expected(self, task: Task) -> tuple[Policy, ReadOptions | None]: ...

    async def keep(self, task: Task, owner: Owner, quality: Quality) -> None: ...


class PipelineLeases(Protocol):
    """The part of Leases that the pipeline uses."""

    async def release(self, lease: Lease) -> None: ...

    def forget(self, lease: Lease) -> None: ...


class Leases(PipelineLeases, Protocol):
    """The leases of this process; documented in db/leases.py."""

    async def claim(self, kind: Kind) -> Lease | None: ...

    async def release_all(self) -> None: ...


class WebhookDeliveries(Protocol):
    """The queue of webhook deliveries; documented in db/webhook_deliveries.py. All methods raise
    SluiceError DATABASE_UNAVAILABLE.
    """

    async def claim(
        self, limit: int, busy: Mapping[str, int], per_target: int, hold_s: float
    ) -> list[ClaimedDelivery]: ...

    async def record(
        self,
        delivery: ClaimedDelivery,
        *,
        delivered: bool,
        status: int | None,
        error: str,
        pause_s: float | None,
    ) -> None: ...

    async def release(self, deliveries: Sequence[ClaimedDelivery], patience_s: float) -> None: ...
