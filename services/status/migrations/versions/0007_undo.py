"""The segments of loads, and reverts."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = [
    # The segments of a load, and those that it replaced.
    """
    CREATE TABLE load_segments (
        task_id      VARCHAR(255) NOT NULL REFERENCES ingestion_tasks (task_id),
        role         VARCHAR(10) NOT NULL CHECK (role IN ('OWN', 'REPLACED')),
        segment_id   TEXT NOT NULL,
        start_millis BIGINT NOT NULL,
        end_millis   BIGINT NOT NULL,
        PRIMARY KEY (task_id, role, segment_id)
    )
    """,
    "CREATE INDEX segments_by_id ON load_segments (segment_id, role)",
    "ALTER TABLE ingestion_tasks ADD COLUMN undone_from VARCHAR(20)",
    "ALTER TABLE ingestion_tasks DROP CONSTRAINT load_state_known",
    """
    ALTER TABLE ingestion_tasks ADD CONSTRAINT load_state_known
        CHECK (load_state IN ('LIVE', 'PARTLY_REPLACED', 'REPLACED', 'REVERTING', 'REVERTED'))
    """,
    # A task is due during a revert although its state is terminal.
    "ALTER TABLE ingestion_tasks DROP CONSTRAINT due_when_running",
    """
    ALTER TABLE ingestion_tasks ADD CONSTRAINT due_when_running CHECK ((next_run_at IS NOT NULL) =
        (status IN ('UPLOADED', 'VALIDATING', 'INGESTING', 'VERIFYING', 'CLEANING')
            OR (status = 'SUCCEEDED' AND load_state = 'REVERTING')))
    """,
    "ALTER TABLE ingestion_tasks ADD CONSTRAINT undone_from_where CHECK ((load_state = 'REVERTING') <= (undone_from IS NOT NULL))",
    "ALTER TABLE task_events DROP CONSTRAINT task_events_kind_check",
    """
    ALTER TABLE task_events ADD CONSTRAINT task_events_kind_check
        CHECK (kind IN ('STATE', 'PROGRESS', 'RETRY', 'TAKEOVER', 'LOAD_STATE'))
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
