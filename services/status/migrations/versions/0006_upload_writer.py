"""Who receives a task's file, and what its client says of it. Adds only, so the release before
works on beside it.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

COLUMNS = """
ALTER TABLE ingestion_tasks
    ADD COLUMN upload_writer VARCHAR(64) NOT NULL DEFAULT '',
    ADD COLUMN client_metadata TEXT NOT NULL DEFAULT ''
"""


def upgrade() -> None:
    op.execute(COLUMNS)
