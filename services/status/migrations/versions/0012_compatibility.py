"""The releases that work with the database, for an older one that starts after an upgrade. Adds
only, so that the previous release works with it.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

TABLE = "CREATE TABLE schema_compatibility (oldest_revision VARCHAR(32) NOT NULL)"
ROW = "INSERT INTO schema_compatibility VALUES ('0001')"


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(ROW)
