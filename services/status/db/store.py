"""The statements on `ingestion_tasks` and `task_events`, except for leases (leases.py).

A write is one statement: it changes the row, takes the next sequence number under the row's lock
and appends the event. Its WHERE has the state that it starts from and, in the pipeline, the fencing
token. If the row has moved on, it changes nothing and the method returns False. All times are the
database's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

import asyncpg

from services.status.db import lanes
from services.status.db.database import Connection, Database
from services.status.tasks import problems
from services.status.tasks.machine import LOADED, TERMINAL, Move, State, check, is_worked_on
from services.status.tasks.pages import EVENTS_PAGE, Filter
from services.status.tasks.task import Event, NewTask, Owner, Progress, Task
from sluice.common.v1.errors_pb2 import Problem

TASK = """
SELECT t.*, clock_timestamp() AS now, extract(epoch FROM clock_timestamp() - t.stage_started_at)::float8 AS stage_seconds,
    (SELECT jsonb_agg(jsonb_build_array(e.state, e.created_at) ORDER BY e.sequence)
     FROM task_events e WHERE e.task_id = t.task_id AND e.kind = 'STATE') AS entered
FROM ingestion_tasks t
"""

_APPEND = """
SELECT append_task_event(task_id, last_sequence, {kind}, status, {message}, attempt, {progress}::jsonb, {problem}::jsonb) AS position
    {also}
FROM changed
"""


class Parameters(list[Any]):
    """The values of a statement, numbered from 1."""

    def __call__(self, value: object) -> str:
        """Appends a value and returns its placeholder, such as $3."""
        self.append(value)
        return f"${len(self)}"


class Store:
    """Implements ports.Store. `patience_s`: seconds for which a call retries while PostgreSQL is
    unavailable before it raises DATABASE_UNAVAILABLE.
    """

    def __init__(self, database: Database, patience_s: float) -> None:
        self._database = database
        self._patience_s = patience_s

    async def create(self, new: NewTask) -> bool:
        """Creates a PENDING task with its first event. Returns False if its request_id or task_id
        exists.
        """
        sql, parameters = creation(new, _RECEIVING)
        return await self._changed(sql, parameters)

    async def free_request(self, task: Task) -> None:
        """Frees the request id of an ended task for another one, by appending a space and the task's
        id. No client's request id has a space.
        """
        sql = "UPDATE ingestion_tasks SET request_id = request_id || ' ' || task_id WHERE task_id = $1 AND request_id = $2"
        await self._fetch(sql, [task.task_id, task.request_id])

    async def get(self, task_id: str) -> Task | None:
        """Returns the task, or None."""
        return (await self.get_all([task_id])).get(task_id)

    async def get_all(self, task_ids: Sequence[str]) -> dict[str, Task]:
        """Returns the tasks that exist, by id."""
        if len(task_ids) == 1:
            # PostgreSQL caches the plan of this statement. It plans the other one in every call,
            # which is most of the cost of reading one task.
            rows = await self._fetch(f"{TASK} WHERE t.task_id = $1", task_ids)
        else:
            rows = await self._fetch(f"{TASK} WHERE t.task_id = ANY($1::text[])", [list(task_ids)])
        return {row["task_id"]: task_of(row) for row in rows}

    async def by_request(self, request_id: str) -> Task | None:
        """Returns the task that the request created, or None."""
        rows = await self._fetch(f"{TASK} WHERE t.request_id = $1", [request_id])
        return task_of(rows[0]) if rows else None

    async def owned(self, owner: Owner) -> Task | None:
        """Returns the task, or None if the lease is lost or the task has ended."""
        sql = f"{TASK} WHERE t.task_id = $1 AND t.attempt = $2 AND t.worker = $3"
        rows = await self._fetch(sql, [owner.task_id, owner.attempt, owner.worker])
        return task_of(rows[0]) if rows else None

    async def page(self, wanted: Filter, limit: int) -> list[Task]:
        """Returns at most `limit` tasks, newest first."""
        p = Parameters()
        searched = "concat_ws(chr(10), t.original_filename, t.datasource_name, t.message, t.client)"
        filters: list[tuple[str, object]] = [
            ("t.datasource_name = {0}", wanted.datasource),
            ("t.status = ANY({0}::text[])", list(wanted.states)),
            ("t.updated_at < now() - make_interval(secs => {0})", wanted.idle_s),
            ("t.stage_started_at < now() - make_interval(secs => {0})", wanted.stage_older_s),
            (f"(t.task_id = {{0}} OR strpos(lower({searched}), {{0}}) > 0)", wanted.text.lower()),
            ("t.created_at >= {0}", wanted.since),
            ("t.created_at < {0}", wanted.until),
        ]
        conditions = ["true", *(sql.format(p(value)) for sql, value in filters if value)]
        if wanted.before:
            conditions.append(
                f"(t.created_at, t.task_id) < ({p(wanted.before[0])}, {p(wanted.before[1])})"
            )
        order = (
            f"ORDER BY t.created_at DESC, t.task_id DESC LIMIT {p(limit)} OFFSET {p(wanted.skip)}"
        )
        return [
            task_of(row)
            for row in await self._fetch(f"{TASK} WHERE {' AND '.join(conditions)} {order}", p)
        ]

    async def begin_receiving(
        self, task_id: str, received_size: int, multipart_id: str, writer: str
    ) -> bool:
        """Makes `writer` the current writer and records the committed size. Returns False if the
        task is not PENDING.
        """
        sql = """
            UPDATE ingestion_tasks SET upload_writer = $4, received_size = $2, multipart_id = $3, updated_at = clock_timestamp()
            WHERE task_id = $1 AND status = 'PENDING' RETURNING 1"""
        return await self._changed(sql, [task_id, received_size, multipart_id, writer])

    async def receive(
        self,
        task_id: str,
        multipart_id: str,
        writer: str,
        progress: Progress,
        findings: list[dict[str, Any]],
    ) -> bool:
        """Records that an upload is alive, with an event if its size has changed. Returns False if
        the task is not PENDING or has another writer.
        """
        measured = {"done": progress.done, "total": progress.total, "unit": progress.unit}
        sql = """
            WITH changed AS (
                UPDATE ingestion_tasks t SET updated_at = clock_timestamp(), received_size = greatest(t.received_size, $2),
                    multipart_id = CASE WHEN $3 = '' THEN t.multipart_id ELSE $3 END,
                    message = CASE WHEN grew THEN $5 ELSE t.message END,
                    validation_errors = coalesce($7::jsonb, t.validation_errors),
                    last_sequence = t.last_sequence + grew::int
                FROM (SELECT task_id, received_size < $2 AS grew FROM ingestion_tasks WHERE task_id = $1 FOR UPDATE) AS before
                WHERE t.task_id = before.task_id AND t.status = 'PENDING' AND $4 IN ('', t.upload_writer)
                RETURNING t.*, grew)
            SELECT CASE WHEN grew THEN
                append_task_event(task_id, last_sequence, 'PROGRESS', status, message, attempt, $6::jsonb, NULL) END AS position
            FROM changed"""
        return await self._changed(
            sql,
            [
                task_id,
                progress.done,
                multipart_id,
                writer,
                progress.message,
                measured,
                findings or None,
            ],
        )

    async def move(
        self,
        task_id: str,
        state: State,
        move: Move,
        owner: Owner | None = None,
        writer: str | None = None,
    ) -> bool:
        """Makes a transition from `state`. Returns False if the task is in another state, the lease
        is lost, or the task has another writer than `writer` (empty: has any).

        Raises:
            TransitionError: the transition is not allowed.
        """
        sql, parameters = transition(task_id, state, move, owner, writer)
        return await self._changed(sql, parameters)

    async def move_unless_duplicate(
        self, task: Task, move: Move, owner: Owner | None
    ) -> str | None:
        """Makes a transition unless another task has loaded, or is loading, the same bytes into the
        datasource. Two tasks with the same bytes cannot pass concurrently.

        Returns the empty string after the transition, the id of the other task, or None if the
        lease is lost or the task has moved on.
        """
        sql, parameters = transition(task.task_id, task.status, move, owner)
        sha256 = move.columns.get("sha256", task.sha256)
        find = """
            SELECT task_id FROM ingestion_tasks
            WHERE datasource_name = $1 AND sha256 = $2 AND sha256 <> '' AND task_id <> $3
                AND (status IN ('INGESTING', 'VERIFYING')
                    OR status = 'SUCCEEDED' AND load_state IN ('LIVE', 'PARTLY_REPLACED', 'REVERTING'))
            ORDER BY created_at LIMIT 1"""

        async def work(connection: Connection) -> str | None:
            async with connection.transaction():
                lock = "SELECT pg_advisory_xact_lock(7303015, hashtext($1 || encode($2, 'hex')))"
                await connection.execute(lock, task.datasource_name, sha256)
                found = await connection.fetchval(find, task.datasource_name, sha256, task.task_id)
                if found is not None:
                    return str(found)
                return "" if await connection.fetchrow(sql, *parameters) else None

        return await self._database.run(work, self._patience_s)

    async def retry(
        self,
        task: Task,
        owner: Owner,
        *,
        delay_s: float,
        message: str,
        problem: Problem,
        failed: bool,
        new_load: bool,
    ) -> bool:
        """Releases the lease and makes the task due in `delay_s` seconds. `failed`: counts as a
        failure of the stage, not as a wait. `new_load`: the next worker starts a new load.
        """
        p = Parameters()
        counter = "stage_attempts" if failed else "stage_waits"
        sets = [
            "worker = NULL",
            "lease_until = NULL",
            f"next_run_at = clock_timestamp() + make_interval(secs => {p(delay_s)})",
            f"{counter} = {counter} + 1",
        ]
        if new_load:
            sets += [
                "load_attempt = NULL",
                "druid_task_id = NULL",
                "interval_start_millis = NULL",
                "interval_end_millis = NULL",
            ]
        return await self._event(owner, task.status, p, sets, "RETRY", message, problem=problem)

    async def progress(self, task: Task, owner: Owner, progress: Progress) -> bool:
        """Appends an event with the progress of the stage."""
        measured = {"done": progress.done, "total": progress.total, "unit": progress.unit}
        return await self._event(
            owner, task.status, Parameters(), [], "PROGRESS", progress.message, progress=measured
        )

    async def record(self, task: Task, owner: Owner, columns: Mapping[str, object]) -> bool:
        """Sets columns for the next worker, without an event."""
        p = Parameters()
        sets = ", ".join(f"{name} = {p(value)}" for name, value in columns.items())
        sql = f"""UPDATE ingestion_tasks SET {sets}, updated_at = clock_timestamp()
            WHERE {held(p, owner.task_id, task.status, owner)} RETURNING 1"""  # noqa: S608 - column names are ours, values are parameters
        return await self._changed(sql, p)

    async def enter_lane(self, task: Task, owner: Owner) -> bool:
        """Returns whether the task's load may start; see lanes.py."""
        return await lanes.enter(self._database, owner, task.datasource_name, self._patience_s)

    async def mark_lane_fronts(self) -> None:
        """See lanes.mark_fronts."""
        await lanes.mark_fronts(self._database, self._patience_s)

    async def events(self, task_id: str, from_sequence: int) -> list[Event]:
        """Returns a page of the task's events."""
        sql = "SELECT * FROM task_events WHERE task_id = $1 AND sequence >= $2 ORDER BY sequence LIMIT $3"
        return [
            _event_of(row) for row in await self._fetch(sql, [task_id, from_sequence, EVENTS_PAGE])
        ]

    async def newer_events(self, after: Mapping[str, int]) -> list[Event]:
        """Returns the events of several tasks after a sequence number each, at most a page per
        task.
        """
        sql = """
            SELECT e.* FROM unnest($1::text[], $2::bigint[]) AS w (task_id, sequence)
            CROSS JOIN LATERAL (
                SELECT * FROM task_events WHERE task_id = w.task_id AND sequence > w.sequence ORDER BY sequence LIMIT $3) AS e
            ORDER BY e.task_id, e.sequence"""
        return [
            _event_of(row)
            for row in await self._fetch(sql, [list(after), list(after.values()), EVENTS_PAGE])
        ]

    async def events_from(self, position: int) -> list[Event]:
        """Returns a page of the events of all tasks."""
        sql = "SELECT * FROM task_events WHERE position >= $1 ORDER BY position LIMIT $2"
        return [_event_of(row) for row in await self._fetch(sql, [position, EVENTS_PAGE])]

    async def last_position(self) -> int:
        """Returns the position of the newest event, or 0."""
        sql = "SELECT coalesce(max(position), 0) AS position FROM task_events"
        return int(await self._database.fetchval(sql, patience_s=self._patience_s))

    async def _event(
        self,
        owner: Owner,
        state: State,
        p: Parameters,
        sets: list[str],
        kind: str,
        message: str,
        *,
        progress: dict[str, Any] | None = None,
        problem: Problem | None = None,
    ) -> bool:
        message = problems.clean(message)
        sets = [*sets, f"message = {p(message)}"]
        write = update(sets, held(p, owner.task_id, state, owner))
        return await self._changed(f"{write} {append(p, kind, message, progress, problem)}", p)

    async def _changed(self, sql: str, parameters: Sequence[object]) -> bool:
        return bool(await self._fetch(sql, parameters))

    async def _fetch(self, sql: str, parameters: Sequence[object]) -> list[asyncpg.Record]:
        return await self._database.fetch(sql, *parameters, patience_s=self._patience_s)


_RECEIVING = "The file is being received."


def task_of(row: asyncpg.Record) -> Task:
    """A Task from a row of TASK."""
    values = {column.name: row[column.name] for column in fields(Task)}
    values["status"] = State(values["status"])
    values["clean_target"] = State(values["clean_target"]) if values["clean_target"] else None
    values["entered"] = [
        (State(state), datetime.fromisoformat(time)) for state, time in values["entered"] or []
    ]
    return Task(**values)


def _event_of(row: asyncpg.Record) -> Event:
    values = {column.name: row[column.name] for column in fields(Event)}
    return Event(**{**values, "state": State(values["state"])})


def creation(new: NewTask, message: str) -> tuple[str, Parameters]:
    """Returns the statement that creates a PENDING task with its first event, and its values. It
    returns no row if the request id or task id exists.
    """
    p = Parameters()
    columns = ", ".join(vars(new))
    values = ", ".join(p(value) for value in vars(new).values())
    sql = f"""
        WITH changed AS (
            INSERT INTO ingestion_tasks ({columns}, message, last_sequence) VALUES ({values}, {p(message)}, 1)
            ON CONFLICT DO NOTHING RETURNING *)
        {append(p, "STATE", message)}"""  # noqa: S608 - column names are ours, values are parameters
    return sql, p


def transition(
    task_id: str,
    state: State,
    move: Move,
    owner: Owner | None,
    writer: str | None = None,
) -> tuple[str, Parameters]:
    """Returns the statement of a transition with its event, and its values. It returns no row in
    the cases in which `Store.move` returns False.

    Raises:
        TransitionError: the transition is not allowed.
    """
    check(state, move)
    p = Parameters()
    message = problems.clean(move.message)
    sets = [
        f"status = {p(move.to)}",
        f"message = {p(message)}",
        "stage_started_at = clock_timestamp()",
        "stage_attempts = 0",
        "stage_waits = 0",
        "stage_takeovers = 0",
        *(f"{name} = {p(value)}" for name, value in move.columns.items()),
    ]
    if move.problem:
        sets += [
            f"problem = {p(problems.to_json(move.problem))}",
            f"error_message = {p(problems.clean(move.problem.message))}",
        ]
    if move.to in TERMINAL:
        sets += ["completed_at = clock_timestamp()", "in_lane = false"]
    sets.append(f"next_run_at = {'clock_timestamp()' if is_worked_on(move.to) else 'NULL'}")
    handed_over = state is State.VALIDATING and move.to is State.INGESTING
    if handed_over or not is_worked_on(move.to):
        sets += ["worker = NULL", "lease_until = NULL"]
    # Wake up workers if nobody may be working on the task, if the load workers take it over, or if
    # other loads may have waited for it.
    wakes = (
        (owner is None and is_worked_on(move.to))
        or handed_over
        or (state in LOADED and move.to in TERMINAL)
    )
    also = ", pg_notify('sluice_due', '')" if wakes else ""
    if owner is None and is_worked_on(state):
        # A hint for its worker, which the next heartbeat would notify too.
        also += ", pg_notify('sluice_cancel', task_id)"
    condition = held(p, task_id, state, owner)
    if writer is not None:
        condition += f" AND upload_writer = {p(writer)}"
    write = update(sets, condition)
    return f"{write} {append(p, 'STATE', message, None, move.problem, also)}", p


def held(p: Parameters, task_id: str, state: State, owner: Owner | None) -> str:
    """Returns the condition of a write: the task is in the state and, with an owner, under its
    lease.
    """
    condition = f"task_id = {p(task_id)} AND status = {p(state)}"
    if owner:
        condition += f" AND attempt = {p(owner.attempt)} AND worker = {p(owner.worker)}"
    return condition


def update(sets: list[str], where: str) -> str:
    """Returns the SQL that changes the row and takes the next sequence number, for `append`."""
    assignments = ", ".join(
        [*sets, "updated_at = clock_timestamp()", "last_sequence = last_sequence + 1"]
    )
    return f"WITH changed AS (UPDATE ingestion_tasks SET {assignments} WHERE {where} RETURNING *)"  # noqa: S608 - ours


def append(
    p: Parameters,
    kind: str,
    message: str,
    progress: dict[str, Any] | None = None,
    problem: Problem | None = None,
    also: str = "",
) -> str:
    """Returns the SQL that appends the event of an `update`. `also`: further result columns, with a
    leading comma.
    """
    return _APPEND.format(
        kind=p(kind),
        message=p(message),
        progress=p(progress),
        problem=p(problems.to_json(problem) if problem else None),
        also=also,
    )
