"""The tasks, their events and the function that appends an event."""

from alembic import op

revision = "0001"
down_revision = None

TASKS = """
CREATE TABLE ingestion_tasks (
    id                    UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    task_id               VARCHAR(255) NOT NULL UNIQUE,
    request_id            VARCHAR(255) NOT NULL UNIQUE,
    datasource_name       VARCHAR(255) NOT NULL,
    original_filename     TEXT NOT NULL,
    file_uri              TEXT NOT NULL,
    status                VARCHAR(50) NOT NULL DEFAULT 'PENDING',
    message               TEXT NOT NULL DEFAULT '',
    druid_task_id         VARCHAR(255),
    created_at            TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    updated_at            TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    started_at            TIMESTAMPTZ,
    completed_at          TIMESTAMPTZ,
    error_message         TEXT,
    validation_errors     JSONB,
    file_size             BIGINT,
    row_count             BIGINT,

    problem               JSONB,
    received_size         BIGINT NOT NULL DEFAULT 0,
    multipart_id          TEXT NOT NULL DEFAULT '',
    sha256                BYTEA NOT NULL DEFAULT '',
    upload_mode           VARCHAR(20) NOT NULL,
    load_mode             VARCHAR(20) NOT NULL,
    allow_duplicate       BOOLEAN NOT NULL DEFAULT false,
    retry_of              VARCHAR(255) NOT NULL DEFAULT '',
    duplicate_of          VARCHAR(255) NOT NULL DEFAULT '',
    trace_id              VARCHAR(32) NOT NULL DEFAULT '',
    last_sequence         BIGINT NOT NULL DEFAULT 0,

    rows_read             BIGINT,
    rows_loadable         BIGINT,
    rows_rejected         BIGINT,
    rows_skipped          BIGINT,
    expected_sums         JSONB NOT NULL DEFAULT '{}',
    load_state            VARCHAR(20),

    -- The row is the job: who works on it, until when, and when it is due.
    attempt               INTEGER NOT NULL DEFAULT 0,
    worker                TEXT,
    lease_until           TIMESTAMPTZ,
    next_run_at           TIMESTAMPTZ,
    report_attempt        INTEGER NOT NULL DEFAULT 0,
    load_attempt          INTEGER,
    druid_task_ids        TEXT[] NOT NULL DEFAULT '{}',
    interval_start_millis BIGINT,
    interval_end_millis   BIGINT,
    stage_started_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    stage_attempts        INTEGER NOT NULL DEFAULT 0,
    stage_waits           INTEGER NOT NULL DEFAULT 0,
    stage_takeovers       INTEGER NOT NULL DEFAULT 0,
    cancel_requested      BOOLEAN NOT NULL DEFAULT false,
    clean_target          VARCHAR(50),

    CONSTRAINT status_known CHECK (status IN ('PENDING', 'UPLOADED', 'VALIDATING', 'PLANNED', 'INGESTING', 'VERIFYING', 'CLEANING',
        'SUCCEEDED', 'REJECTED', 'FAILED', 'CANCELLED', 'TIMEOUT')),
    CONSTRAINT load_state_known CHECK (load_state IN ('LIVE', 'PARTLY_REPLACED', 'REPLACED', 'REVERTED')),
    CONSTRAINT load_mode_known CHECK (load_mode IN ('APPEND', 'REPLACE')),
    CONSTRAINT upload_mode_known CHECK (upload_mode IN ('ONE_SHOT', 'RESUMABLE')),
    CONSTRAINT cleaning_leads_somewhere CHECK (status <> 'CLEANING' OR clean_target IN ('FAILED', 'CANCELLED', 'TIMEOUT')),
    CONSTRAINT ended_when_terminal CHECK ((completed_at IS NOT NULL) =
        (status IN ('SUCCEEDED', 'REJECTED', 'FAILED', 'CANCELLED', 'TIMEOUT'))),
    CONSTRAINT due_when_running CHECK ((next_run_at IS NOT NULL) =
        (status IN ('UPLOADED', 'VALIDATING', 'INGESTING', 'VERIFYING', 'CLEANING'))),
    CONSTRAINT leased_with_worker CHECK ((lease_until IS NULL) = (worker IS NULL)),
    CONSTRAINT leased_when_due CHECK (worker IS NULL OR next_run_at IS NOT NULL),
    CONSTRAINT live_when_succeeded CHECK ((load_state IS NOT NULL) = (status = 'SUCCEEDED'))
) WITH (fillfactor = 80)
"""

EVENTS = """
CREATE TABLE task_events (
    position   BIGSERIAL PRIMARY KEY,
    task_id    VARCHAR(255) NOT NULL REFERENCES ingestion_tasks (task_id),
    sequence   BIGINT NOT NULL,
    kind       VARCHAR(20) NOT NULL CHECK (kind IN ('STATE', 'PROGRESS', 'RETRY', 'TAKEOVER')),
    state      VARCHAR(50) NOT NULL,
    message    TEXT NOT NULL,
    attempt    INTEGER NOT NULL,
    progress   JSONB,
    problem    JSONB,
    created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT sequence_once UNIQUE (task_id, sequence),
    CONSTRAINT state_known CHECK (state IN ('PENDING', 'UPLOADED', 'VALIDATING', 'PLANNED', 'INGESTING', 'VERIFYING', 'CLEANING',
        'SUCCEEDED', 'REJECTED', 'FAILED', 'CANCELLED', 'TIMEOUT'))
)
"""

# The advisory lock is held until the commit, so that positions become visible in order: after
# position n, a reader never finds a smaller one. It is taken after the row's lock, and no lock is
# taken after it.
APPEND = """
CREATE FUNCTION append_task_event(
    of_task VARCHAR, with_sequence BIGINT, of_kind VARCHAR, in_state VARCHAR, with_message TEXT, in_attempt INTEGER,
    with_progress JSONB, with_problem JSONB
) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    at_position BIGINT;
BEGIN
    PERFORM pg_advisory_xact_lock(7303014, 1);
    INSERT INTO task_events (task_id, sequence, kind, state, message, attempt, progress, problem)
        VALUES (of_task, with_sequence, of_kind, in_state, with_message, in_attempt, with_progress, with_problem)
        RETURNING position INTO at_position;
    PERFORM pg_notify('sluice_event', of_task);
    RETURN at_position;
END
$$
"""

INDEXES = [
    "CREATE INDEX tasks_due ON ingestion_tasks (next_run_at) WHERE next_run_at IS NOT NULL",
    "CREATE INDEX tasks_newest ON ingestion_tasks (created_at DESC, task_id DESC)",
    "CREATE INDEX tasks_of_datasource ON ingestion_tasks (datasource_name, created_at DESC, task_id DESC)",
    "CREATE INDEX tasks_in_state ON ingestion_tasks (status, created_at DESC, task_id DESC)",
    "CREATE INDEX tasks_of_content ON ingestion_tasks (datasource_name, sha256) WHERE sha256 <> ''",
    "CREATE INDEX events_entered ON task_events (task_id, sequence) WHERE kind = 'STATE'",
]


def upgrade() -> None:
    for statement in [TASKS, EVENTS, APPEND, *INDEXES]:
        op.execute(statement)
