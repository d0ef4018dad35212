"""Which releases work with the database: an older one that is started again after an upgrade looks
here. Adds only, so the release before works on beside it."""

from alembic import op

revision = "0012"
down_revision = "0011"

TABLE = "CREATE TABLE schema_compatibility (oldest_revision VARCHAR(32) NOT NULL)"
ROW = "INSERT INTO schema_compatibility VALUES ('0001')"


def upgrade() -> None:
    op.execute(TABLE)
    op.execute(ROW)
