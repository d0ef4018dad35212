"""Which loads of a datasource may be in Druid at once.

A load that replaces is alone: others would be locked out by Druid, or their rows replaced while
they are still being counted. Loads that append share the datasource, up to so many at once, as
Druid lets those that touch the same time chunks run one after the other anyway. Who waits longest
comes first, so a replace is not starved by appends.

While a load is being undone none begins: it could be appended to chunks that are about to go.

A load keeps its lane until its rows are counted, or removed; one whose removal does not come to an
end gives the others way.
"""

from services.status.db.database import Connection, Database
from services.status.tasks.task import Owner

APPENDS = 2
"""Loads that append to one datasource at once: one runs while the rows of the other are counted."""

WAITING = "{0}.status = 'INGESTING' AND NOT {0}.in_lane"
"""SQL condition: the task waits for its datasource's lane; with the table's alias."""

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
"""SQL: what is in the lanes, one row or two for each datasource; with a condition on task `o`."""

_OLDER = f"""o.datasource_name = t.datasource_name AND {WAITING.format("o")}
        AND (o.created_at, o.task_id) < (t.created_at, t.task_id)"""

BLOCKED = f"""(
    (SELECT count(*) FROM lanes WHERE lanes.datasource_name = t.datasource_name
        AND (lanes.undoing OR lanes.loads >= {APPENDS} OR lanes.replacing > 0
            OR lanes.holding > 0 AND t.load_mode <> 'APPEND')) > 0
    OR EXISTS (SELECT FROM ingestion_tasks o WHERE {_OLDER} AND o.load_mode <> 'APPEND')
    OR t.load_mode <> 'APPEND' AND EXISTS (SELECT FROM ingestion_tasks o WHERE {_OLDER}))"""  # noqa: S608 - ours
"""SQL condition: the load of task `t`, which waits for the lane, has to wait for others. It reads a
CTE `lanes` (LANES).

Who is not at the front of the backlog (migration 0013) is blocked as well, but the reverse does not
hold: the front is known by the backlog alone, this by the lane too.
"""

_ENTER = f"""
WITH lanes AS ({LANES.format("AND o.datasource_name = $4")})
UPDATE ingestion_tasks t SET in_lane = true
WHERE task_id = $1 AND attempt = $2 AND worker = $3 AND status = 'INGESTING' AND NOT {BLOCKED} RETURNING 1
"""  # noqa: S608 - as above


LOCK = "SELECT pg_advisory_xact_lock(7303017, hashtext($1))"
"""Held by a transaction that decides who may change a datasource: a load that begins, or the undo
of one.
"""


async def enter(database: Database, owner: Owner, datasource: str, patience_s: float) -> bool:
    """Whether the load may begin. False where it has to wait, or the claim is lost.

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
    """Marks the front of every backlog again. Each change of one does so (migration 0013), but
    passes over a task that something else has locked at that moment, and nobody may come after it.

    Raises:
        SluiceError: DATABASE_UNAVAILABLE.
    """

    async def work(connection: Connection) -> None:
        for row in await connection.fetch(_BACKLOGS):
            await connection.execute("SELECT mark_lane_fronts($1, NULL)", row["datasource_name"])

    await database.run(work, patience_s)
