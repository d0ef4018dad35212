"""Receives one stream of WriteUpload: it becomes an object, a part of one, or nothing.

The order is header, chunk, chunk, ..., then finish, pause or abort. Every outcome is reported to
the status service. A ONE_SHOT upload that fails leaves neither an object nor an open multipart
upload. A RESUMABLE upload keeps what has arrived, unless the file itself is wrong. The final states
of a task whose upload failed:

- REJECTED: the file or request is wrong (empty, too large, damaged, out of order), or the sender
  aborted it.
- CANCELLED: the client disconnected or stalled (ONE_SHOT).
- FAILED: a failure of Sluice or the object store (ONE_SHOT).
"""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter

import crc32c

from services.common import errors, logs, task_states
from services.common.errors import SluiceError
from services.common.timing import Timings
from services.upload.ports import ObjectStore, Tasks
from services.upload.receiving.admission import MAX_WAITING, Admission, Limits
from services.upload.receiving.background import Background
from services.upload.receiving.multipart import PartWriter, part_size_for
from services.upload.receiving.outcome import Outcome
from services.upload.receiving.steps import Abort, Chunk, Finish, Header, Pause, Step
from services.upload.receiving.stream import ALREADY_ENDED, AbortedError, Stream, WrongFileError
from services.upload.receiving.tee import Tees
from services.upload.receiving.writers import Writer, Writers
from services.upload.settings import Settings
from services.upload.storing.stored import Stored, stored, tail_key
from services.upload.sweeping.cleanup import Cleanup, Leftover
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.status.v1.status_pb2 import Task

REPORT_INTERVAL_S = 0.5
"""Minimum seconds between two reports of the bytes received."""

MAX_REPORT_INTERVAL_S = 5.0
"""Maximum of the interval. It grows with the duration of a stream to limit the task's history."""

HEARTBEAT_S = 10.0
"""Seconds between two reports while no bytes arrive."""

ORDER = "The header must be followed by chunks, then finish, abort, or pause (resumable uploads)."

End = Finish | Pause | SluiceError
"""How a stream ended: with a message, or with an error after which the upload can be resumed."""


class Receiver:
    """Receives uploads, up to the concurrency limits."""

    def __init__(
        self,
        settings: Settings,
        store: ObjectStore,
        tasks: Tasks,
        cleanup: Cleanup,
        background: Background,
        tees: Tees,
    ) -> None:
        self._settings = settings
        self._store = store
        self._tasks = tasks
        self._cleanup = cleanup
        self._background = background
        self._tees = tees
        self._outcome = Outcome(tasks, cleanup)
        self.admission = Admission(
            Limits(settings.max_concurrent_uploads, settings.max_bytes_in_flight),
            Limits(
                settings.max_concurrent_uploads_per_client, settings.max_bytes_in_flight_per_client
            ),
        )
        """The slots, which uploads and imports share."""
        self._writers = Writers(self.admission)
        self._ending = 0
        self._stopping = False

    def stop(self) -> None:
        """Attribute later interruptions of streams to this process, not to the client."""
        self._stopping = True

    async def stored(self, task: Task) -> Stored:
        """Return what is stored of an unfinished RESUMABLE upload. Read-only.

        If its writer is leaving, wait until it has stored its bytes.
        """
        await self._writers.settled(task.task_id)
        return await stored(self._store, task, self._part_size(task))

    async def receive(self, steps: AsyncIterator[Step]) -> Task:
        """Receive a stream and return its task.

        After a finish it is UPLOADED or later. After a pause it is PENDING, and `received_size`
        bytes are stored.

        Raises:
            SluiceError: the errors of WriteUpload in upload.proto.
        """
        settings = self._settings
        writer = Writer(
            steps,
            settings.upload_idle_timeout_s,
            settings.upload_total_timeout_s,
            settings.upload_min_bytes_per_s,
        )
        header = await writer.next()
        if not isinstance(header, Header):
            raise (
                self._interrupted()
                if header is None
                else _out_of_order("The first message must be the header.")
            )
        logs.bind(task_id=header.upload_id)
        # A separate task, which still stores what has arrived if the client disconnects and the
        # call is cancelled.
        running = self._background.start(self._receive(header, writer))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            writer.interrupt(self._interrupted())
            await asyncio.wait({running})
            raise

    async def finish_stored(self, task: Task) -> bool:
        """Finish a RESUMABLE upload if all its bytes are stored. Return whether they are.

        Raises:
            SluiceError: the errors of WriteUpload in upload.proto.
        """
        present = await self.stored(task)
        if not present.whole and present.size != _announced(task):
            return False

        async def steps() -> AsyncIterator[Step]:
            yield Header(task.task_id, present.size)
            yield Finish(present.size, b"")

        await self.receive(steps())
        return True

    def _part_size(self, task: Task) -> int:
        limit = self._settings.max_file_size_bytes
        return part_size_for(min(_announced(task) or limit, limit), self._settings.part_size_bytes)

    async def _receive(self, header: Header, writer: Writer) -> Task:
        try:
            with self.admission.waiting(needs_slot=not self._writers.receives(header.upload_id)):
                task = await self._tasks.get(header.upload_id)
                _check_open(task)
            self._writers.enter(task.task_id, writer, task.client, _announced(task) or 0)
        except SluiceError as rejection:
            if rejection.reason == ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS:
                self._end_rejected(header.upload_id, rejection)
            raise
        try:
            return await self._receive_with_slot(header, task, writer)
        finally:
            self._writers.leave(task.task_id, writer)

    def _end_rejected(self, upload_id: str, rejection: SluiceError) -> None:
        """End the task of a rejected ONE_SHOT upload in the background.

        If there are too many, the sweeper ends the others.
        """
        if self._ending >= MAX_WAITING or self._writers.receives(upload_id):
            return

        def ended(_: "asyncio.Task[None]") -> None:
            self._ending -= 1

        self._ending += 1
        ending = self._background.start(self._outcome.rejected(upload_id, rejection.problem))
        ending.add_done_callback(ended)

    async def _receive_with_slot(self, header: Header, task: Task, writer: Writer) -> Task:
        resumable = task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        if resumable:
            # Read it again: another stream may have stored bytes before this one got the slot.
            task = await self._open_task(task.task_id)
        present = await self._check_offset(header, task)
        # Not in a local variable, which would keep the chunk in memory until the stream ends.
        writer.ahead = await self._first_step(task, present, writer)
        if isinstance(writer.ahead, Pause):
            task.received_size = present.size
            return task
        await self._writers.take_over(task.task_id, writer)
        if writer.waited:
            task = await self._open_task(task.task_id)
            present = await self._check_offset(header, task)
        stream = await self._begin(task, present, writer)
        sha256 = b""
        try:
            last, sha256 = await self._receive_all(stream)
            match last:
                case Finish():
                    return await self._outcome.commit(stream, sha256)
                case Pause():
                    stream.task.received_size = stream.parts.size
                    return stream.task
                case _:
                    raise last
        except Exception as failure:
            outcome = await self._outcome.failed(stream, failure, sha256)
            if isinstance(outcome, Task):
                return outcome
            raise outcome from failure
        finally:
            stream.tee.end_unless_finished()

    async def _open_task(self, task_id: str) -> Task:
        """Return the task. Raises TASK_NOT_FOUND or UPLOAD_CLOSED."""
        task = await self._tasks.get(task_id)
        _check_open(task)
        return task

    async def _check_offset(self, header: Header, task: Task) -> Stored:
        """Return what is stored of the upload, if the stream continues at its end.

        Raises:
            SluiceError: OFFSET_MISMATCH, STORAGE_UNAVAILABLE.
        """
        resumable = task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        present = (
            await stored(self._store, task, self._part_size(task))
            if resumable
            else Stored(0, self._part_size(task))
        )
        if header.offset != present.size:
            raise errors.error(
                ErrorReason.ERROR_REASON_OFFSET_MISMATCH,
                f"The upload continues at byte {present.size:,}, not at byte {header.offset:,}.",
                metadata={"expected_offset": str(present.size)},
            )
        return present

    async def _first_step(self, task: Task, present: Stored, writer: Writer) -> Step:
        """Return the first message after the header.

        The upload stays unchanged until a message arrives that must change it, because another
        stream may be sending it, in this process or another.

        Raises:
            SluiceError: the stream is invalid or interrupted.
        """
        resumable = task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        try:
            first = await writer.next()
            alone = self._writers.writes(task.task_id, writer)
            match first:
                case Chunk():
                    return first
                case Finish():
                    _check_stored(task, present, alone=alone)
                    return first
                case Pause() if resumable:
                    return first
                case Abort() if resumable and alone:
                    return first
                case Abort():
                    raise AbortedError(first.problem)
                case None:
                    raise self._interrupted()
                case _:
                    raise _out_of_order(ORDER)
        except Exception as failure:
            if self._writers.writes(task.task_id, writer):
                # Release the slot before the call to the status service.
                self._writers.leave(task.task_id, writer)
                await self._outcome.never_started(task, failure)
            raise

    async def _begin(self, task: Task, present: Stored, writer: Writer) -> Stream:
        """Make the stream the writer of the upload, replacing one in any process.

        Raises:
            SluiceError: STATE_CONFLICT, STORAGE_UNAVAILABLE, and errors of the status service.
        """
        timings = Timings()
        with timings.step("open"):
            tail = (
                await self._store.get(self._store.uri(tail_key(task.task_id, present.parts_size)))
                if present.tail_size
                else b""
            )
            expected = await self._tasks.begin(
                task.task_id, present.size, present.multipart_id, writer.id
            )
            if task.multipart_id and not present.multipart_id and not present.whole:
                # It belongs to a stream that this one replaces.
                await self._cleanup.remove(Leftover(task.file_uri, task.multipart_id))
        resumable = task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        parts = PartWriter(
            self._store,
            task.file_uri,
            present,
            self._settings.parts_in_flight,
            timings,
            resumable=resumable,
        )
        tee = self._tees.begin(task, expected)
        if present.size:
            # Validation can inspect only files that it gets from the first byte.
            tee.end()
        return Stream(task, writer, parts, tee, timings, present.size, tail)

    async def _receive_all(self, stream: Stream) -> tuple[End, bytes]:
        """Receive and store everything up to the end of the stream. The object does not exist yet.

        Returns how the stream ended, and the SHA-256 of a finished file if it is known.
        """
        sha256 = b""
        try:
            async with asyncio.TaskGroup() as group:
                stream.parts.start(group)
                reporter = group.create_task(self._report(stream))
                last = await self._receive_chunks(stream)
                if isinstance(last, Finish):
                    sha256 = await stream.parts.drain()
                    _check_whole(stream.task, last, stream.parts.size, sha256)
                    sha256 = sha256 or last.sha256
                else:
                    await stream.parts.suspend(stream.task.task_id)
                    await self._tasks.keep(
                        stream.task.task_id,
                        stream.parts.size,
                        stream.parts.multipart_id,
                        stream.writer.id,
                    )
                reporter.cancel()
        except BaseExceptionGroup as failures:
            raise _most_specific(failures) from failures
        return last, sha256

    async def _receive_chunks(self, stream: Stream) -> End:
        """Receive chunks up to the end of the stream."""
        try:
            await stream.parts.take_tail(stream.tail)
            stream.tail = b""
            while True:
                with stream.timings.step("receive"):
                    step = await stream.writer.next()
                match step:
                    case Chunk():
                        self._check_chunk(step, stream)
                        stream.tee.send(step.data)
                        await stream.parts.write(step.data)
                    case Finish():
                        return step
                    case Pause() if stream.resumable:
                        return step
                    case Abort():
                        raise AbortedError(step.problem)
                    case None:
                        raise self._interrupted()
                    case _:
                        raise _out_of_order(ORDER)
        except SluiceError as broken:
            if not stream.survives(broken):
                raise
            return broken

    def _check_chunk(self, chunk: Chunk, stream: Stream) -> None:
        offset = stream.parts.size
        end = offset + len(chunk.data)
        announced = _announced(stream.task)
        if end > self._settings.max_file_size_bytes:
            raise too_large(self._settings.max_file_size_bytes)
        if announced is not None and end > announced:
            raise _mismatch(f"The announced size is {announced:,} bytes, but more arrived.")
        if stream.parts.whole:
            raise _mismatch(f"The file is complete with {offset:,} bytes, but more arrived.")
        if chunk.crc32c is not None and crc32c.crc32c(chunk.data) != chunk.crc32c:
            message = (
                f"The {len(chunk.data):,} bytes at offset {offset:,} do not match their CRC-32C."
            )
            raise errors.error(ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH, message)

    async def _report(self, stream: Stream) -> None:
        """Report the bytes received to the status service, until cancelled.

        Raises:
            SluiceError: the task has ended, or a stream of another process has taken over.
        """
        parts, task_id = stream.parts, stream.task.task_id
        reported, reported_at = (stream.start_size, parts.multipart_id), perf_counter()
        findings = stream.tee.findings
        opened = asyncio.create_task(parts.opened.wait())
        try:
            await asyncio.wait([opened], timeout=REPORT_INTERVAL_S)
            while True:
                now, at = (parts.size, parts.multipart_id), perf_counter()
                if now != reported or at - reported_at >= HEARTBEAT_S:
                    try:
                        await self._tasks.report(
                            task_id,
                            *now,
                            stream.writer.id,
                            max(now[0] - reported[0], 0) / (at - reported_at),
                            findings,
                        )
                        reported, reported_at = now, at
                    except SluiceError as failure:
                        if failure.reason in ALREADY_ENDED | {
                            ErrorReason.ERROR_REASON_WRITER_REPLACED
                        }:
                            raise
                        logs.get().warning(
                            "upload.report_failed",
                            code=failure.code,
                            reason=failure.problem.message,
                        )
                interval_s = max(REPORT_INTERVAL_S, (at - stream.started) / 60)
                await asyncio.sleep(min(interval_s, MAX_REPORT_INTERVAL_S))
        finally:
            opened.cancel()

    def _interrupted(self) -> SluiceError:
        """Return why a stream broke. For gRPC, our shutdown and a lost client look the same."""
        if self._stopping:
            return errors.error(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "The upload service was stopped during the upload.",
                action="Send the file again.",
                metadata={"service": "upload"},
            )
        return errors.error(
            ErrorReason.ERROR_REASON_CLIENT_GONE,
            "The client disconnected before the file was complete.",
        )


def too_large(limit: int) -> SluiceError:
    """Create FILE_TOO_LARGE with the limit in bytes."""
    return errors.error(
        ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
        f"The file is larger than the limit of {limit:,} bytes.",
        metadata={"limit_bytes": str(limit)},
    )


def empty() -> SluiceError:
    """Create FILE_EMPTY."""
    return errors.error(ErrorReason.ERROR_REASON_FILE_EMPTY, "The file is empty.")


def _announced(task: Task) -> int | None:
    return task.file_size if task.HasField("file_size") else None


def _check_open(task: Task) -> None:
    state = task_states.name_of(task.state)
    if task.problem.code == ErrorReason.ERROR_REASON_UPLOAD_EXPIRED:
        raise SluiceError(task.problem, {"state": state})
    if task.state != TaskState.TASK_STATE_PENDING:
        raise errors.error(
            ErrorReason.ERROR_REASON_UPLOAD_CLOSED,
            f"The upload is closed: its task is {state}.",
            metadata={"state": state},
        )


def _check_whole(task: Task, finish: Finish, size: int, sha256: bytes) -> None:
    """Raise FILE_EMPTY or CHECKSUM_MISMATCH if the file differs from its announced size or SHA-256.

    The SHA-256 of a file that arrived in several streams is unknown here; validation checks it.
    """
    if not size:
        raise empty()
    for announced_size in (_announced(task), finish.size):
        if announced_size is not None and announced_size != size:
            raise _mismatch(
                f"The announced size is {announced_size:,} bytes, but {size:,} bytes arrived."
            )
    sha256 = sha256 or finish.sha256
    for announced in (task.sha256, finish.sha256):
        if announced and sha256 and announced != sha256:
            raise _mismatch(
                f"The announced SHA-256 is {announced.hex()}, but the received file has "
                f"{sha256.hex()}."
            )


def _check_stored(task: Task, present: Stored, *, alone: bool) -> None:
    """Check a finish without chunks: everything must be stored already.

    `alone`: no other stream of this process is sending the upload.
    """
    if not present.size:
        raise empty()
    announced = _announced(task)
    if present.whole or present.size == announced:
        return
    if not alone:
        message = "Another connection is sending this file."
        raise errors.error(
            ErrorReason.ERROR_REASON_STATE_CONFLICT,
            message,
            action="Wait until it ends, then call GetUpload to get the offset.",
            metadata={"state": "PENDING"},
        )
    if announced is not None:
        raise _mismatch(
            f"The announced size is {announced:,} bytes, but {present.size:,} are stored."
        )


def _most_specific(failures: "BaseExceptionGroup[BaseException]") -> BaseException:
    """Return the failure to raise: preferably one with a code."""
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
        ErrorReason.ERROR_REASON_REQUEST_INVALID,
        message,
        column="step",
        action="Send header, chunk, chunk, ..., finish in this order.",
    )


def _mismatch(message: str) -> WrongFileError:
    return WrongFileError(errors.problem(ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH, message))
