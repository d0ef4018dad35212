"""Lanes: which loads of a datasource may run concurrently (ADR 0007).

A replace runs alone: Druid would lock other loads out, or replace their rows while they are being
counted. Appends share the lane up to a limit, as Druid serializes those in the same time chunks.
The oldest load enters first, so appends do not starve a replace.

No load starts during a revert: it could append to chunks that are about to be removed.

A load keeps its lane until its rows are counted or removed. If the removal takes too long, others
may enter.
"""

from services.status.db.database import Connection, Database
from services.status.tasks.task import Owner

APPENDS = 2
"""Concurrent appends to a datasource: one runs while the rows of the other are counted."""

WAITING = "{0}.status = 'INGESTING' AND NOT {0}.in_lane"
"""SQL condition with the table's alias: the task waits for its datasource's lane."""

LANES = """
SELECT o.datasource_name, false AS undoing,
    count(*) FILTER (WHERE o.status <> 'CLEANING') AS loads,
    count(*) FILTER (WHERE o.status <> 'CLEANING'
        OR o.stage_started_at > now() - interval '5 minutes') AS holding,
    count(*) FILTER (WHERE o.load_mode <> 'APPEND' AND (o.status <> 'CLEANING'
        OR o.stage_started_at > now() - interval '5 minutes')) AS replacing
FROM ingestion_tasks o WHERE o.in_lane {0} GROUP BY o.datasource_name
UNION ALL
SELECT o.datasource_name, true, 0, 0, 0
FROM ingestion_tasks o WHERE o.load_state = 'REVERTING' {0}
"""
"""SQL with a condition on task `o`: the contents of the lanes, one or two rows per datasource."""

_OLDER = f"""o.datasource_name = t.datasource_name AND {WAITING.format("o")}
        AND (o.created_at, o.task_id) < (t.created_at, t.task_id)"""

BLOCKED = f"""(
    (SELECT count(*) FROM lanes WHERE lanes.datasource_name = t.datasource_name
        AND (lanes.undoing OR lanes.loads >= {APPENDS} OR lanes.replacing > 0
            OR lanes.holding > 0 AND t.load_mode <> 'APPEND')) > 0
    OR EXISTS (SELECT FROM ingestion_tasks o WHERE {_OLDER} AND o.load_mode <> 'APPEND')
    OR t.load_mode <> 'APPEND' AND EXISTS (SELECT FROM ingestion_tasks o WHERE {_OLDER}))"""  # noqa: S608 - ours
"""SQL condition: the load of task `t`, which waits for the lane, cannot enter it yet. It reads a CTE
`lanes` (LANES).

A task behind the front of the backlog (migration 0013) is always blocked. The reverse does not
hold: the front depends on the backlog only, this condition also on the lane.
"""

_ENTER = f"""
WITH lanes AS ({LANES.format("AND o.datasource_name = $4")})
UPDATE ingestion_tasks t SET in_lane = true
WHERE task_id = $1 AND attempt = $2 AND worker = $3 AND status = 'INGESTING' AND NOT {BLOCKED} RETURNING 1
"""  # noqa: S608 - as above


LOCK = "SELECT pg_advisory_xact_lock(7303017, hashtext($1))"
"""Taken by each transaction that lets a load or a revert change a datasource."""


async def enter(database: Database, owner: Owner, datasource: str, patience_s: float) -> bool:
    """Returns whether the load may start. False: it has to wait, or the lease is lost.

    Raises:
        SluiceError: DATABASE_UNAVAILABLE.
    """

    async def work(connection: Connection) -> bool:
        async with connection.transaction():
            await connection.execute(LOCK, datasource)
            return bool(
                await connection.fetchval(
                    _ENTER, owner.task_id, owner.attempt, owner.worker, datasource
                )
            )

    return await database.run(work, patience_s)


_BACKLOGS = f"""
WITH RECURSIVE backlogs AS (
    (SELECT o.datasource_name FROM ingestion_tasks o WHERE {WAITING.format("o")}
        ORDER BY o.datasource_name LIMIT 1)
    UNION ALL
    SELECT (SELECT o.datasource_name FROM ingestion_tasks o WHERE {WAITING.format("o")}
        AND o.datasource_name > backlogs.datasource_name ORDER BY o.datasource_name LIMIT 1)
    FROM backlogs WHERE backlogs.datasource_name IS NOT NULL)
SELECT datasource_name FROM backlogs WHERE datasource_name IS NOT NULL
"""  # noqa: S608 - as above


async def mark_fronts(database: Database, patience_s: float) -> None:
    """Marks the front of every backlog. Each change of a backlog does so too (migration 0013), but
    skips locked tasks, and no later change may correct it.

    Raises:
        SluiceError: DATABASE_UNAVAILABLE.
    """

    async def work(connection: Connection) -> None:
        for row in await connection.fetch(_BACKLOGS):
            await connection.execute("SELECT mark_lane_fronts($1, NULL)", row["datasource_name"])

    await database.run(work, patience_s)
