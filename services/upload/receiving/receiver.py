"""One stream of bytes becomes one object, or the next bytes of one, or nothing at all.

The order is header, chunk, chunk, ..., then finish, pause or abort. Every way to end is told to the
status service. A ONE_SHOT upload that ends badly leaves neither an object nor an open multipart
upload. A RESUMABLE one keeps what has arrived, whatever breaks, unless the file itself is wrong.
What a bad end is called:

- REJECTED: the file or the request is wrong (empty, too long, damaged, out of order, or the sender
  says so by an abort);
- CANCELLED: the sender went away or fell silent (ONE_SHOT);
- FAILED: something on our side (ONE_SHOT).
"""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter

import crc32c

from services.common import errors, logs, task_states
from services.common.errors import SluiceError
from services.common.timing import Timings
from services.upload.ports import ObjectStore, Tasks
from services.upload.receiving.admission import MAX_JUDGED, Admission, Share
from services.upload.receiving.background import Background
from services.upload.receiving.multipart import PartWriter, part_size_for
from services.upload.receiving.outcome import Outcome
from services.upload.receiving.steps import Abort, Chunk, Finish, Header, Pause, Step
from services.upload.receiving.stream import ENDED_MEANWHILE, AbortedError, Stream, WrongFileError
from services.upload.receiving.tee import Tees
from services.upload.receiving.writers import Writer, Writers
from services.upload.settings import Settings
from services.upload.storing.stored import Stored, stored, tail_key
from services.upload.sweeping.cleanup import Cleanup, Leftover
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.status.v1.status_pb2 import Task

REPORT_INTERVAL_S = 0.5
"""Shortest time between two reports of the bytes received."""

LONGEST_REPORT_INTERVAL_S = 5.0
"""The interval grows with the time that a stream takes, up to this: the history of a task must not
grow without bound.
"""

SIGN_OF_LIFE_S = 10.0
"""Longest time between two reports, also while no byte arrives."""

ORDER = "After the header come chunks, then finish, abort, or the pause of a resumable upload."

Last = Finish | Pause | SluiceError
"""How the bytes of a stream ended: by a message, or by what broke it where the upload outlives
that.
"""


class Receiver:
    """Receives uploads, up to the limits of the settings."""

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
            Share(settings.max_concurrent_uploads, settings.max_bytes_in_flight),
            Share(
                settings.max_concurrent_uploads_per_client, settings.max_bytes_in_flight_per_client
            ),
        )
        """The slots, which imports share."""
        self._writers = Writers(self.admission)
        self._refusals = 0
        self._stopping = False

    def stop(self) -> None:
        """Streams that break from here on broke because this process ends, not because their client
        left.
        """
        self._stopping = True

    async def stored(self, task: Task) -> Stored:
        """What is safe of an unfinished RESUMABLE upload; a stream that is just being put away is
        waited for. Read-only."""
        await self._writers.settled(task.task_id)
        return await stored(self._store, task, self._part_size(task))

    async def receive(self, steps: AsyncIterator[Step]) -> Task:
        """The task after the whole stream: UPLOADED or later after a finish; after a pause PENDING,
        its received_size being safe.

        Raises:
            SluiceError: as WriteUpload in upload.proto names them.
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
                else _out_of_order("The first message has to be the header.")
            )
        logs.bind(task_id=header.upload_id)
        # A task of its own: when the call is cancelled, because its client left, what has arrived
        # is still put away.
        running = self._background.start(self._receive(header, writer))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            writer.interrupt(self._interrupted())
            await asyncio.wait({running})
            raise

    async def finish_stored(self, task: Task) -> bool:
        """Finishes a RESUMABLE upload all bytes of which are stored; returns whether they are.

        Raises:
            SluiceError: as WriteUpload in upload.proto names them.
        """
        kept = await self.stored(task)
        if not kept.whole and kept.size != _announced(task):
            return False

        async def steps() -> AsyncIterator[Step]:
            yield Header(task.task_id, kept.size)
            yield Finish(kept.size, b"")

        await self.receive(steps())
        return True

    def _part_size(self, task: Task) -> int:
        limit = self._settings.max_file_size_bytes
        return part_size_for(min(_announced(task) or limit, limit), self._settings.part_size_bytes)

    async def _receive(self, header: Header, writer: Writer) -> Task:
        try:
            with self.admission.judging(needs_slot=not self._writers.receives(header.upload_id)):
                task = await self._tasks.get(header.upload_id)
                _check_open(task)
            self._writers.enter(task.task_id, writer, task.client, _announced(task) or 0)
        except SluiceError as refused:
            if refused.reason == ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS:
                self._end_refused(header.upload_id, refused)
            raise
        try:
            return await self._receive_in_turn(header, task, writer)
        finally:
            self._writers.leave(task.task_id, writer)

    def _end_refused(self, upload_id: str, refused: SluiceError) -> None:
        """Ends the task of a ONE_SHOT upload without making its client wait for it. With more of
        them the sweeper ends the rest."""
        if self._refusals >= MAX_JUDGED or self._writers.receives(upload_id):
            return

        def ended(_: "asyncio.Task[None]") -> None:
            self._refusals -= 1

        self._refusals += 1
        ending = self._background.start(self._outcome.refused(upload_id, refused.problem))
        ending.add_done_callback(ended)

    async def _receive_in_turn(self, header: Header, task: Task, writer: Writer) -> Task:
        resumable = task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        if resumable:
            # As it is now: another stream may have stored something between the first look and the
            # slot.
            task = await self._open_task(task.task_id)
        kept = await self._standing(header, task)
        # Not in a variable of ours, which would keep the chunk as long as the stream lasts.
        writer.ahead = await self._first(task, kept, writer)
        if isinstance(writer.ahead, Pause):
            task.received_size = kept.size
            return task
        await self._writers.take_over(task.task_id, writer)
        if writer.waited:
            task = await self._open_task(task.task_id)
            kept = await self._standing(header, task)
        stream = await self._begin(task, kept, writer)
        sha256 = b""
        try:
            last, sha256 = await self._take(stream)
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
            stream.tee.break_off()

    async def _open_task(self, task_id: str) -> Task:
        """Raises TASK_NOT_FOUND, UPLOAD_CLOSED."""
        task = await self._tasks.get(task_id)
        _check_open(task)
        return task

    async def _standing(self, header: Header, task: Task) -> Stored:
        """What there is of the upload, which is where the stream goes on.

        Raises:
            SluiceError: OFFSET_MISMATCH, STORAGE_UNAVAILABLE.
        """
        resumable = task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        kept = (
            await stored(self._store, task, self._part_size(task))
            if resumable
            else Stored(0, self._part_size(task))
        )
        if header.offset != kept.size:
            raise errors.error(
                ErrorReason.ERROR_REASON_OFFSET_MISMATCH,
                f"The upload goes on at byte {kept.size:,}, not at byte {header.offset:,}.",
                metadata={"expected_offset": str(kept.size)},
            )
        return kept

    async def _first(self, task: Task, kept: Stored, writer: Writer) -> Step:
        """The first message after the header. Until it is there, and unless it is one that has to
        change the upload, nothing is done to the upload: another stream may be sending it, here or
        at another process.

        Raises:
            SluiceError: what is wrong with the stream.
        """
        resumable = task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        try:
            first = await writer.next()
            alone = self._writers.writes(task.task_id, writer)
            match first:
                case Chunk():
                    return first
                case Finish():
                    _check_stored(task, kept, alone=alone)
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
                # The slot is free before the status service has been told.
                self._writers.leave(task.task_id, writer)
                await self._outcome.never_begun(task, failure)
            raise

    async def _begin(self, task: Task, kept: Stored, writer: Writer) -> Stream:
        """The stream, which is the upload's writer from here on, at whichever process another one
        may be.

        Raises:
            SluiceError: STATE_CONFLICT, STORAGE_UNAVAILABLE, and what the status service refuses
            with.
        """
        timings = Timings()
        with timings.step("open"):
            tail = (
                await self._store.get(self._store.uri(tail_key(task.task_id, kept.parts_size)))
                if kept.tail_size
                else b""
            )
            expected = await self._tasks.begin(
                task.task_id, kept.size, kept.multipart_id, writer.id
            )
            if task.multipart_id and not kept.multipart_id and not kept.whole:
                # Of a stream that this one replaces.
                await self._cleanup.remove(Leftover(task.file_uri, task.multipart_id))
        resumable = task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        parts = PartWriter(
            self._store,
            task.file_uri,
            kept,
            self._settings.parts_in_flight,
            timings,
            resumable=resumable,
        )
        tee = self._tees.begin(task, expected)
        if kept.size:
            # Of bytes that it has not seen validation cannot judge.
            tee.end()
        return Stream(task, writer, parts, tee, timings, kept.size, tail)

    async def _take(self, stream: Stream) -> tuple[Last, bytes]:
        """Takes everything up to the end of the stream. All of it is stored then, and the object is
        not visible yet. Returns how it ended, and the SHA-256 of a finished file where it is known.
        """
        sha256 = b""
        try:
            async with asyncio.TaskGroup() as group:
                stream.parts.start(group)
                reporter = group.create_task(self._report(stream))
                last = await self._bytes(stream)
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
            raise _first(failures) from failures
        return last, sha256

    async def _bytes(self, stream: Stream) -> Last:
        """Takes chunks up to the end of the stream."""
        try:
            await stream.parts.take_tail(stream.tail)
            stream.tail = b""
            while True:
                with stream.timings.step("receive"):
                    step = await stream.writer.next()
                match step:
                    case Chunk():
                        self._check_chunk(step, stream)
                        stream.tee.hand(step.data)
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
            raise _wrong(f"The file was announced with {announced:,} bytes, and more arrived.")
        if stream.parts.whole:
            raise _wrong(f"The file is stored with {offset:,} bytes, and more arrived.")
        if chunk.crc32c is not None and crc32c.crc32c(chunk.data) != chunk.crc32c:
            message = f"The {len(chunk.data)} bytes from byte {offset} on do not have the CRC-32C that came with them."
            raise errors.error(ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH, message)

    async def _report(self, stream: Stream) -> None:
        """Tells the status service what has arrived, until cancelled. Ends the stream when the task
        has ended meanwhile, or when a stream at another process has taken over.
        """
        parts, task_id = stream.parts, stream.task.task_id
        told, told_at = (stream.begun_at, parts.multipart_id), perf_counter()
        findings = stream.tee.findings
        opened = asyncio.create_task(parts.opened.wait())
        try:
            await asyncio.wait([opened], timeout=REPORT_INTERVAL_S)
            while True:
                now, at = (parts.size, parts.multipart_id), perf_counter()
                if now != told or at - told_at >= SIGN_OF_LIFE_S:
                    try:
                        await self._tasks.report(
                            task_id,
                            *now,
                            stream.writer.id,
                            max(now[0] - told[0], 0) / (at - told_at),
                            findings,
                        )
                        told, told_at = now, at
                    except SluiceError as failure:
                        if failure.reason in ENDED_MEANWHILE | {
                            ErrorReason.ERROR_REASON_WRITER_REPLACED
                        }:
                            raise
                        logs.get().warning(
                            "upload.report_failed",
                            code=failure.code,
                            reason=failure.problem.message,
                        )
                interval_s = max(REPORT_INTERVAL_S, (at - stream.started) / 60)
                await asyncio.sleep(min(interval_s, LONGEST_REPORT_INTERVAL_S))
        finally:
            opened.cancel()

    def _interrupted(self) -> SluiceError:
        """Why a stream broke; gRPC shows the end of this process and that of the client in the same
        two ways.
        """
        if self._stopping:
            return errors.error(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "The upload service was stopped while the file arrived.",
                action="Send the file again.",
                metadata={"service": "upload"},
            )
        return errors.error(
            ErrorReason.ERROR_REASON_CLIENT_GONE,
            "The client went away before the file was complete.",
        )


def too_large(limit: int) -> SluiceError:
    """FILE_TOO_LARGE with the limit, in bytes."""
    return errors.error(
        ErrorReason.ERROR_REASON_FILE_TOO_LARGE,
        f"The file is larger than {limit:,} bytes, the largest that this server takes.",
        metadata={"limit_bytes": str(limit)},
    )


def empty() -> SluiceError:
    """FILE_EMPTY."""
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
            f"The upload takes no more bytes: its task is {state}.",
            metadata={"state": state},
        )


def _check_whole(task: Task, finish: Finish, size: int, sha256: bytes) -> None:
    """Raises FILE_EMPTY or CHECKSUM_MISMATCH unless all that was announced of the file holds. What
    cannot be said yet of the SHA-256 of a file that came in several streams is checked by
    validation.
    """
    if not size:
        raise empty()
    for announced_size in (_announced(task), finish.size):
        if announced_size is not None and announced_size != size:
            raise _wrong(
                f"The file was announced with {announced_size:,} bytes, and {size:,} arrived."
            )
    sha256 = sha256 or finish.sha256
    for announced in (task.sha256, finish.sha256):
        if announced and sha256 and announced != sha256:
            raise _wrong(
                f"The file was announced with SHA-256 {announced.hex()}, and what arrived has {sha256.hex()}."
            )


def _check_stored(task: Task, kept: Stored, *, alone: bool) -> None:
    """Raises what speaks against a finish that comes without a byte. `alone`: no other stream sends
    the upload at this process."""
    if not kept.size:
        raise empty()
    announced = _announced(task)
    if kept.whole or kept.size == announced:
        return
    if not alone:
        message = "Another connection sends this file at the moment."
        raise errors.error(
            ErrorReason.ERROR_REASON_STATE_CONFLICT,
            message,
            action="Wait until it has ended, then ask GetUpload where to go on.",
            metadata={"state": "PENDING"},
        )
    if announced is not None:
        raise _wrong(
            f"The file was announced with {announced:,} bytes, and {kept.size:,} are stored."
        )


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
        ErrorReason.ERROR_REASON_REQUEST_INVALID,
        message,
        column="step",
        action="Send header, chunk, chunk, ..., finish in this order.",
    )


def _wrong(message: str) -> WrongFileError:
    return WrongFileError(errors.problem(ErrorReason.ERROR_REASON_CHECKSUM_MISMATCH, message))
