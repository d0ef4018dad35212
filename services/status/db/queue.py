"""Queue positions and estimated time left. All callers share one read per second, which reads only
the head of the backlog.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from services.status.db.database import Connection, Database
from services.status.db.lanes import WAITING
from services.status.db.turns import FREE, ORDER, QUEUE
from services.status.tasks.machine import State, is_worked_on
from services.status.tasks.queues import QueuePosition, TaskQueue
from services.status.tasks.task import Task

FRESH_S = 1.0
HISTORY_FRESH_S = 15.0

HISTORY = 200
"""Newest SUCCEEDED loads from which the durations are estimated."""

MAX_POSITIONS = 1000
"""Tasks at the head of the backlog that get a position; those behind them are not counted."""

_WAITING = f"""
SELECT waiting.* FROM unnest($1::int[]) AS queues (queue) CROSS JOIN LATERAL (
    SELECT t.task_id, t.file_size, {ORDER} AS turn FROM ingestion_tasks t
    WHERE {FREE} AND {QUEUE} = queues.queue AND t.next_run_at <= now()
        AND (t.status = 'UPLOADED' OR {WAITING.format("t")})
    ORDER BY {ORDER} LIMIT $2) AS waiting
ORDER BY waiting.turn LIMIT $2
"""  # noqa: S608 - ours

_QUEUES = [int(queue) for queue in TaskQueue if queue is not TaskQueue.CLEANING]

_HISTORY = """
SELECT regr_slope(seconds, size) AS slope, regr_intercept(seconds, size) AS intercept, avg(seconds)::float8 AS mean
FROM (SELECT extract(epoch FROM completed_at - started_at)::float8 AS seconds, coalesce(file_size, 0)::float8 AS size
    FROM ingestion_tasks WHERE status = 'SUCCEEDED' ORDER BY completed_at DESC LIMIT $1) AS newest
"""


@dataclass(frozen=True)
class Pace:
    """Duration of a load: fixed seconds, and seconds for each byte of its file."""

    seconds: float
    seconds_per_byte: float

    def of(self, size: int | None) -> float:
        """Estimated seconds for a file of `size` bytes."""
        return self.seconds + self.seconds_per_byte * (size or 0)


class Queue:
    """Positions and estimates. `workers`: tasks that this process runs concurrently."""

    def __init__(self, database: Database, workers: int, patience_s: float) -> None:
        self._database = database
        self._workers = max(workers, 1)
        self._patience_s = patience_s
        self._reading = asyncio.Lock()
        self._positions: dict[str, QueuePosition] = {}
        self._read_at = -FRESH_S
        self._pace: Pace | None = None
        self._pace_at = -HISTORY_FRESH_S

    async def positions(self, tasks: Sequence[Task]) -> dict[str, QueuePosition]:
        """Returns the positions by task id, without tasks that the pipeline does not work on.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE.
        """
        running = [task for task in tasks if is_worked_on(task.status)]
        if not running:
            return {}
        async with self._reading:
            if monotonic() - self._read_at >= FRESH_S:
                await self._database.run(self._read, self._patience_s)
                self._read_at = monotonic()
        return {
            task.task_id: self._positions.get(task.task_id) or self._in_progress(task)
            for task in running
        }

    def _in_progress(self, task: Task) -> QueuePosition:
        waits = task.status is State.INGESTING and not task.in_lane
        if self._pace is None or task.started_at is None or waits or task.status is State.CLEANING:
            return QueuePosition()
        elapsed = (task.now - task.started_at).total_seconds()
        return QueuePosition(None, max(self._pace.of(task.file_size) - elapsed, 0.0))

    async def _read(self, connection: Connection) -> None:
        if monotonic() - self._pace_at >= HISTORY_FRESH_S:
            row = await connection.fetchrow(_HISTORY, HISTORY)
            self._pace = pace(row["slope"], row["intercept"], row["mean"]) if row else None
            self._pace_at = monotonic()
        ahead, positions = 0.0, {}
        for position, row in enumerate(await connection.fetch(_WAITING, _QUEUES, MAX_POSITIONS), 1):
            own = self._pace.of(row["file_size"]) if self._pace else None
            positions[row["task_id"]] = QueuePosition(
                position, None if own is None else own + ahead / self._workers
            )
            ahead += own or 0.0
        self._positions = positions


def pace(slope: float | None, intercept: float | None, mean: float | None) -> Pace | None:
    """Returns the pace by a linear regression over the history, or its mean if the slope or the
    intercept is negative or unknown. None without a history.
    """
    if mean is None:
        return None
    if slope is None or intercept is None or slope < 0 or intercept < 0:
        return Pace(mean, 0.0)
    return Pace(intercept, slope)
