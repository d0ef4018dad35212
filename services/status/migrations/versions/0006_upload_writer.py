"""The writer of an upload, and the metadata of its client. Adds only, so that the previous release
works with it.
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
