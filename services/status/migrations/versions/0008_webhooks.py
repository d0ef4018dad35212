"""Webhooks and their deliveries. A trigger inserts a delivery in the transaction that ends the task,
so that none is lost. Adds only, so that the previous release works with it.
"""

from alembic import op

revision = "0008"
down_revision = "0007"

TABLES = [
    """
CREATE TABLE webhooks (
    datasource_name VARCHAR(255) PRIMARY KEY,
    url             TEXT NOT NULL,
    secret          TEXT NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    updated_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
)
""",
    """
CREATE TABLE webhook_deliveries (
    id              BIGSERIAL PRIMARY KEY,
    datasource_name VARCHAR(255) NOT NULL,
    task_id         VARCHAR(255) NOT NULL REFERENCES ingestion_tasks (task_id),
    status          VARCHAR(50) NOT NULL,
    attempts        INTEGER NOT NULL DEFAULT 0,
    created_at      TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    next_try_at     TIMESTAMPTZ DEFAULT clock_timestamp(),
    ended_at        TIMESTAMPTZ,
    delivered       BOOLEAN NOT NULL DEFAULT false,
    last_status     INTEGER,
    last_error      TEXT NOT NULL DEFAULT '',
    CONSTRAINT due_until_ended CHECK ((next_try_at IS NULL) = (ended_at IS NOT NULL))
)
""",
    "CREATE INDEX deliveries_due ON webhook_deliveries (next_try_at) WHERE next_try_at IS NOT NULL",
    "CREATE INDEX deliveries_of_datasource ON webhook_deliveries (datasource_name, id DESC)",
]

NOTE = """
CREATE FUNCTION note_webhook_delivery() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_deliveries (datasource_name, task_id, status)
        SELECT datasource_name, NEW.task_id, NEW.status FROM webhooks WHERE datasource_name = NEW.datasource_name;
    IF FOUND THEN
        PERFORM pg_notify('sluice_webhook', '');
    END IF;
    RETURN NULL;
END
$$
"""

TRIGGER = """
CREATE TRIGGER webhook_deliveries AFTER UPDATE ON ingestion_tasks FOR EACH ROW
WHEN (OLD.completed_at IS NULL AND NEW.completed_at IS NOT NULL)
EXECUTE FUNCTION note_webhook_delivery()
"""


def upgrade() -> None:
    for statement in [*TABLES, NOTE, TRIGGER]:
        op.execute(statement)
