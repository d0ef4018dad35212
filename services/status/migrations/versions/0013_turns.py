"""Indexes for claims, and a mark for the front of a datasource's backlog, so that a claim reads few
rows however many tasks wait. Adds only, so that the previous release works with it.
"""

from alembic import op

revision = "0013"
down_revision = "0012"

# Copies of turns.QUEUE, turns.ORDER and lanes.WAITING: an index serves only identical expressions.
SMALL = "file_size <= 16777216"
ORDER = """((created_at AT TIME ZONE 'UTC')
    + make_interval(secs => least(coalesce(file_size, 0) / 10485760.0, 60)))"""
WAITING = "status = 'INGESTING' AND NOT in_lane"
QUEUE = f"""(CASE WHEN status = 'CLEANING' THEN 0
    WHEN status = 'INGESTING' AND NOT in_lane AND NOT lane_front THEN 5
    WHEN status IN ('INGESTING', 'VERIFYING', 'SUCCEEDED')
        THEN CASE WHEN {SMALL} THEN 1 ELSE 2 END
    WHEN status IN ('UPLOADED', 'VALIDATING')
        THEN CASE WHEN {SMALL} THEN 3 ELSE 4 END END)"""

INDEXES = [
    f"""CREATE INDEX tasks_in_turn ON ingestion_tasks ({QUEUE}, {ORDER})
        WHERE worker IS NULL AND next_run_at IS NOT NULL""",
    f"""CREATE INDEX tasks_in_turn_of_client ON ingestion_tasks ({QUEUE}, client, {ORDER})
        WHERE worker IS NULL AND next_run_at IS NOT NULL""",
    "CREATE INDEX tasks_in_lane ON ingestion_tasks (datasource_name) WHERE in_lane",
    """CREATE INDEX tasks_being_undone ON ingestion_tasks (datasource_name)
        WHERE load_state = 'REVERTING'""",
    f"""CREATE INDEX tasks_waiting ON ingestion_tasks (datasource_name, created_at, task_id)
        WHERE {WAITING}""",
    f"""CREATE INDEX replaces_waiting ON ingestion_tasks (datasource_name, created_at, task_id)
        WHERE {WAITING} AND load_mode <> 'APPEND'""",
    f"""CREATE INDEX appends_waiting
        ON ingestion_tasks (datasource_name, client, (({SMALL}) IS TRUE), {ORDER})
        WHERE {WAITING} AND load_mode = 'APPEND'""",
]

# Only these waiting loads can enter a lane next (lanes.BLOCKED): the oldest replace, and of the
# appends before it the first small and big ones of each client, up to the concurrency limit. Each
# statement reads one index in its order, so that no plan reads the whole backlog.
MARK = f"""
CREATE FUNCTION mark_lane_fronts(of_datasource VARCHAR, only_client VARCHAR)
RETURNS VOID LANGUAGE plpgsql AS $$
DECLARE
    barrier RECORD;
    next_task VARCHAR;
    of_client VARCHAR := only_client;
    is_small BOOLEAN;
BEGIN
    PERFORM pg_advisory_xact_lock(7303018, hashtext(of_datasource));
    SELECT task_id, created_at INTO barrier FROM ingestion_tasks
    WHERE datasource_name = of_datasource AND {WAITING} AND load_mode <> 'APPEND'
    ORDER BY created_at, task_id LIMIT 1;
    PERFORM mark_lane_front(barrier.task_id);
    IF only_client IS NULL THEN
        SELECT min(client) INTO of_client FROM ingestion_tasks
        WHERE datasource_name = of_datasource AND {WAITING} AND load_mode = 'APPEND';
    END IF;
    WHILE of_client IS NOT NULL LOOP
        FOREACH is_small IN ARRAY ARRAY[true, false] LOOP
            FOR next_task IN
                SELECT task_id FROM ingestion_tasks
                WHERE datasource_name = of_datasource AND client = of_client
                    AND (({SMALL}) IS TRUE) = is_small AND {WAITING} AND load_mode = 'APPEND'
                    AND (barrier.task_id IS NULL
                        OR (created_at, task_id) < (barrier.created_at, barrier.task_id))
                    -- Implied by that, but a condition on the index.
                    AND {ORDER} < coalesce(
                        barrier.created_at AT TIME ZONE 'UTC' + interval '61 s', 'infinity')
                ORDER BY {ORDER} LIMIT 2
            LOOP
                PERFORM mark_lane_front(next_task);
            END LOOP;
        END LOOP;
        EXIT WHEN only_client IS NOT NULL;
        SELECT min(client) INTO of_client FROM ingestion_tasks
        WHERE datasource_name = of_datasource AND {WAITING} AND load_mode = 'APPEND'
            AND client > of_client;
    END LOOP;
END
$$
"""  # noqa: S608 - ours

# Skips locked tasks: they are about to leave the backlog, which marks the next one. Waiting for them
# could deadlock, as this transaction may hold the lock of the events.
MARK_ONE = f"""
CREATE FUNCTION mark_lane_front(of_task VARCHAR) RETURNS VOID LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM ingestion_tasks
    WHERE task_id = of_task AND {WAITING} AND NOT lane_front FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE ingestion_tasks SET lane_front = true WHERE task_id = of_task;
    END IF;
END
$$
"""  # noqa: S608 - ours

CHANGED = f"""
CREATE FUNCTION note_lane_backlog() RETURNS TRIGGER LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7303018, hashtext(NEW.datasource_name));
    -- An append that came after a replace changes nothing until that is gone.
    IF NEW.load_mode <> 'APPEND' OR NOT EXISTS (
        SELECT FROM ingestion_tasks
        WHERE datasource_name = NEW.datasource_name AND {WAITING} AND load_mode <> 'APPEND'
            AND (created_at, task_id) < (NEW.created_at, NEW.task_id))
    THEN
        PERFORM mark_lane_fronts(
            NEW.datasource_name, CASE WHEN NEW.load_mode = 'APPEND' THEN NEW.client END);
    END IF;
    RETURN NULL;
END
$$
"""

TRIGGERS = [
    """
CREATE TRIGGER lane_backlog AFTER UPDATE ON ingestion_tasks FOR EACH ROW
WHEN ((OLD.status = 'INGESTING' AND NOT OLD.in_lane)
    <> (NEW.status = 'INGESTING' AND NOT NEW.in_lane))
EXECUTE FUNCTION note_lane_backlog()
""",
    """
CREATE TRIGGER lane_backlog_of_new AFTER INSERT ON ingestion_tasks FOR EACH ROW
WHEN (NEW.status = 'INGESTING' AND NOT NEW.in_lane) EXECUTE FUNCTION note_lane_backlog()
""",
]

MARK_ALL = f"""
SELECT mark_lane_fronts(datasource_name, NULL)
FROM (SELECT DISTINCT datasource_name FROM ingestion_tasks WHERE {WAITING}) AS backlogs
"""  # noqa: S608 - ours


def upgrade() -> None:
    op.execute("ALTER TABLE ingestion_tasks ADD COLUMN lane_front BOOLEAN NOT NULL DEFAULT false")
    for statement in [*INDEXES, MARK_ONE, MARK, CHANGED, *TRIGGERS, MARK_ALL]:
        op.execute(statement)
