"""Which loads of a datasource may be in Druid at once.

A load that replaces is alone: others would be locked out by Druid, or their rows replaced while they are still being counted. Loads that
append share the datasource, up to so many at once, as Druid lets those that touch the same time chunks run one after the other anyway.
Who waits longest comes first, so a replace is not starved by appends.

While a load is being undone none begins: it could be appended to chunks that are about to go.

A load keeps its lane until its rows are counted, or removed; one whose removal does not come to an end gives the others way.
"""

from services.status.postgres import Connection, Database
from services.status.tasks import Owner

APPENDS = 2
"""Loads that append to one datasource at once: one runs while the rows of the other are counted."""

BLOCKED = f"""(
    EXISTS (
        SELECT FROM ingestion_tasks o
        WHERE o.datasource_name = t.datasource_name AND o.task_id <> t.task_id AND o.status IN ('INGESTING', 'VERIFYING', 'CLEANING')
            AND (o.load_mode <> 'APPEND' OR t.load_mode <> 'APPEND')
            AND CASE WHEN o.in_lane THEN o.status <> 'CLEANING' OR o.stage_started_at > now() - interval '5 minutes'
                ELSE o.status = 'INGESTING' AND (o.created_at, o.task_id) < (t.created_at, t.task_id) END)
    OR (SELECT count(*) FROM ingestion_tasks o
        WHERE o.datasource_name = t.datasource_name AND o.task_id <> t.task_id AND o.status IN ('INGESTING', 'VERIFYING') AND o.in_lane
        ) >= {APPENDS}
    OR EXISTS (SELECT FROM ingestion_tasks o WHERE o.datasource_name = t.datasource_name AND o.load_state = 'REVERTING'))"""  # noqa: S608 - a number of ours
"""SQL condition: the load of task `t` has to wait for others."""

_ENTER = f"""
UPDATE ingestion_tasks t SET in_lane = true
WHERE task_id = $1 AND attempt = $2 AND worker = $3 AND status = 'INGESTING' AND NOT {BLOCKED} RETURNING 1
"""  # noqa: S608 - as above


LOCK = "SELECT pg_advisory_xact_lock(7303017, hashtext($1))"
"""Held by a transaction that decides who may change a datasource: a load that begins, or the undo of one."""


class LaneTakenError(Exception):
    """Other loads of the datasource come first; the task is claimed again when it can go on."""


async def enter(database: Database, owner: Owner, datasource: str, patience_s: float) -> bool:
    """Whether the load may begin. False where it has to wait, or the claim is lost.

    Raises:
        SluiceError: DATABASE_UNAVAILABLE.
    """

    async def work(connection: Connection) -> bool:
        async with connection.transaction():
            await connection.execute(LOCK, datasource)
            return bool(await connection.fetchval(_ENTER, owner.task_id, owner.attempt, owner.worker))

    return await database.run(work, patience_s)
