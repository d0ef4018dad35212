"""The stored files of ended tasks: retry as a new task, and deletion.

Retries of a task share one uploaded object. Starting to use an object and requesting its deletion
take the same lock, so an object that a task needs is never deleted.
"""

import uuid
from dataclasses import dataclass
from datetime import timedelta

from services.common import errors, logs, trace
from services.common.errors import SluiceError
from services.status.db import store
from services.status.db.database import Connection, Database
from services.status.ports import Files
from services.status.tasks import problems
from services.status.tasks.machine import TERMINAL, Move, State
from services.status.tasks.task import NewTask, Task
from sluice.common.v1.errors_pb2 import ErrorReason

BATCH = 100
"""Maximum number of tasks per round of deletions."""

_LOCK = "SELECT pg_advisory_xact_lock(7303016, hashtext($1))"


@dataclass(frozen=True)
class RetryRequest:
    """A request to load a stored file in a new task. None: as in the first task."""

    request_id: str = ""
    options: bytes | None = None
    allow_duplicate: bool | None = None
    client: str = ""


class StoredFiles:
    """Implements ports.StoredFiles. `patience_s` as in store.Store."""

    def __init__(self, database: Database, files: Files, patience_s: float) -> None:
        self._database = database
        self._files = files
        self._patience_s = patience_s

    async def retry(self, task_id: str, retry: RetryRequest) -> tuple[str, bool]:
        """Creates a task for the stored file. Returns its id and whether this call created it: a
        repeated request, or a retry identical to a running one, returns the existing task.

        Raises:
            SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, FILE_NOT_STORED, REQUEST_ID_REUSED,
            DATABASE_UNAVAILABLE.
        """

        async def work(connection: Connection) -> tuple[str, bool]:
            async with connection.transaction():
                task = await _locked(connection, task_id)
                new = _new_task(task, retry)
                if found := await _existing(connection, task, new, retry):
                    return found, False
                if task.status not in TERMINAL:
                    raise problems.conflict(task, "has not ended and cannot be retried")
                if task.files_delete_requested_at or all(
                    state is not State.UPLOADED for state, _ in task.entered
                ):
                    message = (
                        "The file of the task was deleted."
                        if task.files_delete_requested_at
                        else "The upload of the file was not completed."
                    )
                    raise errors.error(
                        ErrorReason.ERROR_REASON_FILE_NOT_STORED, message, value=task_id
                    )
                sql, parameters = store.creation(
                    new, f"Retries task {task.task_id} with its stored file."
                )
                await connection.fetchrow(sql, *parameters)
                columns = {"received_size": task.file_size}
                move = Move(
                    State.UPLOADED, "The file is complete and waits to be checked.", columns=columns
                )
                sql, parameters = store.transition(new.task_id, State.PENDING, move, None)
                await connection.fetchrow(sql, *parameters)
                return new.task_id, True

        return await self._database.run(work, self._patience_s)

    async def delete(self, task_id: str) -> None:
        """Deletes the task's files, now or, if a store is unavailable, by a later
        `delete_requested`. Idempotent.

        Raises:
            SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, DATABASE_UNAVAILABLE.
        """

        async def request(connection: Connection) -> bool:
            async with connection.transaction():
                task = await _locked(connection, task_id)
                if task.status not in TERMINAL:
                    raise problems.conflict(task, "still needs its file")
                users = "SELECT task_id FROM ingestion_tasks WHERE file_uri = $1 AND completed_at IS NULL LIMIT 1"
                if user := await connection.fetchval(users, task.file_uri):
                    raise errors.error(
                        ErrorReason.ERROR_REASON_STATE_CONFLICT,
                        f"Task {user} still needs the file.",
                        value=user,
                    )
                done = """UPDATE ingestion_tasks SET updated_at = clock_timestamp(),
                    files_delete_requested_at = coalesce(files_delete_requested_at, clock_timestamp())
                    WHERE task_id = $1 RETURNING files_deleted_at IS NOT NULL"""
                return bool(await connection.fetchval(done, task.task_id))

        if not await self._database.run(request, self._patience_s):
            await self._remove(task_id)

    async def request_older(self, age_s: float) -> int:
        """Deletes the files of tasks that ended at least `age_s` seconds ago. Returns the number of
        these tasks, at most BATCH.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE.
        """
        sql = """SELECT task_id FROM ingestion_tasks t
            WHERE completed_at < now() - $1::interval AND files_delete_requested_at IS NULL
                AND NOT EXISTS (SELECT FROM ingestion_tasks u WHERE u.file_uri = t.file_uri AND u.completed_at IS NULL)
            ORDER BY completed_at LIMIT $2"""
        found = await self._ids(sql, timedelta(seconds=age_s), BATCH)
        for task_id in found:
            try:
                await self.delete(task_id)
            except SluiceError as failure:
                # A retry may have started meanwhile.
                if failure.reason != ErrorReason.ERROR_REASON_STATE_CONFLICT:
                    raise
        return len(found)

    async def delete_requested(self) -> int:
        """Retries requested deletions. Returns the number of tasks, at most BATCH.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE.
        """
        sql = """SELECT task_id FROM ingestion_tasks
            WHERE files_delete_requested_at < now() - interval '10 s' AND files_deleted_at IS NULL
            ORDER BY files_delete_requested_at LIMIT $1"""
        found = await self._ids(sql, BATCH)
        for task_id in found:
            await self._remove(task_id)
        return len(found)

    async def _remove(self, task_id: str) -> None:
        shared = """SELECT EXISTS (SELECT FROM ingestion_tasks t JOIN ingestion_tasks u USING (file_uri)
            WHERE t.task_id = $1 AND u.files_delete_requested_at IS NULL)"""
        done = "UPDATE ingestion_tasks SET files_deleted_at = clock_timestamp() WHERE task_id = $1 AND files_deleted_at IS NULL"

        try:
            await self._files.delete_results(task_id)
            if not await self._database.fetchval(shared, task_id, patience_s=self._patience_s):
                await self._files.delete_upload(task_id)
            await self._database.execute(done, task_id, patience_s=self._patience_s)
            logs.get().info("files.deleted", task_id=task_id)
        except SluiceError as failure:
            logs.get().warning(
                "files.delete_postponed",
                task_id=task_id,
                code=failure.code,
                reason=failure.problem.message,
            )

    async def _ids(self, sql: str, *parameters: object) -> list[str]:
        rows = await self._database.fetch(sql, *parameters, patience_s=self._patience_s)
        return [row["task_id"] for row in rows]


async def _locked(connection: Connection, task_id: str) -> Task:
    """Locks the task's file against use and deletion by others, and returns the task.

    Raises:
        SluiceError: TASK_NOT_FOUND.
    """
    uri = await connection.fetchval(
        "SELECT file_uri FROM ingestion_tasks WHERE task_id = $1", task_id
    )
    if uri is None:
        raise problems.task_not_found(task_id)
    await connection.execute(_LOCK, uri)
    row = await connection.fetchrow(f"{store.TASK} WHERE t.task_id = $1", task_id)
    if row is None:
        raise RuntimeError("tasks are never deleted")
    return store.task_of(row)


async def _existing(connection: Connection, task: Task, new: NewTask, retry: RetryRequest) -> str:
    if retry.request_id:
        row = await connection.fetchrow(
            "SELECT task_id, retry_of, options, allow_duplicate FROM ingestion_tasks WHERE request_id = $1",
            retry.request_id,
        )
        if row is None:
            return ""
        if (row["retry_of"], row["options"], row["allow_duplicate"]) == (
            new.retry_of,
            new.options,
            new.allow_duplicate,
        ):
            return str(row["task_id"])
        raise errors.error(
            ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
            f"The request id was used for another request, task {row['task_id']}.",
            column="request_id",
            value=retry.request_id,
        )
    running = """SELECT task_id FROM ingestion_tasks
        WHERE retry_of = $1 AND retry_of <> '' AND completed_at IS NULL AND options = $2 AND allow_duplicate = $3
        ORDER BY created_at LIMIT 1"""
    return str(
        await connection.fetchval(running, task.task_id, new.options, new.allow_duplicate) or ""
    )


def _new_task(task: Task, retry: RetryRequest) -> NewTask:
    task_id = str(uuid.uuid4())
    return NewTask(
        task_id=task_id,
        request_id=retry.request_id or f"retry {task_id}",
        datasource_name=task.datasource_name,
        original_filename=task.original_filename,
        file_uri=task.file_uri,
        file_size=task.file_size,
        sha256=task.sha256,
        upload_mode=task.upload_mode,
        load_mode=task.load_mode,
        plan_first=task.plan_first,
        replace_start_millis=task.replace_start_millis,
        replace_end_millis=task.replace_end_millis,
        allow_duplicate=task.allow_duplicate
        if retry.allow_duplicate is None
        else retry.allow_duplicate,
        trace_id=trace.current(),
        client=retry.client or task.client,
        options=task.options if retry.options is None else retry.options,
        retry_of=task.task_id,
    )
