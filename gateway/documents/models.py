"""The JSON that clients see, field by field in its order."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StrictBool, StrictFloat, StrictInt

from services.common import enums, task_states

StrictInt64 = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]

StatusName = Annotated[str, Field(json_schema_extra={"enum": list(task_states.NAMES)})]
"""A task state by its name; in a request checked by wire.state_of."""

ShownStatus = Annotated[str, Field(json_schema_extra={"enum": [*task_states.NAMES, enums.UNKNOWN]})]
"""UNKNOWN: the status service is newer than the gateway, and so is the state of the task."""


class Problem(BaseModel):
    """What is wrong, where, and what to do about it. Every refused request has this body."""

    code: str = Field(description="Stable code, for example FILE_TOO_LARGE.")
    message: str = Field(description="One sentence for a person.")
    line: int | None = Field(
        None, description="Line of the file, from 1; row of the sheet in a workbook."
    )
    column: str | None = Field(None, description="Column of the file, or field of the request.")
    value: str | None = Field(None, description="The offending value, cut to 200 characters.")
    action: str = Field(description="What to do, one sentence.")
    actor: str = Field(description="Who has to do it: you, admin, or nobody (Sluice retries).")


class StageTiming(BaseModel):
    """How long one stage took."""

    stage: str = Field(description="receive, validate, ingest, verify or clean.")
    seconds: float = Field(description="Seconds so far, or in all once it has ended.")
    started_at: str | None = Field(description="ISO 8601, UTC.")
    completed_at: str | None = Field(description="ISO 8601, UTC; null while it runs.")


class Task(BaseModel):
    """A file on its way into a datasource."""

    task_id: str = Field(description="UUID of the task.")
    status: ShownStatus = Field(
        description="Where it is. SUCCEEDED, REJECTED, FAILED, CANCELLED and TIMEOUT are final. "
        "UNKNOWN: a state of a newer release than the gateway's; completed_at says if it is final."
    )
    datasource_name: str = Field(description="The Druid datasource.")
    original_filename: str = Field(description="The file's name as it was sent.")
    file_uri: str | None = Field(description="Where the file is kept, as s3://bucket/key.")
    druid_task_id: str | None = Field(description="Druid's id of the load; null before INGESTING.")
    created_at: str | None = Field(description="ISO 8601, UTC.")
    updated_at: str | None = Field(description="ISO 8601, UTC.")
    started_at: str | None = Field(description="When validation began. ISO 8601, UTC.")
    completed_at: str | None = Field(description="When it reached its final status. ISO 8601, UTC.")
    error_message: str | None = Field(description="Why it ended badly; null while all is well.")
    validation_errors: list[Problem] = Field(
        description="Why the file was REJECTED, worst first, at most 100; else empty."
    )
    validation_warnings: list[Problem] = Field(
        description="What was noticed in a file that was not rejected, at most 100."
    )
    file_size: int | None = Field(description="Bytes of the file; null while unknown.")
    row_count: int | None = Field(
        description="Rows that a query counted in Druid; set at SUCCEEDED."
    )
    rows_read: int | None = Field(description="Rows read; read = loaded + rejected + skipped.")
    rows_rejected: int | None = Field(description="Rows refused, each with its reason.")
    rows_skipped: int | None = Field(description="Rows left out by a rule, such as blank lines.")
    message: str | None = Field(description="What is happening or how it ended, one sentence.")
    error: Problem | None = Field(description="Why it ended badly and what to do.")
    received_size: int = Field(description="Bytes received so far.")
    load_state: str | None = Field(
        description="What became of a SUCCEEDED task's rows: LIVE, PARTLY_REPLACED, REPLACED, REVERTING, REVERTED."
    )
    mode: Literal["append", "replace", "replace_interval", "replace_all", "unknown"] = Field(
        description="How the load meets the rows that are there already."
    )
    allow_duplicate: bool = Field(description="Whether the same bytes may be loaded twice.")
    sha256: str | None = Field(description="Checksum of the file, 64 hexadecimal digits.")
    attempt: int = Field(description="How many times a worker took the task.")
    retry_of: str | None = Field(description="The task whose file this one loads again.")
    duplicate_of: str | None = Field(description="The task that loaded the same bytes before.")
    repair_of: str | None = Field(
        description="The task whose refused rows its file holds, repaired."
    )
    last_sequence: int = Field(description="Number of its newest event.")
    trace_id: str | None = Field(description="Id that all log lines about it carry.")
    timings: list[StageTiming] = Field(description="How long each stage took, in order.")
    queue_position: int | None = Field(
        description="Its place among the tasks that wait, from 1; null while it does not wait, and while 1,000 or more wait before it."
    )
    estimated_seconds_left: float | None = Field(
        description="Seconds until it should have ended, by how long earlier ones took."
    )
    files_deleted_at: str | None = Field(
        description="When its stored files were deleted; null while they are there. ISO 8601, UTC."
    )
    replaced_interval: str | None = Field(
        description="What replace_interval replaces: start/end in ISO 8601, UTC; else null."
    )


class TaskPage(BaseModel):
    """Tasks, newest first."""

    tasks: list[Task]
    next_page_token: str | None = Field(
        description="Send it as page_token for the next page; null on the last."
    )


class TaskEvent(BaseModel):
    """Something that happened to a task."""

    task_id: str
    sequence: int = Field(description="1, 2, 3 ... within the task.")
    time: str | None = Field(description="ISO 8601, UTC.")
    kind: Literal["state", "progress", "retry", "takeover", "load_state", "unknown"]
    status: ShownStatus = Field(description="The task's status after it.")
    message: str | None
    attempt: int = Field(description="0 while the file is received.")
    done: int | None = Field(description="How much is done, in `unit`.")
    total: int | None = Field(description="How much there is, in `unit`; null where unknown.")
    unit: str | None = Field(description="bytes, rows or segments.")
    error: Problem | None


class Accepted(BaseModel):
    """The file is stored and will be loaded; follow the task to its end."""

    task_id: str
    status: Literal["ACCEPTED"] = "ACCEPTED"


class Retried(Accepted):
    """The new task that loads a stored file again."""

    retry_of: str = Field(description="The task whose file it loads.")


class PlanToApply(BaseModel):
    """Says that a plan is to be carried out."""

    plan_hash: str = Field(
        min_length=1, max_length=64, description="Hash of the plan, as GET .../plan tells it."
    )


class PlannedSegment(BaseModel):
    """A segment whose rows would be replaced."""

    id: str
    interval: str = Field(description="start/end in ISO 8601, UTC.")


class PlannedColumn(BaseModel):
    """A column of the load, or of the datasource."""

    name: str
    change: Literal["SAME", "NEW", "CHANGED", "MISSING", "UNKNOWN"] = Field(
        description="What becomes of it; MISSING: it is in the datasource only, and null in the new rows."
    )
    type: str | None = Field(description="SQL type that the load gives it.")
    existing_type: str | None = Field(description="SQL type that it has in the datasource.")


class PlannedChunk(BaseModel):
    """A chunk of time that rows are added to or disappear from."""

    interval: str = Field(description="start/end in ISO 8601, UTC.")
    rows_added: int
    rows_replaced: int


class Plan(BaseModel):
    """What a load would do, before it does anything."""

    task_id: str = Field(description="UUID of the task.")
    plan_hash: str = Field(description="Send it to apply this plan.")
    created_at: str = Field(description="When it was made. ISO 8601, UTC.")
    datasource_name: str
    mode: str
    interval: str = Field(
        description="Time that would be loaded or replaced, whole chunks: start/end in ISO 8601, UTC."
    )
    segment_granularity: str = Field(description="HOUR, DAY, MONTH or YEAR.")
    columns: list[PlannedColumn]
    chunks: list[PlannedChunk] = Field(description="In order of time, at most 1,000.")
    rows_added: int
    rows_replaced: int = Field(
        description="Of segments that reach beyond the interval, by their share of time."
    )
    replaced_segments: list[PlannedSegment]
    parts: int = Field(description="Files that Druid would read.")
    sub_tasks: int = Field(description="How many of them at once.")
    estimated_seconds: float = Field(
        description="From the submit until every row is counted, roughly."
    )


class ProvenSum(BaseModel):
    """A sum that Druid was seen to have."""

    column: str
    expected: float | None
    counted: float | None


class Receipt(BaseModel):
    """What became of every row of a file, and how that was proven."""

    task_id: str = Field(description="UUID of the task.")
    status: Literal["SUCCEEDED", "UNKNOWN"]
    load_state: str = Field(
        description="What has become of the rows since: LIVE, PARTLY_REPLACED, REPLACED, REVERTING, REVERTED."
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
        description="Sums of numeric columns, equal within 1e-9 relative."
    )
    interval: str | None = Field(
        description="Time that was loaded or replaced, whole chunks: start/end in ISO 8601, UTC."
    )
    chunks: list[str] = Field(description="The chunks of time that were written, in order.")
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
        description="Most rows to answer. Default: 1,000 as JSON; all rows as CSV and NDJSON.",
    )
    parameters: list[str | StrictInt64 | StrictFloat | StrictBool | None] = Field(
        default_factory=list,
        max_length=1000,
        description="Values of the statement's question marks, in order.",
    )


class QueryColumn(BaseModel):
    """A column of an answer."""

    name: str
    type: str = Field(description="SQL type: BIGINT, DOUBLE, VARCHAR, TIMESTAMP, ...")


class Answer(BaseModel):
    """What a query found."""

    columns: list[QueryColumn]
    rows: list[list[Any]] = Field(description="One array of values per row, in the columns' order.")
    row_count: int
    truncated: bool = Field(description="True where the limit cut the answer.")
    elapsed_ms: int
    query_id: str = Field(description="Druid's id of the query.")


class Datasource(BaseModel):
    """A datasource that has rows."""

    name: str
    rows: int
    bytes: int = Field(description="Size of its segments.")
    segments: int
    start: str = Field(description="Where its first chunk of time begins. ISO 8601, UTC.")
    end: str = Field(description="Where its last chunk of time ends. ISO 8601, UTC.")


class Datasources(BaseModel):
    """What is in Druid, by name."""

    datasources: list[Datasource]


class LoadInDatasource(BaseModel):
    """Rows of one load."""

    task_id: str
    rows: int = Field(description="Rows that queries see.")
    first: str = Field(description="Time of its first row. ISO 8601, UTC.")
    last: str = Field(description="Time of its last row. ISO 8601, UTC.")


class DatasourceDescription(Datasource):
    """A datasource with its columns and the loads in it."""

    columns: list[QueryColumn]
    loads: list[LoadInDatasource] = Field(description="The largest first, at most 1,000.")


class Preview(BaseModel):
    """The newest rows of a datasource."""

    columns: list[QueryColumn]
    rows: list[list[Any]]
    row_count: int


class ProposedQuery(BaseModel):
    """A query that is ready to run."""

    title: str
    sql: str
    chart: str = Field(description="line or bar: the first column along, the second up.")


class Readiness(BaseModel):
    """Which services answer."""

    ready: bool
    services: dict[str, Literal["SERVING", "NOT_SERVING", "UNREACHABLE"]]
