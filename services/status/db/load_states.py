"""The load states of other loads, written in the transaction that makes them true (ADR 0012).

A replace, a failed load or a revert changes what queries see of other loads. They are counted
first, which takes a while, and written together with the transition of the load that changed them.
The counts may be outdated by then. A replace or revert that ended meanwhile is detected by its
time; one that is still running counts the loads itself when it ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.status.db import lanes
from services.status.db.database import Connection
from services.status.db.store import Parameters, held
from services.status.tasks.load_states import (
    LOADS_AT_ONCE,
    Counted,
    OtherLoad,
    Outcome,
    Recount,
)
from services.status.tasks.task import Owner, Task

Item = TypeVar("Item")

TOUCHED = """
SELECT least(t.interval_start_millis, min(s.start_millis)) AS start_millis,
    greatest(t.interval_end_millis, max(s.end_millis)) AS end_millis, clock_timestamp() AS since
FROM ingestion_tasks t LEFT JOIN load_segments s USING (task_id) WHERE t.task_id = $1
GROUP BY t.task_id, t.interval_start_millis, t.interval_end_millis
"""

PAGE = f"""
SELECT task_id, load_state, coalesce(row_count, 0) AS rows,
    interval_start_millis AS start_millis, interval_end_millis AS end_millis
FROM ingestion_tasks
WHERE datasource_name = $1 AND task_id <> $2 AND load_state = ANY($3::text[])
    AND interval_start_millis < $5 AND interval_end_millis > $4
    AND (interval_start_millis, task_id) > ($6::bigint, $7::text)
ORDER BY interval_start_millis, task_id LIMIT {LOADS_AT_ONCE}
"""  # noqa: S608 - a number of ours

# A reverted or failed append changes nothing for others.
_OTHERS = """
SELECT coalesce(t.in_lane OR t.load_state = 'REVERTING', false) AS running,
    least(t.interval_start_millis, min(s.start_millis)) AS start_millis,
    greatest(t.interval_end_millis, max(s.end_millis)) AS end_millis
FROM ingestion_tasks t LEFT JOIN load_segments s USING (task_id)
WHERE t.datasource_name = $1 AND t.task_id <> $2 AND t.load_mode <> 'APPEND'
    AND (t.in_lane OR t.load_state = 'REVERTING' OR t.completed_at >= $3
        OR t.load_state = 'REVERTED' AND t.updated_at >= $3)
GROUP BY t.task_id, t.in_lane, t.load_state, t.interval_start_millis, t.interval_end_millis
"""

# Rows before events: append_task_event takes a lock after which no other may be taken.
_LOCK_ROWS = """
SELECT task_id FROM ingestion_tasks WHERE task_id = ANY($1::text[]) ORDER BY task_id FOR UPDATE
"""

_SET = """
WITH changed AS (
    UPDATE ingestion_tasks t SET load_state = n.load_state, message = n.message,
        updated_at = clock_timestamp(), last_sequence = last_sequence + 1
    FROM unnest($1::text[], $2::text[], $3::text[]) AS n (task_id, load_state, message)
    WHERE t.task_id = n.task_id AND t.load_state IN ('LIVE', 'PARTLY_REPLACED', 'REPLACED')
        AND (t.load_state, t.message) <> (n.load_state, n.message)
    RETURNING t.*)
SELECT append_task_event(task_id, last_sequence, 'LOAD_STATE', status, message, attempt, NULL, NULL)
FROM changed
"""

# The load replaced their segments in its chunks, including those that were published between its
# plan and Druid's lock.
_ADD_REPLACED = """
INSERT INTO load_segments (task_id, role, segment_id, start_millis, end_millis)
SELECT $1::varchar, 'REPLACED', older.segment_id, older.start_millis, older.end_millis
FROM load_segments older
WHERE older.task_id = ANY($2::text[]) AND older.role = 'OWN' AND EXISTS (
    SELECT FROM load_segments mine
    WHERE mine.task_id = $1::varchar AND mine.role = 'OWN'
        AND older.start_millis < mine.end_millis AND older.end_millis > mine.start_millis)
ON CONFLICT DO NOTHING
"""


async def end(
    connection: Connection,
    task: Task,
    owner: Owner,
    counted: Recount,
    write: tuple[str, Parameters],
    *,
    replaced: bool = False,
) -> Outcome:
    """Executes the write of the leased task and writes the load states that follow from the counts,
    in one transaction. `replaced`: the task's load replaced the missing rows.
    """
    async with connection.transaction():
        await connection.execute(lanes.LOCK, task.datasource_name)
        p = Parameters()
        condition = held(p, task.task_id, task.status, owner)
        mine = f"SELECT 1 FROM ingestion_tasks WHERE {condition} FOR UPDATE"  # noqa: S608
        if await connection.fetchrow(mine, *p) is None:
            return Outcome.FENCED
        changed = await _changed(connection, task.datasource_name, task.task_id, counted)
        if changed is None:
            return Outcome.OUTDATED
        await _lock(connection, changed)
        sql, parameters = write
        if await connection.fetchrow(sql, *parameters) is None:
            return Outcome.FENCED
        await _set(connection, task.datasource_name, changed)
        if replaced:
            await _add_replaced(connection, task.task_id, counted)
    return Outcome.WRITTEN


async def record(connection: Connection, task: Task, counted: Recount) -> bool:
    """Writes the load states that follow from the counts of `task`, without a transition. Returns
    False and writes nothing if some of them may be outdated."""
    async with connection.transaction():
        await connection.execute(lanes.LOCK, task.datasource_name)
        changed = await _changed(connection, task.datasource_name, task.task_id, counted)
        if changed is None or len(changed) < len(counted.loads):
            return False
        await _lock(connection, changed)
        await _set(connection, task.datasource_name, changed)
    return True


async def _changed(
    connection: Connection, datasource: str, task_id: str, counted: Recount
) -> list[Counted] | None:
    """Returns the loads whose state has changed; None if a replace or revert ended after the count
    had begun. Leaves out loads that a running one may hide: it counts them when it ends.
    """
    if not counted.loads:
        return []
    rows = await connection.fetch(_OTHERS, datasource, task_id, counted.since)
    others = [_Other(**row) for row in rows if row["start_millis"] is not None]
    ended = [other for other in others if not other.running]
    if any(other.overlaps(each.load) for each in counted.loads for other in ended):
        return None
    hiding = [other for other in others if other.running]
    changed = (each for each in counted.loads if each.has_changed)
    return [each for each in changed if not any(other.overlaps(each.load) for other in hiding)]


@dataclass(frozen=True)
class _Other:
    """A replace, or the revert of one, that is running or has ended."""

    running: bool
    start_millis: int
    end_millis: int

    def overlaps(self, load: OtherLoad) -> bool:
        """Whether it may change what queries see of the load."""
        return load.start_millis < self.end_millis and load.end_millis > self.start_millis


async def _lock(connection: Connection, changed: Sequence[Counted]) -> None:
    # In one order over all batches, so that two transactions cannot deadlock.
    for ids in _batches(sorted(each.load.task_id for each in changed)):
        await connection.execute(_LOCK_ROWS, ids)


async def _set(connection: Connection, datasource: str, changed: Sequence[Counted]) -> None:
    for batch in _batches(changed):
        ids, states = [each.load.task_id for each in batch], [each.load_state for each in batch]
        await connection.execute(_SET, ids, states, [each.message(datasource) for each in batch])


async def _add_replaced(connection: Connection, task_id: str, counted: Recount) -> None:
    for ids in _batches([each.load.task_id for each in counted.loads if each.missing]):
        await connection.execute(_ADD_REPLACED, task_id, ids)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), LOADS_AT_ONCE):
        yield items[start : start + LOADS_AT_ONCE]
