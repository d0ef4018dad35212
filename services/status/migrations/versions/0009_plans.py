"""Stored plans, further load modes, and the columns of a receipt."""

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = [
    """
    ALTER TABLE ingestion_tasks
        ADD COLUMN plan_first BOOLEAN NOT NULL DEFAULT false,
        ADD COLUMN replace_start_millis BIGINT,
        ADD COLUMN replace_end_millis BIGINT,
        ADD COLUMN counted_sums JSONB NOT NULL DEFAULT '{}',
        DROP CONSTRAINT load_mode_known,
        ADD CONSTRAINT load_mode_known CHECK (load_mode IN ('APPEND', 'REPLACE', 'REPLACE_INTERVAL', 'REPLACE_ALL')),
        ADD CONSTRAINT replaces_what CHECK ((load_mode = 'REPLACE_INTERVAL') =
            (replace_start_millis IS NOT NULL AND replace_end_millis > replace_start_millis))
    """,
    """
    CREATE TABLE load_plans (
        task_id    VARCHAR(255) PRIMARY KEY REFERENCES ingestion_tasks (task_id),
        plan_hash  VARCHAR(64) NOT NULL,
        plan       BYTEA NOT NULL,
        created_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
    )
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
