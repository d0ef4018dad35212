"""Histories of tasks and statistics as clients see them, in REST and GraphQL alike."""

from pydantic import BaseModel, Field

from gateway.documents import models, wire
from services.common import enums, errors, task_states
from sluice.status.v1 import status_pb2
from sluice.status.v1.status_pb2 import StageOutcome

MAX_HOURS = 8760
"""Longest period of the statistics."""


class StageRun(BaseModel):
    """One run of a stage by a worker."""

    stage: str = Field(description="validate, ingest, verify or clean.")
    status: models.ShownStatus = Field(description="Status of the task during the run.")
    attempt: int = Field(description="Number of the worker's claim.")
    worker: str
    started_at: str = Field(description="ISO 8601, UTC.")
    ended_at: str | None = Field(description="ISO 8601, UTC; null while it runs.")
    seconds: float | None = Field(description="Duration; null while it runs.")
    outcome: str | None = Field(
        description="MOVED, GIVEN_BACK or LOST (another worker took over); null while it runs."
    )
    message: str | None
    error: models.Problem | None


class History(BaseModel):
    """The runs of a task's stages, by start time."""

    runs: list[StageRun]


class Bucket(BaseModel):
    """The tasks created within one hour, or one day in statistics of more than 48 hours."""

    start: str
    tasks: int
    succeeded: int
    rejected: int
    failed: int
    rows: int = Field(description="Rows loaded.")
    bytes: int = Field(description="Bytes of the files.")


class StageSeconds(BaseModel):
    stage: str
    p50_seconds: float
    p95_seconds: float


class ErrorCount(BaseModel):
    code: str
    count: int


class QueueLength(BaseModel):
    waiting: int
    running: int


class Statistics(BaseModel):
    """Statistics of all tasks of the last hours, at most a few seconds old."""

    hours: int
    buckets: list[Bucket]
    stages: list[StageSeconds]
    top_errors: list[ErrorCount]
    queue: QueueLength


def history_of(found: status_pb2.GetHistoryResponse) -> History:
    return History(runs=[_run(each) for each in found.runs])


def _run(found: status_pb2.StageRun) -> StageRun:
    ended = found.HasField("end_time")
    return StageRun(
        stage=found.stage,
        status=task_states.name_of(found.state),
        attempt=found.attempt,
        worker=found.worker,
        started_at=wire.time(found.start_time),
        ended_at=wire.time(found.end_time) if ended else None,
        seconds=round((found.end_time.ToNanoseconds() - found.start_time.ToNanoseconds()) / 1e9, 3)
        if ended
        else None,
        outcome=enums.short_name(StageOutcome.DESCRIPTOR, found.outcome) if found.outcome else None,
        message=found.message or None,
        error=wire.problem(found.problem) if found.HasField("problem") else None,
    )


def statistics_of(found: status_pb2.GetStatisticsResponse) -> Statistics:
    return Statistics(
        hours=found.hours,
        buckets=[
            Bucket(
                start=wire.time(each.start_time),
                tasks=each.tasks,
                succeeded=each.succeeded,
                rejected=each.rejected,
                failed=each.failed,
                rows=each.rows,
                bytes=each.bytes,
            )
            for each in found.buckets
        ],
        stages=[
            StageSeconds(
                stage=each.stage,
                p50_seconds=round(each.p50_seconds, 3),
                p95_seconds=round(each.p95_seconds, 3),
            )
            for each in found.stages
        ],
        top_errors=[
            ErrorCount(code=errors.code_of(each.code), count=each.count)
            for each in found.top_errors
        ],
        queue=QueueLength(waiting=found.waiting, running=found.running),
    )
