"""Deliveries that are due are found for each datasource by itself, however many of others wait.
Adds only, so the release before works on beside it."""

from alembic import op

revision = "0011"
down_revision = "0010"

INDEX = """
CREATE INDEX deliveries_due_of_datasource ON webhook_deliveries (datasource_name, next_try_at)
WHERE next_try_at IS NOT NULL
"""

# As before, but for the lock: whoever deletes a webhook waits for the tasks that are ending, and so
# ends their deliveries too.
NOTE = """
CREATE OR REPLACE FUNCTION note_webhook_delivery() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO webhook_deliveries (datasource_name, task_id, status)
        SELECT datasource_name, NEW.task_id, NEW.status FROM webhooks
        WHERE datasource_name = NEW.datasource_name FOR KEY SHARE;
    IF FOUND THEN
        PERFORM pg_notify('sluice_webhook', '');
    END IF;
    RETURN NULL;
END
$$
"""

# Whoever sends looks only at the deliveries of a webhook from now on.
END = """
UPDATE webhook_deliveries d SET next_try_at = NULL, ended_at = clock_timestamp(),
    last_error = 'The webhook was removed.'
WHERE ended_at IS NULL
    AND NOT EXISTS (SELECT FROM webhooks w WHERE w.datasource_name = d.datasource_name)
"""


def upgrade() -> None:
    op.execute(END)
    op.execute(INDEX)
    op.execute(NOTE)
