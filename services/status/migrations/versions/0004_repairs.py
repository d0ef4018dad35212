"""The task whose rejects a file has. Adds only, so that the previous release works with it."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("ALTER TABLE ingestion_tasks ADD COLUMN repair_of VARCHAR(255) NOT NULL DEFAULT ''")
    op.execute("CREATE INDEX tasks_of_repairs ON ingestion_tasks (repair_of) WHERE repair_of <> ''")
