"""Quality summaries of files, and settings of datasources. Adds only, so that the previous release
works with it.
"""

from alembic import op

revision = "0010"
down_revision = "0009"

SETTINGS = """
CREATE TABLE datasource_settings (
    datasource_name VARCHAR(255) PRIMARY KEY,
    settings        BYTEA NOT NULL,
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
)
"""

QUALITY = """
CREATE TABLE task_quality (
    task_id    VARCHAR(255) PRIMARY KEY REFERENCES ingestion_tasks (task_id),
    quality    BYTEA NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
)
"""


def upgrade() -> None:
    op.execute(SETTINGS)
    op.execute(QUALITY)
