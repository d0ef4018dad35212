"""Due deliveries are found per datasource, however many wait for others. Adds only, so that the
previous release works with it.
"""

from alembic import op

revision = "0011"
down_revision = "0010"

INDEX = """
CREATE INDEX deliveries_due_of_datasource ON webhook_deliveries (datasource_name, next_try_at)
WHERE next_try_at IS NOT NULL
"""

# Adds a lock: deleting a webhook waits for tasks that are ending, and so ends their deliveries too.
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

# From now on, senders only read the deliveries of existing webhooks.
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
