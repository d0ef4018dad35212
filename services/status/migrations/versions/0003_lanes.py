"""Lanes: which loads of a datasource may run concurrently. Adds only, so that the previous release
works with it.
"""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS = [
    "ALTER TABLE ingestion_tasks ADD COLUMN in_lane BOOLEAN NOT NULL DEFAULT false",
    "UPDATE ingestion_tasks SET in_lane = true WHERE status IN ('INGESTING', 'VERIFYING', 'CLEANING')",
    """CREATE INDEX tasks_loading ON ingestion_tasks (datasource_name)
        WHERE status IN ('INGESTING', 'VERIFYING', 'CLEANING')""",
    "CREATE INDEX tasks_claimed ON ingestion_tasks (client) WHERE worker IS NOT NULL",
    "CREATE INDEX tasks_succeeded ON ingestion_tasks (completed_at) WHERE status = 'SUCCEEDED'",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
