"""The runs of every stage: worker, start, end and outcome. Written by a trigger, so that no update
bypasses it. Adds only, so that the previous release works with it.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

TABLE = """
CREATE TABLE stage_runs (
    task_id    VARCHAR(255) NOT NULL REFERENCES ingestion_tasks (task_id),
    attempt    INTEGER NOT NULL,
    state      VARCHAR(50) NOT NULL,
    worker     TEXT NOT NULL,
    started_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp(),
    ended_at   TIMESTAMPTZ,
    outcome    VARCHAR(20) CHECK (outcome IN ('MOVED', 'GIVEN_BACK', 'LOST')),
    message    TEXT NOT NULL DEFAULT '',
    problem    JSONB,
    PRIMARY KEY (task_id, attempt, state)
)
"""

NOTE = """
CREATE FUNCTION note_stage_run() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.worker IS NOT NULL THEN
        UPDATE stage_runs SET ended_at = clock_timestamp(),
            outcome = CASE WHEN NEW.status <> OLD.status THEN 'MOVED' WHEN NEW.attempt <> OLD.attempt THEN 'LOST' ELSE 'GIVEN_BACK' END,
            message = CASE WHEN NEW.message <> OLD.message THEN NEW.message ELSE '' END,
            problem = CASE WHEN NEW.problem IS DISTINCT FROM OLD.problem THEN NEW.problem END
        WHERE task_id = OLD.task_id AND attempt = OLD.attempt AND state = OLD.status AND ended_at IS NULL;
    END IF;
    IF NEW.worker IS NOT NULL THEN
        INSERT INTO stage_runs (task_id, attempt, state, worker) VALUES (NEW.task_id, NEW.attempt, NEW.status, NEW.worker)
            ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$
"""

# Heartbeats and progress, by far the most updates, do not match the condition.
TRIGGER = """
CREATE TRIGGER stage_runs AFTER UPDATE ON ingestion_tasks FOR EACH ROW
WHEN ((OLD.worker, OLD.attempt, OLD.status) IS DISTINCT FROM (NEW.worker, NEW.attempt, NEW.status))
EXECUTE FUNCTION note_stage_run()
"""


def upgrade() -> None:
    for statement in [TABLE, NOTE, TRIGGER]:
        op.execute(statement)
