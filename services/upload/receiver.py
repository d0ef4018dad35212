"""One stream of bytes becomes one object, or nothing at all.

The order is header, chunk, chunk, ..., finish or abort. Every way to end is told to the status service, and a bad one leaves neither
an object nor an open multipart upload. What a bad end is called:

- REJECTED: the file or the request is wrong (empty, too long, damaged, out of order, or the sender says so by an abort);
- CANCELLED: the sender went away or fell silent;
- FAILED: something on our side.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

import crc32c

from services.common import errors, logs
from services.common.errors import SluiceError
from services.common.timing import Timings
from services.upload.background import Background
from services.upload.cleanup import Cleanup, Leftover
from services.upload.multipart import PartWriter, part_size_for
from services.upload.ports import ObjectStore, Tasks
from services.upload.settings import Settings
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import Task

REPORT_INTERVAL_S = 1.0
"""Shortest time between two reports of the bytes received."""

SIGN_OF_LIFE_S = 10.0
"""Longest time between two reports, also while no byte arrives."""

RETRY_AFTER_S = 5
"""When a client that was refused for the number of uploads may try again."""

_REJECTED = {
    ErrorReason.ERROR_REASON_FILE_EMPTY,
    ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
    ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH,
    ErrorReason.ERROR_REASON_REQUEST_INVALID,
}
_CANCELLED = {ErrorReason.ERROR_REASON_CLIENT_GONE, ErrorReason.ERROR_REASON_UPLOAD_STALLED}


@dataclass(frozen=True)
class Header:
    """Which upload, from which byte."""

    upload_id: str
    offset: int


@dataclass(frozen=True)
class Chunk:
    """The next bytes, and their CRC-32C where the sender made one."""

    data: bytes
    crc32c: int | None


@dataclass(frozen=True)
class Finish:
    """The end of the file, with its size and SHA-256 where the sender knows them."""

    size: int | None
    sha256: bytes


@dataclass(frozen=True)
class Abort:
    """The sender found the request to be wrong."""

    problem: Problem


Step = Header | Chunk | Finish | Abort


class AbortedError(SluiceError):
    """The sender's own abort."""


class Receiver:
    """Takes streams, at most `max_concurrent_uploads` at once."""

    def __init__(self, settings: Settings, store: ObjectStore, tasks: Tasks, cleanup: Cleanup, background: Background) -> None:
        self._settings = settings
        self._store = store
        self._tasks = tasks
        self._cleanup = cleanup
        self._background = background
        self._receiving: set[str] = set()
        self._stopping = False

    def stop(self) -> None:
        """Streams that break from here on broke because this process ends, not because their client left."""
        self._stopping = True

    def check_room(self) -> None:
        """Raises TOO_MANY_UPLOADS while no further upload is taken."""
        if len(self._receiving) >= self._settings.max_concurrent_uploads:
            raise errors.error(
                ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS,
                f"This server already receives {len(self._receiving)} files, as many as it takes at once.",
                metadata={"retry_after_s": str(RETRY_AFTER_S)},
            )

    async def receive(self, steps: AsyncIterator[Step]) -> Task:
        """The task after the whole stream: UPLOADED or later.

        Raises:
            SluiceError: as WriteUpload in upload.proto names them; the task has then ended, unless the header was refused.
        """
        header = await self._next(steps)
        if not isinstance(header, Header):
            raise _out_of_order("The first message has to be the header.")
        logs.bind(task_id=header.upload_id)
        timings = Timings()
        with timings.step("open"):
            task = await self._tasks.get(header.upload_id)
        self._check_header(header, task)
        part_size = part_size_for(min(_announced(task) or self._limit, self._limit), self._settings.part_size_bytes)
        writer = PartWriter(self._store, task.file_uri, part_size, self._settings.parts_in_flight, timings)
        started = perf_counter()
        try:
            with self._occupied(task.task_id):
                sha256 = await self._take(steps, task, writer, timings)
        except asyncio.CancelledError:
            await self._background.finish(self._end(task, writer, self._interrupted()))
            raise
        except Exception as failure:
            raise await self._background.finish(self._end(task, writer, failure)) from failure
        # From here on the client's leaving changes nothing: a completion that is cut off might take effect after the clean-up.
        done = await self._background.finish(self._commit(task, writer, sha256, timings))
        seconds = perf_counter() - started
        rate = round(writer.size / seconds / 1e6, 1)
        timings.log("upload.completed", bytes=writer.size, parts=writer.parts, elapsed_s=round(seconds, 4), mb_per_s=rate)
        return done

    @property
    def _limit(self) -> int:
        return self._settings.max_file_size_bytes

    def _check_header(self, header: Header, task: Task) -> None:
        state = TaskState.Name(task.state).removeprefix("TASK_STATE_")
        if task.state != TaskState.TASK_STATE_PENDING:
            raise errors.error(
                ErrorReason.ERROR_REASON_UPLOAD_CLOSED, f"The upload takes no more bytes: its task is {state}.", metadata={"state": state}
            )
        if task.task_id in self._receiving or task.received_size or task.multipart_id:
            raise errors.error(
                ErrorReason.ERROR_REASON_STATE_CONFLICT,
                "Another connection has begun to send this file, and an upload of this mode has a single one.",
                action="Wait for it to end, or create another upload.",
                metadata={"state": state},
            )
        if header.offset:
            raise errors.error(
                ErrorReason.ERROR_REASON_OFFSET_MISMATCH,
                f"The file has to be sent from its first byte, not from byte {header.offset}.",
                metadata={"expected_offset": "0"},
            )

    @contextmanager
    def _occupied(self, task_id: str) -> Iterator[None]:
        self.check_room()
        self._receiving.add(task_id)
        try:
            yield
        finally:
            self._receiving.discard(task_id)

    async def _take(self, steps: AsyncIterator[Step], task: Task, writer: PartWriter, timings: Timings) -> bytes:
        """Takes everything up to the finish and returns the SHA-256; all parts are stored then, and the object is not visible yet."""
        try:
            async with asyncio.TaskGroup() as group:
                writer.start(group)
                reporter = group.create_task(self._report(task.task_id, writer))
                finish = await self._chunks(steps, writer, timings)
                sha256 = await writer.drain()
                _check_whole(task, finish, writer.size, sha256)
                reporter.cancel()
        except BaseExceptionGroup as failures:
            raise _first(failures) from failures
        return sha256

    async def _chunks(self, steps: AsyncIterator[Step], writer: PartWriter, timings: Timings) -> Finish:
        while True:
            with timings.step("receive"):
                step = await self._next(steps)
            match step:
                case Chunk():
                    self._check_chunk(step, writer.size)
                    await writer.write(step.data)
                case Finish():
                    return step
                case Abort():
                    raise AbortedError(step.problem)
                case Header():
                    raise _out_of_order("A second header came in the stream.")

    def _check_chunk(self, chunk: Chunk, offset: int) -> None:
        if offset + len(chunk.data) > self._limit:
            raise too_large(self._limit)
        if chunk.crc32c is not None and crc32c.crc32c(chunk.data) != chunk.crc32c:
            raise _damaged(f"The {len(chunk.data)} bytes from byte {offset} on do not have the CRC-32C that came with them.")

    async def _next(self, steps: AsyncIterator[Step]) -> Step:
        """The next message, before the idle timeout."""
        idle_s = self._settings.upload_idle_timeout_s
        try:
            async with asyncio.timeout(idle_s):
                return await anext(steps)
        except StopAsyncIteration:
            raise self._interrupted() from None
        except TimeoutError:
            message = f"Nothing arrived for {idle_s:g} s, and the upload was given up."
            raise errors.error(ErrorReason.ERROR_REASON_UPLOAD_STALLED, message) from None

    async def _report(self, task_id: str, writer: PartWriter) -> None:
        """Tells the status service what has arrived, until cancelled. Ends the upload when the task has ended meanwhile."""
        told, told_at = (0, ""), perf_counter()
        opened = asyncio.create_task(writer.opened.wait())
        try:
            await asyncio.wait([opened], timeout=REPORT_INTERVAL_S)
            while True:
                now = (writer.size, writer.multipart_id)
                if now != told or perf_counter() - told_at >= SIGN_OF_LIFE_S:
                    try:
                        await self._tasks.report(task_id, *now)
                        told, told_at = now, perf_counter()
                    except SluiceError as failure:
                        if failure.reason in (ErrorReason.ERROR_REASON_STATE_CONFLICT, ErrorReason.ERROR_REASON_TASK_NOT_FOUND):
                            raise
                        logs.get().warning("upload.report_failed", code=failure.code, reason=failure.problem.message)
                await asyncio.sleep(REPORT_INTERVAL_S)
        finally:
            opened.cancel()

    async def _commit(self, task: Task, writer: PartWriter, sha256: bytes, timings: Timings) -> Task:
        """Makes the object, then the task UPLOADED. When the second is refused or never answered, the first is undone."""
        try:
            with timings.step("complete"):
                await writer.complete()
            with timings.step("commit"):
                return await self._tasks.complete(task.task_id, writer.size, sha256)
        except Exception as failure:
            ended = await self._end(task, writer, failure)
            if isinstance(ended, SluiceError) and ended.reason == ErrorReason.ERROR_REASON_UPLOAD_CLOSED:
                return await self._committed(task, writer, sha256, ended)
            raise ended from failure

    async def _committed(self, task: Task, writer: PartWriter, sha256: bytes, closed: SluiceError) -> Task:
        """The task, where it was our own completion that closed the upload and only its answer was lost."""
        found = await self._tasks.get(task.task_id)
        if (found.file_size, found.sha256) != (writer.size, sha256):
            raise closed
        return found

    def _interrupted(self) -> SluiceError:
        """Why a stream broke; gRPC shows the end of this process and that of the client in the same two ways."""
        if self._stopping:
            return errors.error(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "The upload service was stopped while the file arrived.",
                action="Send the file again.",
                metadata={"service": "upload"},
            )
        return errors.error(ErrorReason.ERROR_REASON_CLIENT_GONE, "The client went away before the file was complete.")

    async def _end(self, task: Task, writer: PartWriter, failure: Exception) -> Exception:
        """Ends the task and removes what was stored of it. Returns the error that the caller gets: mostly `failure` itself."""
        found = failure.problem if isinstance(failure, SluiceError) else _internal()
        state = _end_state(failure)
        left = Leftover(task.file_uri, await writer.discard(), object=writer.completing)
        facts = {"code": errors.code_of(found.code), "reason": found.message, "bytes": writer.size}
        await self._cleanup.remove(Leftover(left.uri, left.multipart_id))
        try:
            ended = await self._tasks.end(task.task_id, state, found)
        except SluiceError as refusal:
            match refusal.reason:
                case ErrorReason.ERROR_REASON_STATE_CONFLICT:
                    # UPLOADED or later: the object is the task's, whoever completed it.
                    logs.get().info("upload.closed_meanwhile", **facts)
                    return errors.error(ErrorReason.ERROR_REASON_UPLOAD_CLOSED, "The upload is complete already.")
                case ErrorReason.ERROR_REASON_TASK_NOT_FOUND:
                    ended = Task()
                case _:
                    # Whether the task is UPLOADED is not known, so the object stays until the sweeper has ended the task.
                    logs.get().warning("upload.end_not_told", refusal=str(refusal), **facts)
                    return failure
        if left.object:
            await self._cleanup.remove(left)
            self._cleanup.keep(left)
        logs.get().info("upload.ended", state=TaskState.Name(state), **facts)
        return failure if ended.problem.code in (found.code, ErrorReason.ERROR_REASON_UNSPECIFIED) else _ended_otherwise(ended)


def too_large(limit: int) -> SluiceError:
    """FILE_TOO_LARGE with the limit, in bytes."""
    return errors.error(
        ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
        f"The file is larger than {limit:,} bytes, the largest that this server takes.",
        metadata={"limit_bytes": str(limit)},
    )


def _announced(task: Task) -> int | None:
    return task.file_size if task.HasField("file_size") else None


def _check_whole(task: Task, finish: Finish, size: int, sha256: bytes) -> None:
    """Raises FILE_EMPTY or CHECKSUM_MISMATCH unless all that was announced of the file holds."""
    if not size:
        raise errors.error(ErrorReason.ERROR_REASON_FILE_EMPTY, "The file has no byte.")
    for announced_size in (_announced(task), finish.size):
        if announced_size is not None and announced_size != size:
            raise _damaged(f"The file was announced with {announced_size:,} bytes, and {size:,} arrived.")
    for announced in (task.sha256, finish.sha256):
        if announced and announced != sha256:
            raise _damaged(f"The file was announced with SHA-256 {announced.hex()}, and what arrived has {sha256.hex()}.")


def _end_state(failure: Exception) -> "TaskState.ValueType":
    reason = failure.reason if isinstance(failure, SluiceError) else ErrorReason.ERROR_REASON_INTERNAL
    if reason in _CANCELLED:
        return TaskState.TASK_STATE_CANCELLED
    if reason in _REJECTED or isinstance(failure, AbortedError):
        return TaskState.TASK_STATE_REJECTED
    return TaskState.TASK_STATE_FAILED


def _first(failures: "BaseExceptionGroup[BaseException]") -> BaseException:
    """The failure that a caller is told of: one with a code where there is one."""
    leaves: list[BaseException] = []
    waiting: list[BaseException] = [failures]
    while waiting:
        current = waiting.pop(0)
        if isinstance(current, BaseExceptionGroup):
            waiting.extend(current.exceptions)
        else:
            leaves.append(current)
    return next((leaf for leaf in leaves if isinstance(leaf, SluiceError)), leaves[0])


def _out_of_order(message: str) -> SluiceError:
    return errors.error(
        ErrorReason.ERROR_REASON_REQUEST_INVALID, message, column="step", action="Send header, chunk, chunk, ..., finish in this order."
    )


def _damaged(message: str) -> SluiceError:
    return errors.error(ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH, message)


def _internal() -> Problem:
    return errors.problem(ErrorReason.ERROR_REASON_INTERNAL, "Something failed on our side while the file arrived.")


def _ended_otherwise(task: Task) -> SluiceError:
    state = TaskState.Name(task.state).removeprefix("TASK_STATE_")
    return errors.error(
        ErrorReason.ERROR_REASON_STATE_CONFLICT,
        f"The task was ended while its file arrived: it is {state}. {task.problem.message}".strip(),
        metadata={"state": state},
    )
