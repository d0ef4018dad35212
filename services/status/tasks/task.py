"""Tasks, events, leases: the domain's view of the rows of `ingestion_tasks` and `task_events`."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.status.tasks.machine import TERMINAL, State


@dataclass(frozen=True)
class Task:
    """A row of `ingestion_tasks`; the fields are its columns."""

    task_id: str
    request_id: str
    datasource_name: str
    original_filename: str
    file_uri: str
    status: State
    message: str
    problem: dict[str, Any] | None
    validation_errors: list[dict[str, Any]] | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    file_size: int | None
    received_size: int
    multipart_id: str
    upload_writer: str
    """The stream that currently uploads the file; empty before the first."""
    client_metadata: str
    sha256: bytes
    upload_mode: str
    load_mode: str
    allow_duplicate: bool
    retry_of: str
    duplicate_of: str
    repair_of: str
    trace_id: str
    last_sequence: int
    rows_read: int | None
    rows_loadable: int | None
    rows_rejected: int | None
    rows_skipped: int | None
    row_count: int | None
    load_state: str | None
    undone_from: str | None
    """The load state before it was REVERTING."""
    expected_sums: dict[str, float]
    """Numeric column -> its sum in the report."""
    attempt: int
    report_attempt: int
    load_attempt: int | None
    """The attempt in the load's id in Druid; None if the next worker has to start a new load."""
    druid_task_id: str | None
    """Druid's id of the current load, after its submit."""
    druid_task_ids: list[str]
    """Ids of all loads of the task in Druid."""
    interval_start_millis: int | None
    interval_end_millis: int | None
    stage_attempts: int
    stage_waits: int
    stage_takeovers: int
    stage_seconds: float
    """Seconds in the current state, without waiting for a free worker."""
    cancel_requested: bool
    in_lane: bool
    """Whether its load is in the lane; see lanes.py."""
    plan_first: bool
    """Whether it waits in PLANNED until its plan is applied."""
    replace_start_millis: int | None
    replace_end_millis: int | None
    """The interval of REPLACE_INTERVAL."""
    counted_sums: dict[str, float]
    """Numeric column -> its sum in Druid."""
    client: str
    options: bytes
    """A serialized ReadOptions."""
    files_delete_requested_at: datetime | None
    clean_target: State | None
    entered: list[tuple[State, datetime]]
    """Every state that it entered, with its time."""
    now: datetime
    """The database's time when it was read."""


@dataclass(frozen=True)
class Event:
    """A row of `task_events`."""

    position: int
    task_id: str
    sequence: int
    kind: str
    state: State
    message: str
    attempt: int
    progress: dict[str, Any] | None
    problem: dict[str, Any] | None
    created_at: datetime

    @property
    def ends_the_task(self) -> bool:
        """Whether it is the terminal event."""
        return self.kind == "STATE" and self.state in TERMINAL


@dataclass(frozen=True)
class NewTask:
    """The columns of a task at its creation."""

    task_id: str
    request_id: str
    datasource_name: str
    original_filename: str
    file_uri: str
    file_size: int | None
    sha256: bytes
    upload_mode: str
    load_mode: str
    allow_duplicate: bool
    trace_id: str
    client_metadata: str = ""
    client: str = ""
    options: bytes = b""
    retry_of: str = ""
    plan_first: bool = False
    replace_start_millis: int | None = None
    replace_end_millis: int | None = None


@dataclass(frozen=True)
class Progress:
    """The progress of a stage: `done` of `total` (None: unknown) in `unit`."""

    message: str
    done: int
    total: int | None
    unit: str


@dataclass(frozen=True)
class Owner:
    """The fencing token of a worker's writes: they change nothing unless the row still has it."""

    task_id: str
    attempt: int
    worker: str


@dataclass(eq=False)
class Lease:
    """A lease that this process holds."""

    owner: Owner
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    """Set if another worker has the task, or the task has ended: stop working on it."""
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set if the task was cancelled: read it again."""
