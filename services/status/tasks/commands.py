"""The commands of other services on a task: create, receive, complete, end the upload, cancel. All
are idempotent.
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from services.common import errors
from services.status.ports import Store
from services.status.tasks import machine, problems
from services.status.tasks.machine import TERMINAL, Move, State
from services.status.tasks.problems import conflict
from services.status.tasks.task import NewTask, Progress, Task
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

MIB = 1024 * 1024

_TRIES = 20
"""How often a write is retried if the task moves on between read and write; more than it has
states.
"""


class Commands:
    """Reads the row, decides, and writes on the condition that the state has not changed."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(self, new: NewTask) -> tuple[Task, bool]:
        """Creates the task of a request, or finds it. Returns it and whether this call created it.

        Raises:
            SluiceError: REQUEST_ID_REUSED, REQUEST_INVALID, DATABASE_UNAVAILABLE.
        """
        for name in ("request_id", "datasource_name", "original_filename", "file_uri"):
            if "\x00" in getattr(new, name):
                raise errors.error(
                    ErrorReason.ERROR_REASON_REQUEST_INVALID,
                    f"{name} contains a NUL character.",
                    column=name,
                )
        await self._store.create(new)
        task = await self._store.by_request(new.request_id)
        if task is not None and _never_arrived(task) and not _differing(task, new):
            # A repeat of the request: receive its file again, as a new task.
            await self._store.free_request(task)
            await self._store.create(replace(new, retry_of=task.task_id))
            task = await self._store.by_request(new.request_id)
        if task is None:
            raise errors.error(
                ErrorReason.ERROR_REASON_REQUEST_INVALID,
                f"The task id {new.task_id} belongs to another request.",
                column="task_id",
                value=new.task_id,
            )
        if differing := _differing(task, new):
            raise errors.error(
                ErrorReason.ERROR_REASON_REQUEST_ID_REUSED,
                f"The request id was used with another {differing}, for task {task.task_id}.",
                column="request_id",
                value=new.request_id,
            )
        return task, task.task_id == new.task_id

    async def get(self, task_id: str) -> Task:
        """Returns the task.

        Raises:
            SluiceError: TASK_NOT_FOUND, also for malformed ids; DATABASE_UNAVAILABLE.
        """
        task = await self._store.get(canonical(task_id))
        if task is None:
            raise problems.task_not_found(task_id)
        return task

    async def begin_receiving(
        self, task_id: str, received_size: int, multipart_id: str, writer: str
    ) -> Task:
        """Makes `writer` the current writer. Reports of earlier writers are rejected from now on.

        Raises:
            SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, DATABASE_UNAVAILABLE.
        """
        begun = await self._store.begin_receiving(
            canonical(task_id), received_size, multipart_id, writer
        )
        task = await self.get(task_id)
        if not begun:
            raise conflict(task, "receives no more bytes")
        return task

    async def receive(
        self,
        task_id: str,
        received_size: int,
        multipart_id: str,
        writer: str,
        bytes_per_second: float,
        findings: Sequence[Problem] = (),
    ) -> Task:
        """Records the received size and the findings so far.

        Raises:
            SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, WRITER_REPLACED, DATABASE_UNAVAILABLE.
        """
        before = await self.get(task_id)
        progress = received_so_far(received_size, before.file_size, bytes_per_second)
        if findings:
            progress = replace(
                progress, message=f"{progress.message} So far: {findings[0].message}"
            )
        received = await self._store.receive(
            before.task_id,
            multipart_id,
            writer,
            progress,
            [problems.to_json(found) for found in findings],
        )
        task = await self.get(task_id)
        if not received:
            _check_writer(task, writer)
            raise conflict(task, "receives no more bytes")
        return task

    async def complete(self, task_id: str, file_size: int, sha256: bytes, writer: str = "") -> Task:
        """PENDING -> UPLOADED.

        Raises:
            SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, WRITER_REPLACED, DATABASE_UNAVAILABLE.
        """
        columns: dict[str, object] = {"file_size": file_size, "received_size": file_size}
        if sha256:
            columns["sha256"] = sha256
        move = Move(
            State.UPLOADED, "The file is complete and waits to be checked.", columns=columns
        )
        for _ in range(_TRIES):
            task = await self.get(task_id)
            if task.status is State.PENDING:
                _check_writer(task, writer)
                await self._store.move(task.task_id, State.PENDING, move, writer=writer or None)
                continue
            was_uploaded = any(state is State.UPLOADED for state, _ in task.entered)
            if was_uploaded and task.file_size == file_size and sha256 in (b"", task.sha256):
                return task
            raise conflict(task, "cannot be completed with this file")
        raise _contended(task_id)

    async def end_upload(
        self,
        task_id: str,
        target: State,
        problem: Problem,
        writer: str = "",
        *,
        unless_begun: bool = False,
    ) -> Task:
        """PENDING -> REJECTED, CANCELLED or FAILED. `unless_begun`: only if the task has no writer.

        Raises:
            SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, WRITER_REPLACED, DATABASE_UNAVAILABLE.
        """
        for _ in range(_TRIES):
            task = await self.get(task_id)
            if task.status in TERMINAL:
                return task
            if task.status is not State.PENDING:
                raise conflict(task, "is past its upload")
            if unless_begun and task.upload_writer:
                return task
            _check_writer(task, writer)
            move = Move(target, problem.message, problem)
            by = "" if unless_begun else writer or None
            await self._store.move(task.task_id, State.PENDING, move, writer=by)
        raise _contended(task_id)

    async def cancel(self, task_id: str) -> Task:
        """Cancels the task; if Druid may have rows of it, through CLEANING.

        Raises:
            SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, DATABASE_UNAVAILABLE.
        """
        problem = errors.problem(ErrorReason.ERROR_REASON_CANCELLED, "The task was cancelled.")
        for _ in range(_TRIES):
            task = await self.get(task_id)
            if task.status in TERMINAL and task.status is not State.CANCELLED:
                raise conflict(task, "has ended already")
            move = machine.cancel(task.status, problem)
            if move is None:
                return task
            await self._store.move(task.task_id, task.status, move)
        raise _contended(task_id)


def canonical(task_id: str) -> str:
    """Returns the id as in the table. A malformed id becomes the empty string, which no task has."""
    try:
        return str(UUID(task_id))
    except ValueError:
        return ""


def received_so_far(done: int, total: int | None, bytes_per_second: float) -> Progress:
    """Returns the received bytes as progress, with the rate and the time left if known."""
    share = f"{done / MIB:,.1f} of {total / MIB:,.1f} MiB" if total else f"{done / MIB:,.1f} MiB"
    words = [f"{share} received"]
    if bytes_per_second:
        words.append(f"{bytes_per_second / MIB:,.1f} MiB/s")
        if total:
            words.append(f"{max(total - done, 0) / bytes_per_second:,.0f} s left")
    return Progress(", ".join(words) + ".", done, total, "bytes")


def _never_arrived(task: Task) -> bool:
    """Whether the upload ended incomplete, without a fault of the file or a cancellation."""
    uploaded = any(state is State.UPLOADED for state, _ in task.entered)
    on_request = task.problem is not None and task.problem["code"] == "CANCELLED"
    return task.status in {State.CANCELLED, State.FAILED} and not uploaded and not on_request


def _check_writer(task: Task, writer: str) -> None:
    if writer and task.status is State.PENDING and task.upload_writer != writer:
        raise errors.error(
            ErrorReason.ERROR_REASON_WRITER_REPLACED, "A newer connection uploads this file now."
        )


def _differing(task: Task, new: NewTask) -> str:
    """Returns the first field in which a repeated request differs; empty if none."""
    compared = {
        "datasource": (task.datasource_name, new.datasource_name),
        "file name": (task.original_filename, new.original_filename),
        "load mode": (task.load_mode, new.load_mode),
        "interval to replace": (
            (task.replace_start_millis, task.replace_end_millis),
            (new.replace_start_millis, new.replace_end_millis),
        ),
        "stop at the plan": (task.plan_first, new.plan_first),
        "upload mode": (task.upload_mode, new.upload_mode),
        "options": (task.options, new.options),
        "allow_duplicate": (task.allow_duplicate, new.allow_duplicate),
        "sha256": (task.sha256 or new.sha256, new.sha256 or task.sha256),
    }
    return next((name for name, (before, now) in compared.items() if before != now), "")


def _contended(task_id: str) -> errors.SluiceError:
    return errors.error(
        ErrorReason.ERROR_REASON_INTERNAL,
        f"Task {task_id} changed between every read and write.",
    )
