"""Client, read options and deletion time of the stored files of a task. Adds only, so that the
previous release works with it.
"""

from alembic import op

revision = "0002"
down_revision = "0001"

COLUMNS = """
ALTER TABLE ingestion_tasks
    ADD COLUMN client                    VARCHAR(255) NOT NULL DEFAULT '',
    ADD COLUMN options                   BYTEA NOT NULL DEFAULT '',
    ADD COLUMN files_delete_requested_at TIMESTAMPTZ,
    ADD COLUMN files_deleted_at          TIMESTAMPTZ,
    ADD CONSTRAINT deleted_when_requested CHECK (files_deleted_at IS NULL OR files_delete_requested_at IS NOT NULL),
    ADD CONSTRAINT kept_while_running CHECK (files_delete_requested_at IS NULL OR completed_at IS NOT NULL)
"""

INDEXES = [
    "CREATE INDEX tasks_of_file ON ingestion_tasks (file_uri)",
    "CREATE INDEX tasks_retried ON ingestion_tasks (retry_of) WHERE retry_of <> ''",
    "CREATE INDEX tasks_with_files ON ingestion_tasks (completed_at) WHERE completed_at IS NOT NULL AND files_delete_requested_at IS NULL",
    """CREATE INDEX tasks_losing_files ON ingestion_tasks (files_delete_requested_at)
        WHERE files_delete_requested_at IS NOT NULL AND files_deleted_at IS NULL""",
]


def upgrade() -> None:
    for statement in [COLUMNS, *INDEXES]:
        op.execute(statement)
