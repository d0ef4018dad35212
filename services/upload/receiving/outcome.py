"""The outcome of a stream: its file is completed, kept for a later stream, or removed."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from services.common import errors, logs, task_states
from services.common.errors import SluiceError
from services.upload.ports import Tasks
from services.upload.receiving.stream import AbortedError, Stream, problem_of
from services.upload.sweeping.cleanup import Cleanup, Leftover
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.status.v1.status_pb2 import Task

_REJECTED = {
    ErrorReason.ERROR_REASON_FILE_EMPTY,
    ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
    ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH,
    ErrorReason.ERROR_REASON_REQUEST_INVALID,
}
_CANCELLED = {ErrorReason.ERROR_REASON_CLIENT_GONE, ErrorReason.ERROR_REASON_UPLOAD_STALLED}


class Outcome:
    """Reports outcomes to the status service, and removes what must not remain."""

    def __init__(self, tasks: Tasks, cleanup: Cleanup) -> None:
        self._tasks = tasks
        self._cleanup = cleanup

    async def commit(self, stream: Stream, sha256: bytes) -> Task:
        """Create the object, then set the task to UPLOADED.

        Raises:
            SluiceError: STORAGE_UNAVAILABLE, UPLOAD_CLOSED, or an error of the status service.
        """
        task, parts, timings = stream.task, stream.parts, stream.timings
        with timings.step("complete"):
            await parts.complete()
        # Before the task is UPLOADED, because its validation then uses the inspection at once.
        stream.tee.finish()
        with timings.step("commit"):
            done = await self._tasks.complete(task.task_id, parts.size, sha256, stream.writer.id)
        if stream.start_size:
            await self._cleanup.remove(Leftover(task.file_uri, tails=task.task_id))
        seconds = perf_counter() - stream.started
        rate = round((parts.size - stream.start_size) / seconds / 1e6, 1)
        timings.log(
            "upload.completed",
            bytes=parts.size,
            parts=parts.parts,
            elapsed_s=round(seconds, 4),
            mb_per_s=rate,
        )
        return done

    async def failed(self, stream: Stream, failure: Exception, sha256: bytes) -> Exception | Task:
        """Keep what a later stream can resume, or else end the task and remove what is stored.

        Returns the error for the caller, mostly `failure` itself. If this stream has completed the
        upload and only the response was lost, returns the task.
        """
        found = problem_of(failure)
        facts = {
            "code": errors.code_of(found.code),
            "reason": found.message,
            "bytes": stream.parts.size,
        }
        multipart_id = await stream.parts.discard()
        if stream.survives(failure):
            logs.get().info("upload.interrupted", **facts)
            return failure
        await self._cleanup.remove(Leftover(stream.task.file_uri, multipart_id))
        if found.code == ErrorReason.ERROR_REASON_WRITER_REPLACED:
            logs.get().info("upload.replaced", **facts)
            return failure
        return await self._end(stream, failure, found, facts, sha256)

    async def rejected(self, upload_id: str, problem: Problem) -> None:
        """End the task of a ONE_SHOT upload without a slot, unless another process receives it."""
        with _leaving_failures_to_sweeper("upload.end_not_told"):
            task = await self._tasks.get(upload_id)
            if task.upload_mode == UploadMode.UPLOAD_MODE_ONE_SHOT:
                await self._tasks.end(
                    upload_id, TaskState.TASK_STATE_FAILED, problem, unless_begun=True
                )

    async def never_started(self, task: Task, failure: Exception) -> None:
        """End the task of a stream without bytes, if it was ONE_SHOT or the file is empty.

        Do nothing if another process has a writer, or if a newer stream has replaced this one.
        """
        found = problem_of(failure)
        one_shot = task.upload_mode == UploadMode.UPLOAD_MODE_ONE_SHOT
        if found.code == ErrorReason.ERROR_REASON_WRITER_REPLACED:
            return
        if not one_shot and found.code != ErrorReason.ERROR_REASON_FILE_EMPTY:
            return
        with _leaving_failures_to_sweeper("upload.end_not_told"):
            ended = await self._tasks.end(
                task.task_id, _end_state(failure), found, unless_begun=True
            )
            logs.get().info(
                "upload.ended",
                state=TaskState.Name(ended.state),
                code=errors.code_of(found.code),
                reason=found.message,
                bytes=0,
            )

    async def _end(
        self,
        stream: Stream,
        failure: Exception,
        found: Problem,
        facts: dict[str, object],
        sha256: bytes,
    ) -> Exception | Task:
        task, state = stream.task, _end_state(failure)
        try:
            ended = await self._tasks.end(task.task_id, state, found, stream.writer.id)
        except SluiceError as rejection:
            match rejection.reason:
                case ErrorReason.ERROR_REASON_STATE_CONFLICT:
                    # The task is UPLOADED or later and needs the object, whoever completed it.
                    logs.get().info("upload.closed_meanwhile", **facts)
                    return await self._committed(stream, sha256)
                case ErrorReason.ERROR_REASON_TASK_NOT_FOUND:
                    ended = Task()
                case _:
                    # The task may be UPLOADED. The object stays until the sweeper ends the task.
                    logs.get().warning("upload.end_not_told", refusal=str(rejection), **facts)
                    return failure
        # A replaced writer may have created the object. If a worker has claimed the task, its
        # object must stay.
        never_uploaded = not ended.attempt and ended.problem.code in {
            found.code,
            ErrorReason.ERROR_REASON_UNSPECIFIED,
        }
        may_exist = stream.parts.completing or never_uploaded
        left = Leftover(
            task.file_uri, object=may_exist, tails=task.task_id if stream.resumable else ""
        )
        if left.object or left.tails:
            await self._cleanup.remove(left)
            self._cleanup.retry_later(left)
        logs.get().info("upload.ended", state=task_states.name_of(state), **facts)
        return (
            failure
            if ended.problem.code in (found.code, ErrorReason.ERROR_REASON_UNSPECIFIED)
            else _ended_differently(ended)
        )

    async def _committed(self, stream: Stream, sha256: bytes) -> Exception | Task:
        """Return the task if this stream completed the upload; otherwise the error."""
        found = await self._tasks.get(stream.task.task_id)
        if (
            stream.parts.completing
            and found.file_size == stream.parts.size
            and sha256 in (b"", found.sha256)
        ):
            return found
        return errors.error(
            ErrorReason.ERROR_REASON_UPLOAD_CLOSED, "The upload is already complete."
        )


@contextmanager
def _leaving_failures_to_sweeper(event: str) -> Iterator[None]:
    """Log and ignore failures of the status service: the sweeper ends the task later."""
    try:
        yield
    except SluiceError as rejection:
        logs.get().info(event, refusal=str(rejection))


def _end_state(failure: Exception) -> "TaskState.ValueType":
    reason = problem_of(failure).code
    if reason in _CANCELLED:
        return TaskState.TASK_STATE_CANCELLED
    if reason in _REJECTED or isinstance(failure, AbortedError):
        return TaskState.TASK_STATE_REJECTED
    return TaskState.TASK_STATE_FAILED


def _ended_differently(task: Task) -> SluiceError:
    state = task_states.name_of(task.state)
    return errors.error(
        ErrorReason.ERROR_REASON_STATE_CONFLICT,
        f"The task ended during the upload: it is {state}. {task.problem.message}".strip(),
        metadata={"state": state},
    )
