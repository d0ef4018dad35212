"""The stage runs of a task, and statistics over all tasks of the last hours."""

from datetime import timedelta
from time import monotonic
from typing import Any

from services.common import errors
from services.status.db.database import Connection, Database
from services.status.tasks import problems
from services.status.tasks.machine import STAGE_OF, State
from services.status.tasks.messages import state_value, time_stamp
from sluice.status.v1 import status_pb2

FRESH_S = 5.0
"""Seconds for which statistics are cached."""

TOP_ERRORS = 10
HOURLY_UP_TO = 48
"""Longest period in hours with hourly buckets; longer ones have daily buckets."""

_WORKED: dict[State, str] = {
    state: stage for state, stage in STAGE_OF.items() if state is not State.PLANNED
}
"""The stages with statistics: not PLANNED, which waits for a person."""

_BUCKETS = """
SELECT start, count(t.task_id) AS tasks,
    count(*) FILTER (WHERE status = 'SUCCEEDED') AS succeeded,
    count(*) FILTER (WHERE status = 'REJECTED') AS rejected,
    count(*) FILTER (WHERE status IN ('FAILED', 'TIMEOUT')) AS failed,
    coalesce(sum(row_count) FILTER (WHERE status = 'SUCCEEDED'), 0)::bigint AS rows,
    coalesce(sum(file_size), 0)::bigint AS bytes
FROM generate_series(date_trunc($2, now() - $1::interval), now(), $3::interval) AS start
LEFT JOIN ingestion_tasks t ON t.created_at >= start AND t.created_at < start + $3::interval
GROUP BY start ORDER BY start
"""

_STAGES = """
SELECT state, percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS p50, percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds) AS p95
FROM (SELECT e.state,
        extract(epoch FROM lead(e.created_at) OVER (PARTITION BY e.task_id ORDER BY e.sequence) - e.created_at)::float8 AS seconds
    FROM task_events e JOIN ingestion_tasks t USING (task_id) WHERE e.kind = 'STATE' AND t.created_at >= now() - $1::interval) AS stages
WHERE seconds IS NOT NULL GROUP BY state
"""

_ERRORS = """
SELECT problem ->> 'code' AS code, count(*) AS count FROM ingestion_tasks
WHERE created_at >= now() - $1::interval AND completed_at IS NOT NULL AND problem IS NOT NULL
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT $2
"""

_QUEUE = """
SELECT count(*) FILTER (WHERE worker IS NULL AND next_run_at <= now()) AS waiting, count(*) FILTER (WHERE worker IS NOT NULL) AS running
FROM ingestion_tasks WHERE next_run_at IS NOT NULL
"""

_RUNS = "SELECT * FROM stage_runs WHERE task_id = $1 ORDER BY started_at, attempt"


class History:
    """History of tasks. `patience_s` as in store.Store."""

    def __init__(self, database: Database, patience_s: float) -> None:
        self._database = database
        self._patience_s = patience_s
        self._cached: dict[int, tuple[float, status_pb2.GetStatisticsResponse]] = {}

    async def runs(self, task_id: str) -> list[status_pb2.StageRun]:
        """Returns the runs of the task's stages, in order.

        Raises:
            SluiceError: TASK_NOT_FOUND, DATABASE_UNAVAILABLE.
        """
        rows = await self._database.fetch(_RUNS, task_id, patience_s=self._patience_s)
        exists = "SELECT true FROM ingestion_tasks WHERE task_id = $1"
        if not rows and not await self._database.fetchval(
            exists, task_id, patience_s=self._patience_s
        ):
            raise problems.task_not_found(task_id)
        return [_run(dict(row)) for row in rows]

    async def statistics(self, hours: int) -> status_pb2.GetStatisticsResponse:
        """Returns the statistics of the last `hours` hours, at most FRESH_S old.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE.
        """
        read_at, statistics = self._cached.get(hours, (-FRESH_S, None))
        if statistics is None or monotonic() - read_at > FRESH_S:
            statistics = await self._database.run(
                lambda connection: _statistics(connection, hours), self._patience_s
            )
            self._cached[hours] = (monotonic(), statistics)
        return statistics


def _run(row: dict[str, Any]) -> status_pb2.StageRun:
    return status_pb2.StageRun(
        stage=STAGE_OF.get(State(row["state"]), "validate"),
        state=state_value(State(row["state"])),
        attempt=row["attempt"],
        worker=row["worker"],
        start_time=time_stamp(row["started_at"]),
        end_time=time_stamp(row["ended_at"]),
        outcome=status_pb2.StageOutcome.Value(f"STAGE_OUTCOME_{row['outcome'] or 'UNSPECIFIED'}"),
        message=row["message"],
        problem=problems.from_json(row["problem"]) if row["problem"] else None,
    )


async def _statistics(connection: Connection, hours: int) -> status_pb2.GetStatisticsResponse:
    since = timedelta(hours=hours)
    unit, step = (
        ("hour", timedelta(hours=1)) if hours <= HOURLY_UP_TO else ("day", timedelta(days=1))
    )
    buckets = [
        status_pb2.StatisticsBucket(
            start_time=time_stamp(row["start"]),
            **{
                name: row[name]
                for name in ("tasks", "succeeded", "rejected", "failed", "rows", "bytes")
            },
        )
        for row in await connection.fetch(_BUCKETS, since, unit, step)
    ]
    stages = {
        _WORKED[State(row["state"])]: row
        for row in await connection.fetch(_STAGES, since)
        if State(row["state"]) in _WORKED
    }
    queue = await connection.fetchrow(_QUEUE)
    return status_pb2.GetStatisticsResponse(
        hours=hours,
        buckets=buckets,
        stages=[
            status_pb2.StageStatistics(
                stage=stage, p50_seconds=stages[stage]["p50"], p95_seconds=stages[stage]["p95"]
            )
            for stage in _WORKED.values()
            if stage in stages
        ],
        top_errors=[
            status_pb2.ErrorCount(code=errors.reason_of(row["code"]), count=row["count"])
            for row in await connection.fetch(_ERRORS, since, TOP_ERRORS)
        ],
        waiting=queue["waiting"] if queue else 0,
        running=queue["running"] if queue else 0,
    )
