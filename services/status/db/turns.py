"""The order of claims, and the statement that claims a task.

Removals come first, then the client with the fewest tasks in progress, then the oldest task, where
a big file counts as younger. The statement reads few rows however long the backlog is: the queues
are indexed in this order, and only the front of a datasource's backlog is in a queue that workers
read (migration 0013).
"""

from functools import cache

from services.status.db.lanes import BLOCKED, LANES
from services.status.tasks.queues import Kind, TaskQueue

SMALL_BYTES = 16 * 1024 * 1024
"""Files up to this size are small: one worker is reserved for them."""

ORDER = """((t.created_at AT TIME ZONE 'UTC')
    + make_interval(secs => least(coalesce(t.file_size, 0) / 10485760.0, 60)))"""
"""SQL: the order among due tasks, oldest first. A big file counts as younger, by a second for each
10 MiB up to a minute, so that small ones overtake it but never starve it. UTC because PostgreSQL
can only index a time without a zone."""


_SMALL = f"t.file_size <= {SMALL_BYTES}"

QUEUE = f"""(CASE WHEN t.status = 'CLEANING' THEN {TaskQueue.CLEANING}
    WHEN t.status = 'INGESTING' AND NOT t.in_lane AND NOT t.lane_front THEN {TaskQueue.BEHIND}
    WHEN t.status IN ('INGESTING', 'VERIFYING', 'SUCCEEDED')
        THEN CASE WHEN {_SMALL} THEN {TaskQueue.SMALL_LOAD} ELSE {TaskQueue.BIG_LOAD} END
    WHEN t.status IN ('UPLOADED', 'VALIDATING')
        THEN CASE WHEN {_SMALL} THEN {TaskQueue.SMALL_FILE} ELSE {TaskQueue.BIG_FILE} END END)"""
"""SQL: the task's queue, as a number."""

FREE = "t.worker IS NULL AND t.next_run_at IS NOT NULL"
"""SQL: the task has no worker and needs one, now or later."""


_DUE = "t.next_run_at <= now() AND t.task_id <> ALL($4::text[])"
_CAN_RUN = f"(t.status <> 'INGESTING' OR t.in_lane OR NOT {BLOCKED})"

_FIRST = 4
"""Number of tasks of a queue to check before comparing the clients."""

# The first task of a queue is next if its client has no task in progress. If the first few all
# belong to busy clients, compare the first task of each waiting client.
_OF_QUEUE = f"""
(SELECT t.task_id, t.status, 0 AS busy, t.turn
 FROM (SELECT t.*, {ORDER} AS turn FROM ingestion_tasks t
    WHERE {FREE} AND {QUEUE} = queues.queue AND {_DUE} AND {_CAN_RUN}
    ORDER BY {ORDER} LIMIT {_FIRST}) t
 WHERE NOT EXISTS (SELECT FROM busy WHERE busy.client = t.client)
 ORDER BY t.turn LIMIT 1)
UNION ALL
(WITH RECURSIVE clients AS (
    (SELECT t.client FROM ingestion_tasks t WHERE {FREE} AND {QUEUE} = queues.queue
        ORDER BY t.client LIMIT 1)
    UNION ALL
    SELECT (SELECT t.client FROM ingestion_tasks t WHERE {FREE} AND {QUEUE} = queues.queue
        AND t.client > clients.client ORDER BY t.client LIMIT 1)
    FROM clients WHERE clients.client IS NOT NULL)
 SELECT first.* FROM clients LEFT JOIN busy USING (client) CROSS JOIN LATERAL (
    SELECT t.task_id, t.status, coalesce(busy.tasks, 0) AS busy, {ORDER} AS turn
    FROM ingestion_tasks t
    WHERE {FREE} AND {QUEUE} = queues.queue AND t.client = clients.client
        AND {_DUE} AND {_CAN_RUN}
    ORDER BY {ORDER} LIMIT 1) AS first
 ORDER BY first.busy, first.turn LIMIT 1)
LIMIT 1"""  # noqa: S608 - conditions of ours


@cache
def claim(kind: Kind) -> str:
    """Returns the statement. Its parameters: name of the worker, seconds of the lease, message of a
    takeover, ids of tasks to skip.

    It returns no row if nothing of this kind is due. If other workers have locked the candidates,
    it returns a row without a task but with their ids in `contended`.
    """
    queues = [int(queue) for queue in kind.value]
    return f"""
WITH at_work AS MATERIALIZED (SELECT * FROM ingestion_tasks WHERE worker IS NOT NULL),
busy AS MATERIALIZED (SELECT client, count(*) AS tasks FROM at_work GROUP BY client),
lanes AS MATERIALIZED ({LANES.format("")}),
candidates AS MATERIALIZED (
    -- Tasks of dead workers,
    SELECT t.task_id, t.status, busy.tasks AS busy, {ORDER} AS turn
    FROM at_work t JOIN busy USING (client)
    WHERE t.lease_until <= now() AND {QUEUE} IN ({", ".join(map(str, queues))})
        AND {_DUE} AND {_CAN_RUN}
    UNION ALL
    -- and the next task of each queue.
    SELECT found.* FROM (VALUES {", ".join(f"({queue})" for queue in queues)}) AS queues (queue)
        CROSS JOIN LATERAL ({_OF_QUEUE}) AS found),
due AS (
    SELECT t.task_id, t.worker AS former
    FROM (SELECT * FROM candidates ORDER BY status <> 'CLEANING', busy, turn) c CROSS JOIN LATERAL (
        -- Read it again with a lock, as another worker may have been faster.
        SELECT t.task_id, t.worker FROM ingestion_tasks t
        WHERE t.task_id = c.task_id AND t.status = c.status AND t.next_run_at <= now()
            AND (t.lease_until IS NULL OR t.lease_until <= now()) FOR UPDATE SKIP LOCKED) t
    LIMIT 1),
changed AS (
    UPDATE ingestion_tasks t SET
        attempt = attempt + 1,
        worker = $1,
        lease_until = clock_timestamp() + make_interval(secs => $2),
        started_at = coalesce(started_at, clock_timestamp()),
        updated_at = clock_timestamp(),
        stage_takeovers = stage_takeovers + (former IS NOT NULL)::int,
        -- Time spent waiting for a free worker does not count against the stage.
        stage_started_at = stage_started_at
            + CASE WHEN former IS NULL THEN now() - next_run_at ELSE interval '0' END,
        last_sequence = last_sequence + (former IS NOT NULL)::int
    FROM due WHERE t.task_id = due.task_id
    RETURNING t.*, former)
SELECT task_id, attempt, former, contended, CASE WHEN former IS NOT NULL THEN
    append_task_event(task_id, last_sequence, 'TAKEOVER', status, $3, attempt, NULL, NULL)
    END AS position
FROM (SELECT array_agg(task_id) AS contended FROM candidates HAVING count(*) > 0) AS found
    LEFT JOIN changed ON true
"""  # noqa: S608 - conditions of ours
