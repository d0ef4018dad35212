"""The load states of other loads, written in the transaction that makes them true (ADR 0012).

A load that replaces, that fails or that is undone changes what queries see of others. They are
counted first, which takes a while, and written together with the transition of the load that
changed them. What was counted may be outdated by then: by a replace or an undo that ended
meanwhile, which is why the count carries the time since when it holds, or by one that goes on,
which counts them itself when it ends.
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
    Touched,
)
from services.status.tasks.task import Owner, Task

Item = TypeVar("Item")

_TOUCHED = """
SELECT least(t.interval_start_millis, min(s.start_millis)) AS start_millis,
    greatest(t.interval_end_millis, max(s.end_millis)) AS end_millis, clock_timestamp() AS since
FROM ingestion_tasks t LEFT JOIN load_segments s USING (task_id) WHERE t.task_id = $1
GROUP BY t.task_id, t.interval_start_millis, t.interval_end_millis
"""

_PAGE = f"""
SELECT task_id, load_state, coalesce(row_count, 0) AS rows,
    interval_start_millis AS start_millis, interval_end_millis AS end_millis
FROM ingestion_tasks
WHERE datasource_name = $1 AND task_id <> $2 AND load_state = ANY($3::text[])
    AND interval_start_millis < $5 AND interval_end_millis > $4
    AND (interval_start_millis, task_id) > ($6::bigint, $7::text)
ORDER BY interval_start_millis, task_id LIMIT {LOADS_AT_ONCE}
"""  # noqa: S608 - a number of ours

# An append that is undone, or fails, changes nothing for others.
_OTHERS = """
SELECT coalesce(t.in_lane OR t.load_state = 'REVERTING', false) AS goes_on,
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

# The load replaced what these have in its chunks, also what came between the record and Druid's
# lock.
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


async def touched(connection: Connection, task_id: str) -> Touched:
    """Where a load may change what queries see of others: its interval, its segments, and those
    that it replaced, also by attempts that were given up.
    """
    [row] = await connection.fetch(_TOUCHED, task_id)
    return Touched(row["since"], row["start_millis"], row["end_millis"])


async def page(
    connection: Connection,
    task: Task,
    where: Touched,
    states: Sequence[str],
    after: OtherLoad | None,
) -> list[OtherLoad]:
    """At most LOADS_AT_ONCE other loads of the datasource that may have rows there, in the order of
    time, beginning after one."""
    last = (after.start_millis, after.task_id) if after else (-(2**63), "")
    bounds = (where.start_millis, where.end_millis)
    rows = await connection.fetch(
        _PAGE, task.datasource_name, task.task_id, list(states), *bounds, *last
    )
    return [OtherLoad(**row) for row in rows]


async def end(
    connection: Connection,
    task: Task,
    owner: Owner,
    counted: Recount,
    write: tuple[str, Parameters],
    *,
    replaced: bool = False,
) -> Outcome:
    """Executes the write of the claimed task, and the load states that follow from the count, in
    one transaction: all of it or nothing. `replaced`: the task's load took the place of what is
    missing.
    """
    async with connection.transaction():
        await connection.execute(lanes.LOCK, task.datasource_name)
        p = Parameters()
        condition = held(p, task.task_id, task.status, owner)
        # The condition is ours, its values are parameters.
        mine = f"SELECT 1 FROM ingestion_tasks WHERE {condition} FOR UPDATE"  # noqa: S608
        if await connection.fetchrow(mine, *p) is None:
            return Outcome.FENCED
        news = await _still_true(connection, task.datasource_name, task.task_id, counted)
        if news is None:
            return Outcome.OUTDATED
        await _lock(connection, news)
        sql, parameters = write
        if await connection.fetchrow(sql, *parameters) is None:
            return Outcome.FENCED
        await _set(connection, task.datasource_name, news)
        if replaced:
            await _add_replaced(connection, task.task_id, counted)
    return Outcome.WRITTEN


async def note(connection: Connection, task: Task, counted: Recount) -> bool:
    """Writes the load states that follow from a count that `task` made, without a transition. False
    where some of it may be outdated: then nothing is written."""
    async with connection.transaction():
        await connection.execute(lanes.LOCK, task.datasource_name)
        news = await _still_true(connection, task.datasource_name, task.task_id, counted)
        if news is None or len(news) < len(counted.loads):
            return False
        await _lock(connection, news)
        await _set(connection, task.datasource_name, news)
    return True


async def _still_true(
    connection: Connection, datasource: str, task_id: str, counted: Recount
) -> list[Counted] | None:
    """What is to be written; None where a replace or an undo ended after the count had begun. Loads
    that another one may be hiding at the moment are left to it.
    """
    if not counted.loads:
        return []
    rows = await connection.fetch(_OTHERS, datasource, task_id, counted.since)
    others = [_Other(**row) for row in rows if row["start_millis"] is not None]
    ended = [each for each in others if not each.goes_on]
    if any(other.reaches(each.load) for each in counted.loads for other in ended):
        return None
    hiding = [each for each in others if each.goes_on]
    news = (each for each in counted.loads if each.is_news)
    return [each for each in news if not any(other.reaches(each.load) for other in hiding)]


@dataclass(frozen=True)
class _Other:
    """A replace, or the undo of one, that goes on or has ended."""

    goes_on: bool
    start_millis: int
    end_millis: int

    def reaches(self, load: OtherLoad) -> bool:
        """Whether it may change what queries see of the load."""
        return load.start_millis < self.end_millis and load.end_millis > self.start_millis


async def _lock(connection: Connection, news: Sequence[Counted]) -> None:
    # In one order over all of them, so that no two transactions wait for each other.
    for ids in _batches(sorted(each.load.task_id for each in news)):
        await connection.execute(_LOCK_ROWS, ids)


async def _set(connection: Connection, datasource: str, news: Sequence[Counted]) -> None:
    for some in _batches(news):
        ids, states = [each.load.task_id for each in some], [each.load_state for each in some]
        await connection.execute(_SET, ids, states, [each.message(datasource) for each in some])


async def _add_replaced(connection: Connection, task_id: str, counted: Recount) -> None:
    """Notes that the load took the place of the segments that loads with missing rows have in its
    chunks."""
    for ids in _batches([each.load.task_id for each in counted.loads if each.missing]):
        await connection.execute(_ADD_REPLACED, task_id, ids)


def _batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), LOADS_AT_ONCE):
        yield items[start : start + LOADS_AT_ONCE]
