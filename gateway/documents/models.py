"""The JSON documents of the REST API. The order of the fields is part of the contract."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt

from services.common import enums, task_states

StrictInt64 = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]

StatusName = Annotated[str, Field(json_schema_extra={"enum": list(task_states.NAMES)})]
"""Name of a task state. wire.state_of validates it in requests."""

ShownStatus = Annotated[str, Field(json_schema_extra={"enum": [*task_states.NAMES, enums.UNKNOWN]})]
"""Name of a task state in a response; UNKNOWN for a state that only a newer release has."""


class Problem(BaseModel):
    """What is wrong, where, and how to fix it. The body of every error response."""

    code: str = Field(description="Stable code, for example FILE_TOO_LARGE.")
    message: str = Field(description="One sentence for people.")
    line: int | None = Field(
        None, description="Line of the file, from 1; for workbooks, row of the sheet."
    )
    column: str | None = Field(None, description="Column of the file, or field of the request.")
    value: str | None = Field(None, description="The offending value, cut to 200 characters.")
    action: str = Field(description="What to do, in one sentence.")
    actor: str = Field(description="Who must act: you, admin, or nobody (Sluice retries).")


class StageTiming(BaseModel):
    """The duration of one stage."""

    stage: str = Field(description="receive, validate, ingest, verify or clean.")
    seconds: float = Field(description="Duration; so far, while it runs.")
    started_at: str | None = Field(description="ISO 8601, UTC.")
    completed_at: str | None = Field(description="ISO 8601, UTC; null while it runs.")


class Task(BaseModel):
    """A file on its way into a datasource."""

    task_id: str = Field(description="UUID of the task.")
    status: ShownStatus = Field(
        description="Task state. SUCCEEDED, REJECTED, FAILED, CANCELLED and TIMEOUT are final. "
        "UNKNOWN: a state that only a newer release has; it is final if completed_at is set."
    )
    datasource_name: str = Field(description="The Druid datasource.")
    original_filename: str = Field(description="Name of the file, as sent.")
    file_uri: str | None = Field(description="Location of the stored file, as s3://bucket/key.")
    druid_task_id: str | None = Field(description="Druid's id of the load; null before INGESTING.")
    created_at: str | None = Field(description="ISO 8601, UTC.")
    updated_at: str | None = Field(description="ISO 8601, UTC.")
    started_at: str | None = Field(description="When validation started. ISO 8601, UTC.")
    completed_at: str | None = Field(description="When it reached its final status. ISO 8601, UTC.")
    error_message: str | None = Field(description="Why it failed; null if it has not failed.")
    validation_errors: list[Problem] = Field(
        description="Why the file was REJECTED, worst first, at most 100; else empty."
    )
    validation_warnings: list[Problem] = Field(
        description="Warnings on a file that was not rejected, at most 100."
    )
    file_size: int | None = Field(description="Bytes of the file; null while unknown.")
    row_count: int | None = Field(
        description="Rows loaded, as counted by a query in Druid; null before SUCCEEDED."
    )
    rows_read: int | None = Field(description="Rows read; read = loaded + rejected + skipped.")
    rows_rejected: int | None = Field(description="Rows not loaded, each with a reason.")
    rows_skipped: int | None = Field(description="Rows left out by a rule, such as blank lines.")
    message: str | None = Field(description="The current step or the outcome, in one sentence.")
    error: Problem | None = Field(description="Why it failed and what to do.")
    received_size: int = Field(description="Bytes received so far.")
    load_state: str | None = Field(
        description="Load state of a SUCCEEDED task: LIVE, PARTLY_REPLACED, REPLACED, REVERTING, "
        "REVERTED."
    )
    mode: Literal["append", "replace", "replace_interval", "replace_all", "unknown"] = Field(
        description="What the load does with existing rows."
    )
    allow_duplicate: bool = Field(description="Whether the same bytes may be loaded twice.")
    sha256: str | None = Field(description="Checksum of the file, 64 hexadecimal digits.")
    attempt: int = Field(description="How many times a worker claimed the task.")
    retry_of: str | None = Field(description="The task whose file this task loads again.")
    duplicate_of: str | None = Field(description="The task that already loaded the same bytes.")
    repair_of: str | None = Field(
        description="The task whose rejected rows this file contains, repaired."
    )
    last_sequence: int = Field(description="Sequence number of the newest event.")
    trace_id: str | None = Field(description="Trace id in all log lines about the task.")
    timings: list[StageTiming] = Field(description="Duration of each stage, in order.")
    queue_position: int | None = Field(
        description="Position in the queue, from 1; null if it is not waiting, or if 1,000 or more "
        "tasks are ahead of it."
    )
    estimated_seconds_left: float | None = Field(
        description="Estimated seconds to its end, from the durations of earlier tasks."
    )
    files_deleted_at: str | None = Field(
        description="When its stored files were deleted; null while they exist. ISO 8601, UTC."
    )
    replaced_interval: str | None = Field(
        description="The interval of replace_interval: start/end in ISO 8601, UTC; else null."
    )


class TaskPage(BaseModel):
    """Tasks, newest first."""

    tasks: list[Task]
    next_page_token: str | None = Field(
        description="Send it as page_token to get the next page; null on the last page."
    )


class TaskEvent(BaseModel):
    """A change of a task."""

    task_id: str
    sequence: int = Field(description="1, 2, 3, ... within the task.")
    time: str | None = Field(description="ISO 8601, UTC.")
    kind: Literal["state", "progress", "retry", "takeover", "load_state", "unknown"]
    status: ShownStatus = Field(description="Status of the task after the event.")
    message: str | None
    attempt: int = Field(description="Number of the worker's claim; 0 while receiving the file.")
    done: int | None = Field(description="Completed amount, in `unit`.")
    total: int | None = Field(description="Total amount, in `unit`; null if unknown.")
    unit: str | None = Field(description="bytes, rows or segments.")
    error: Problem | None


class Accepted(BaseModel):
    """The file is stored. Follow the task to its final status."""

    task_id: str
    status: Literal["ACCEPTED"] = "ACCEPTED"


class Retried(Accepted):
    """A new task that loads a stored file again."""

    retry_of: str = Field(description="The task whose file it loads.")


class PlanToApply(BaseModel):
    """Which plan to apply."""

    plan_hash: str = Field(min_length=1, max_length=64, description="plan_hash from GET .../plan.")


class PlannedSegment(BaseModel):
    """A segment that the load would replace."""

    id: str
    interval: str = Field(description="start/end in ISO 8601, UTC.")


class PlannedColumn(BaseModel):
    """A column of the load, or of the datasource."""

    name: str
    change: Literal["SAME", "NEW", "CHANGED", "MISSING", "UNKNOWN"] = Field(
        description="How it changes. MISSING: it exists only in the datasource, and is null in the "
        "new rows."
    )
    type: str | None = Field(description="SQL type in the load.")
    existing_type: str | None = Field(description="SQL type in the datasource.")


class PlannedChunk(BaseModel):
    """A time chunk in which the load would add or replace rows."""

    interval: str = Field(description="start/end in ISO 8601, UTC.")
    rows_added: int
    rows_replaced: int


class Plan(BaseModel):
    """What a load would do."""

    task_id: str = Field(description="UUID of the task.")
    plan_hash: str = Field(description="Send it to apply this plan.")
    created_at: str = Field(description="When the plan was computed. ISO 8601, UTC.")
    datasource_name: str
    mode: str
    interval: str = Field(
        description="Interval to load or replace, whole time chunks: start/end in ISO 8601, UTC."
    )
    segment_granularity: str = Field(description="HOUR, DAY, MONTH or YEAR.")
    columns: list[PlannedColumn]
    chunks: list[PlannedChunk] = Field(description="In order of time, at most 1,000.")
    rows_added: int
    rows_replaced: int = Field(
        description="For segments that extend beyond the interval, estimated by share of time."
    )
    replaced_segments: list[PlannedSegment]
    parts: int = Field(description="Files that Druid would read.")
    sub_tasks: int = Field(description="How many of them Druid would read concurrently.")
    estimated_seconds: float = Field(
        description="Estimated seconds from submission to the end of verification."
    )


class ProvenSum(BaseModel):
    """The sum of a column: expected from the report, and counted in Druid."""

    column: str
    expected: float | None
    counted: float | None


class Receipt(BaseModel):
    """The ledger of a SUCCEEDED task and its evidence."""

    task_id: str = Field(description="UUID of the task.")
    status: Literal["SUCCEEDED", "UNKNOWN"]
    load_state: str = Field(
        description="Current load state: LIVE, PARTLY_REPLACED, REPLACED, REVERTING, REVERTED."
    )
    datasource_name: str
    original_filename: str
    file_size: int
    sha256: str = Field(description="Checksum of the file, 64 hexadecimal digits.")
    mode: str
    rows_read: int = Field(description="read = loaded + rejected + skipped.")
    rows_loaded: int
    rows_rejected: int
    rows_skipped: int
    rows_counted: int = Field(description="Rows of this load that a query counted in Druid.")
    sums: list[ProvenSum] = Field(
        description="Sums of numeric columns; equal within a relative tolerance of 1e-9."
    )
    interval: str | None = Field(
        description="Loaded or replaced interval, whole time chunks: start/end in ISO 8601, UTC."
    )
    chunks: list[str] = Field(description="The written time chunks, in order.")
    druid_task_ids: list[str]
    segment_ids: list[str]
    created_at: str | None = Field(description="ISO 8601, UTC.")
    started_at: str | None = Field(description="ISO 8601, UTC.")
    completed_at: str | None = Field(description="ISO 8601, UTC.")
    timings: list[StageTiming]


class Question(BaseModel):
    """One SQL statement."""

    sql: str = Field(
        min_length=1,
        max_length=100_000,
        description="One SELECT, WITH or EXPLAIN PLAN FOR statement.",
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Maximum rows. Default: 1,000 as JSON; all rows as CSV and NDJSON.",
    )
    parameters: list[str | StrictInt64 | StrictFloat | StrictBool | None] = Field(
        default_factory=list,
        max_length=1000,
        description="Values of the statement's question marks, in order.",
    )


class QueryColumn(BaseModel):
    """A column of a result."""

    name: str
    type: str = Field(description="SQL type: BIGINT, DOUBLE, VARCHAR, TIMESTAMP, ...")


class Answer(BaseModel):
    """The result of a query."""

    columns: list[QueryColumn]
    rows: list[list[Any]] = Field(description="One array of values per row, in the columns' order.")
    row_count: int
    truncated: bool = Field(description="Whether the limit cut the result.")
    elapsed_ms: int
    query_id: str = Field(description="Druid's id of the query.")


class Datasource(BaseModel):
    """A datasource that has rows."""

    name: str
    rows: int
    bytes: int = Field(description="Size of its segments.")
    segments: int
    start: str = Field(description="Start of its first time chunk. ISO 8601, UTC.")
    end: str = Field(description="End of its last time chunk. ISO 8601, UTC.")


class Datasources(BaseModel):
    """All datasources, by name."""

    datasources: list[Datasource]


class LoadInDatasource(BaseModel):
    """The rows of one load."""

    task_id: str
    rows: int = Field(description="Rows visible to queries.")
    first: str = Field(description="Time of its first row. ISO 8601, UTC.")
    last: str = Field(description="Time of its last row. ISO 8601, UTC.")


class DatasourceDescription(Datasource):
    """A datasource with its columns and loads."""

    columns: list[QueryColumn]
    loads: list[LoadInDatasource] = Field(description="Largest first, at most 1,000.")


class Preview(BaseModel):
    """The newest rows of a datasource."""

    columns: list[QueryColumn]
    rows: list[list[Any]]
    row_count: int


class ProposedQuery(BaseModel):
    """A starter query."""

    title: str
    sql: str
    chart: str = Field(description="line or bar: first column on the x axis, second on the y axis.")


class Readiness(BaseModel):
    """The health of the services."""

    ready: bool
    services: dict[str, Literal["SERVING", "NOT_SERVING", "UNREACHABLE"]]
