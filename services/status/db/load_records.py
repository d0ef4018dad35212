"""Plans, segments and load states of loads, and the decision whether a load can be reverted.

Reverting a replace and loading into the chunks that it would uncover exclude each other. Both are
decided under one lock of the datasource (lanes.LOCK), which a transaction holds.
"""

from collections.abc import Iterable, Sequence

import asyncpg

from services.status.db import lanes, load_states
from services.status.db.database import Connection, Database
from services.status.db.store import Parameters, append, held, transition, update
from services.status.tasks import problems
from services.status.tasks.load_states import OtherLoad, Outcome, Recount, Touched
from services.status.tasks.loads import NewerLoad, Role, StoredPlan
from services.status.tasks.machine import Move, State
from services.status.tasks.task import Owner, Task
from sluice.common.v1.errors_pb2 import Problem
from sluice.druid.v1.druid_pb2 import Interval, Segment

HISTORY = 50
"""Newest loads of a similar size from which the rows per second are estimated."""

ENOUGH_HISTORY = 3

_ADD = """
INSERT INTO load_segments (task_id, role, segment_id, start_millis, end_millis)
SELECT $1::varchar, $2::varchar, s.* FROM unnest($3::text[], $4::bigint[], $5::bigint[]) s
WHERE EXISTS (SELECT FROM ingestion_tasks WHERE task_id = $1::varchar AND attempt = $6 AND worker = $7)
ON CONFLICT DO NOTHING
"""

# Without segments of reverted or failed loads, and without the load's own, which a repeated plan
# may have included.
_RESTORABLE = """
SELECT segment_id FROM load_segments r WHERE task_id = $1 AND role = 'REPLACED' AND NOT EXISTS (
    SELECT FROM load_segments o JOIN ingestion_tasks t USING (task_id)
    WHERE o.role = 'OWN' AND o.segment_id = r.segment_id
        AND (t.task_id = $1 OR t.load_state IS NULL OR t.load_state IN ('REVERTING', 'REVERTED')))
"""

_UNDONE_SINCE = """
SELECT o.segment_id
FROM ingestion_tasks mine JOIN ingestion_tasks t ON t.datasource_name = mine.datasource_name
        AND t.task_id <> mine.task_id AND t.updated_at >= mine.created_at
        AND (t.load_state IS NULL OR t.load_state IN ('REVERTING', 'REVERTED'))
    JOIN load_segments o ON o.task_id = t.task_id AND o.role = 'OWN'
WHERE mine.task_id = $1 AND mine.load_mode <> 'APPEND'
"""

# Loads that hide rows of this one. A segment that Druid or an operator rewrote before it was
# replaced belongs to no load in the records, and may have rows of this one, which would come back
# with it. Of a PARTLY_REPLACED load, its own segments can be removed; others may have rows of other
# loads.
_HIDING = """
SELECT DISTINCT t.task_id, t.original_filename, t.created_at
FROM ingestion_tasks mine
    JOIN ingestion_tasks t ON t.datasource_name = mine.datasource_name AND t.task_id <> mine.task_id
        AND t.load_state IN ('LIVE', 'PARTLY_REPLACED', 'REPLACED', 'REVERTING')
    JOIN load_segments theirs ON theirs.task_id = t.task_id AND theirs.role = 'REPLACED'
WHERE mine.task_id = $1 AND (
    mine.load_state = 'REPLACED' AND EXISTS (
        SELECT FROM load_segments own
        WHERE own.task_id = mine.task_id AND own.role = 'OWN' AND own.segment_id = theirs.segment_id)
    OR t.completed_at > mine.completed_at
        AND theirs.start_millis < mine.interval_end_millis
        AND theirs.end_millis > mine.interval_start_millis
        AND NOT EXISTS (
            SELECT FROM load_segments own
            WHERE own.segment_id = theirs.segment_id AND own.role = 'OWN'))
ORDER BY t.created_at
"""

# Running loads and reverts that replace rows of this one, or whose rows its revert would remove. What
# a revert restores is decided when it starts, and these loads may still fail.
_ON_THE_WAY = """
SELECT t.task_id, t.original_filename
FROM ingestion_tasks mine JOIN ingestion_tasks t USING (datasource_name)
WHERE mine.task_id = $1 AND t.task_id <> $1 AND (t.in_lane OR t.load_state = 'REVERTING')
    AND (mine.load_mode <> 'APPEND' OR t.load_mode <> 'APPEND')
    AND (t.interval_start_millis IS NULL OR t.interval_start_millis < mine.interval_end_millis
        AND t.interval_end_millis > mine.interval_start_millis)
ORDER BY t.created_at
"""

_ON_TOP = """
SELECT t.task_id, t.original_filename
FROM ingestion_tasks mine JOIN ingestion_tasks t USING (datasource_name)
WHERE mine.task_id = $1 AND t.task_id <> $1
    AND t.load_state IN ('LIVE', 'PARTLY_REPLACED', 'REVERTING')
    AND t.completed_at > mine.completed_at AND EXISTS (
        SELECT FROM load_segments m JOIN load_segments o
            ON o.start_millis < m.end_millis AND o.end_millis > m.start_millis
        WHERE m.task_id = $1 AND m.role = 'OWN' AND o.task_id = t.task_id AND o.role = 'OWN')
ORDER BY t.created_at
"""


_WAKE = ", pg_notify('sluice_due', '')"


_PLAN = """
INSERT INTO load_plans (task_id, plan_hash, plan) SELECT $1::varchar, $2, $3 WHERE EXISTS (
    SELECT FROM ingestion_tasks WHERE task_id = $1::varchar AND {condition})
ON CONFLICT (task_id) DO UPDATE SET plan_hash = excluded.plan_hash, plan = excluded.plan, created_at = excluded.created_at
"""


# Without druid_gateway's fixed time per load. Only similar sizes: small loads do not predict large
# ones.
_RATE = f"""
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY row_count / greatest(seconds - 1.5, 0.1)) AS rate, count(*) AS loads
FROM (SELECT t.row_count, sum(extract(epoch FROM r.ended_at - r.started_at))::float8 AS seconds
    FROM (SELECT task_id, row_count FROM ingestion_tasks
        WHERE status = 'SUCCEEDED' AND row_count BETWEEN $1::bigint / 4 AND $1::bigint * 4 ORDER BY completed_at DESC LIMIT {HISTORY}) t
    JOIN stage_runs r USING (task_id) WHERE r.state IN ('INGESTING', 'VERIFYING') AND r.outcome = 'MOVED' GROUP BY t.task_id, t.row_count) l
"""  # noqa: S608 - a number of ours


class LoadRecords:
    """Implements ports.LoadRecords. `patience_s` as in store.Store."""

    def __init__(self, database: Database, patience_s: float) -> None:
        self._database = database
        self._patience_s = patience_s

    async def add(self, owner: Owner, role: Role, segments: Iterable[Segment]) -> None:
        """Stores segments of the leased task's load. Does nothing if the lease is lost."""
        rows = [
            (each.id, each.interval.start_millis, each.interval.end_millis) for each in segments
        ]
        if rows:
            ids, starts, ends = zip(*rows, strict=True)
            await self._fetch(
                _ADD, owner.task_id, role, ids, starts, ends, owner.attempt, owner.worker
            )

    async def keep_plan(self, owner: Owner, plan: StoredPlan) -> None:
        """Stores the plan of the leased task. Does nothing if the lease is lost."""
        sql = _PLAN.format(condition="attempt = $4 AND worker = $5")
        await self._fetch(
            sql, owner.task_id, plan.plan_hash, plan.plan, owner.attempt, owner.worker
        )

    async def renew_plan(self, task_id: str, plan: StoredPlan) -> None:
        """Replaces the plan of a PLANNED task. Does nothing in other states."""
        await self._fetch(
            _PLAN.format(condition="status = 'PLANNED'"), task_id, plan.plan_hash, plan.plan
        )

    async def plan(self, task_id: str) -> StoredPlan | None:
        """Returns the plan of a task, or None."""
        rows = await self._fetch(
            "SELECT plan_hash, plan, created_at FROM load_plans WHERE task_id = $1", task_id
        )
        return StoredPlan(**rows[0]) if rows else None

    async def rows_per_second(self, rows: int) -> float:
        """Returns the median rows per second of the newest loads of a similar number of rows; 0
        with fewer than ENOUGH_HISTORY loads.
        """
        [row] = await self._fetch(_RATE, rows)
        return float(row["rate"]) if row["loads"] >= ENOUGH_HISTORY else 0.0

    async def own(self, task_id: str) -> list[str]:
        """Returns the ids of the load's segments."""
        return [segment.id for segment in await self.own_segments(task_id)]

    async def own_segments(self, task_id: str) -> list[Segment]:
        """Returns the load's segments, ordered by time."""
        sql = """SELECT segment_id, start_millis, end_millis FROM load_segments WHERE task_id = $1 AND role = 'OWN'
            ORDER BY start_millis, segment_id"""
        return [
            Segment(
                id=row["segment_id"],
                interval=Interval(start_millis=row["start_millis"], end_millis=row["end_millis"]),
            )
            for row in await self._fetch(sql, task_id)
        ]

    async def restorable(self, task_id: str) -> list[str]:
        """Returns the segments to restore when the load is removed."""
        return [row["segment_id"] for row in await self._fetch(_RESTORABLE, task_id)]

    async def undone_since(self, task_id: str) -> list[str]:
        """Returns the segments of loads of the datasource that were reverted or failed since the
        task was created: they are not restored with what its load replaced.
        """
        return [row["segment_id"] for row in await self._fetch(_UNDONE_SINCE, task_id)]

    async def touched(self, task_id: str) -> Touched:
        """Returns where a load may change what queries see of others: its interval, its segments
        and those it replaced, abandoned attempts included.
        """
        [row] = await self._fetch(load_states.TOUCHED, task_id)
        return Touched(row["since"], row["start_millis"], row["end_millis"])

    async def others(
        self, task: Task, where: Touched, states: Sequence[str], after: OtherLoad | None
    ) -> list[OtherLoad]:
        """Returns up to LOADS_AT_ONCE other loads of the datasource that may have rows there,
        ordered by time, starting after `after`.
        """
        last = (after.start_millis, after.task_id) if after else (-(2**63), "")
        bounds = (where.start_millis, where.end_millis)
        rows = await self._fetch(
            load_states.PAGE, task.datasource_name, task.task_id, list(states), *bounds, *last
        )
        return [OtherLoad(**row) for row in rows]

    async def end(self, task: Task, owner: Owner, move: Move, counted: Recount) -> Outcome:
        """Makes the transition and writes the counts of other loads, all or nothing."""
        write = transition(task.task_id, task.status, move, owner)
        replaced = move.to is State.SUCCEEDED
        return await self._database.run(
            lambda connection: load_states.end(
                connection, task, owner, counted, write, replaced=replaced
            ),
            self._patience_s,
        )

    async def record_counts(self, task: Task, counted: Recount) -> bool:
        """Writes the task's counts of other loads. Returns False and writes nothing if they may be
        outdated."""
        return await self._database.run(
            lambda connection: load_states.record(connection, task, counted), self._patience_s
        )

    async def begin_undo(self, task: Task, message: str) -> list[NewerLoad]:
        """Starts the revert of a SUCCEEDED task, unless it is REVERTING or REVERTED. If newer loads
        prevent it, changes nothing and returns them.
        """
        p = Parameters()
        sets = [
            "undone_from = load_state",
            "load_state = 'REVERTING'",
            f"message = {p(message)}",
            "next_run_at = clock_timestamp()",
            "stage_started_at = clock_timestamp()",
            "stage_attempts = 0",
            "stage_waits = 0",
            "stage_takeovers = 0",
        ]
        where = f"{held(p, task.task_id, State.SUCCEEDED, None)} AND load_state NOT IN ('REVERTING', 'REVERTED')"
        event = append(p, "LOAD_STATE", message, also=_WAKE)
        begin = f"{update(sets, where)} {event}"

        async def work(connection: Connection) -> list[NewerLoad]:
            async with connection.transaction():
                await connection.execute(lanes.LOCK, task.datasource_name)
                row = await connection.fetchrow(
                    "SELECT load_state, load_mode FROM ingestion_tasks WHERE task_id = $1",
                    task.task_id,
                )
                if row is None or row["load_state"] in (None, "REVERTING", "REVERTED"):
                    return []
                newer = await connection.fetch(_ON_THE_WAY, task.task_id)
                if row["load_state"] != "LIVE" and not newer:
                    newer = await connection.fetch(_HIDING, task.task_id)
                if row["load_mode"] != "APPEND" and not newer:
                    newer = await connection.fetch(_ON_TOP, task.task_id)
                if newer:
                    return [NewerLoad(each["task_id"], each["original_filename"]) for each in newer]
                await connection.execute(begin, *p)
                return []

        return await self._database.run(work, self._patience_s)

    async def end_undo(
        self,
        task: Task,
        owner: Owner,
        load_state: str,
        message: str,
        counted: Recount,
        problem: Problem | None = None,
    ) -> Outcome:
        """Ends a revert with a load state and writes the counts of other loads, all or nothing."""
        p = Parameters()
        message = problems.clean(message)
        sets = [
            f"load_state = {p(load_state)}",
            f"message = {p(message)}",
            "next_run_at = NULL",
            "worker = NULL",
            "lease_until = NULL",
        ]
        where = f"{held(p, owner.task_id, State.SUCCEEDED, owner)} AND load_state = 'REVERTING'"
        event = append(p, "LOAD_STATE", message, None, problem, _WAKE)
        write = (f"{update(sets, where)} {event}", p)
        return await self._database.run(
            lambda connection: load_states.end(connection, task, owner, counted, write),
            self._patience_s,
        )

    async def _fetch(self, sql: str, *parameters: object) -> list[asyncpg.Record]:
        return await self._database.fetch(sql, *parameters, patience_s=self._patience_s)
