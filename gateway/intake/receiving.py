"""From the client's connection into the upload service, without keeping more than a few chunks."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from time import monotonic
from typing import NoReturn

from gateway.intake.form import IncomingFile
from gateway.ports import Uploads
from services.common import logs, task_states
from services.common.errors import SluiceError, error, problem
from services.common.timing import Timings
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, TaskState, TimeRange, UploadMode
from sluice.upload.v1.upload_pb2 import (
    CreateUploadRequest,
    Upload,
    WriteAbort,
    WriteFinish,
    WriteHeader,
    WritePause,
    WriteUploadRequest,
)
from sluice.validation.v1.validation_pb2 import ReadOptions

CHUNK_BYTES = 512 * 1024
"""A message is sent as soon as it holds so much; gRPC is fastest from here to 1 MiB."""

MAX_CHUNK_BYTES = 1024 * 1024

HOLD_S = 1.0
"""Seconds after which the bytes of a slow sender are handed on, however few: the upload service
sees that it is there.
"""

STALL_S = 60.0
"""Longest that the upload service may take for one chunk."""

COMMIT_S = 120.0
"""Longest that the upload service may take for its answer after the last byte."""


@dataclass(frozen=True)
class Destination:
    """What a client says of its file."""

    request_id: str
    datasource: str
    mode: "LoadMode.ValueType"
    allow_duplicate: bool
    options: ReadOptions | None = None
    """How the file is to be read."""
    replace: TimeRange | None = None
    """What a load with REPLACE_INTERVAL replaces."""
    plan_first: bool = False
    client: str = ""
    """Who sends it."""

    def request(
        self,
        filename: str,
        mode: "UploadMode.ValueType",
        *,
        size: int | None = None,
        client_metadata: str = "",
    ) -> CreateUploadRequest:
        """What the upload service is asked to make."""
        return CreateUploadRequest(
            request_id=self.request_id,
            datasource=self.datasource,
            filename=filename,
            size=size,
            mode=mode,
            load_mode=self.mode,
            allow_duplicate=self.allow_duplicate,
            options=self.options,
            client_metadata=client_metadata,
            replace=self.replace,
            plan_first=self.plan_first,
            client=self.client,
        )


async def receive(uploads: Uploads, file: IncomingFile, destination: Destination) -> Upload:
    """Makes the task, hands on the file's bytes as they arrive, and returns the upload once the
    task is UPLOADED.

    A request that came before with the same request id, and got through, is answered without
    reading a byte.

    Raises:
        ClientDisconnect: the client went away; the upload service has been told by a broken stream.
        SluiceError: whatever is wrong with the form, or what the upload service refuses. Nothing is
        kept.
    """
    timings = Timings()
    with timings.step("create"):
        created = await uploads.create(
            destination.request(file.filename, UploadMode.UPLOAD_MODE_ONE_SHOT)
        )
    logs.bind(task_id=created.upload.upload_id)
    if not created.created and created.upload.state != TaskState.TASK_STATE_PENDING:
        return _answered_before(created.upload)
    try:
        upload = await _Transfer(uploads, created.upload.upload_id, file.pieces(), timings).run()
    except SluiceError as failure:
        if created.created or failure.reason != ErrorReason.ERROR_REASON_UPLOAD_CLOSED:
            raise
        # The earlier request got through while this one waited for its place.
        return _answered_before(await uploads.get(created.upload.upload_id))
    timings.log("upload.accepted", bytes=upload.committed_size)
    return upload


async def hand_on(
    uploads: Uploads, upload_id: str, pieces: AsyncGenerator[bytes, None], *, offset: int, size: int
) -> Upload:
    """Hands on the bytes of a RESUMABLE upload from `offset` on; the upload as it stands after
    them, complete once it has `size` bytes.

    Raises:
        ClientDisconnect: the client went away; what had arrived is kept.
        SluiceError: OFFSET_MISMATCH, WRITER_REPLACED, and whatever else the upload service refuses.
    """
    timings = Timings()
    upload = await _Transfer(uploads, upload_id, pieces, timings, offset=offset, size=size).run()
    timings.log("upload.appended", offset=offset, bytes=upload.committed_size - offset)
    return upload


def _answered_before(upload: Upload) -> Upload:
    """The outcome of the earlier request: an upload that ended badly while its bytes arrived was
    refused, every other one accepted.
    """
    if upload.state in task_states.TERMINAL and upload.problem.code and not upload.committed_size:
        raise SluiceError(upload.problem)
    return upload


class _Transfer:
    """Two tasks: one reads the client, one writes to the upload service. Between them waits at most
    one message, so that a slow service slows the client and memory stays as it is.
    """

    def __init__(
        self,
        uploads: Uploads,
        upload_id: str,
        pieces: AsyncGenerator[bytes, None],
        timings: Timings,
        *,
        offset: int = 0,
        size: int | None = None,
    ) -> None:
        """`size` is that of a RESUMABLE upload: less may come, and then the rest comes another
        time.
        """
        self._uploads = uploads
        self._upload_id = upload_id
        self._pieces = pieces
        self._timings = timings
        self._offset = offset
        self._size = size
        self._queue: asyncio.Queue[WriteUploadRequest] = asyncio.Queue(maxsize=1)

    async def run(self) -> Upload:
        writing = asyncio.create_task(self._uploads.write(self._messages()), name="upload.write")
        reading = asyncio.create_task(self._read(), name="upload.read")
        try:
            with self._timings.step("receive"):
                await asyncio.wait({writing, reading}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                return self._ended_early(writing)
            # Raises what was wrong with the request; a client that has gone away leaves the stream
            # without an end.
            refused = await reading
            with self._timings.step("commit"):
                async with asyncio.timeout(COMMIT_S):
                    return await self._outcome(writing, refused)
        except TimeoutError:
            text = f"The upload service did not answer within {COMMIT_S:g} seconds after the last byte."
            raise error(
                ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, text, metadata={"service": "upload"}
            ) from None
        finally:
            writing.cancel()
            reading.cancel()
            await asyncio.gather(writing, reading, return_exceptions=True)

    @staticmethod
    def _ended_early(writing: "asyncio.Task[Upload]") -> NoReturn:
        writing.result()
        raise error(
            ErrorReason.ERROR_REASON_INTERNAL,
            "The upload service ended the upload before its last byte.",
        )

    @staticmethod
    async def _outcome(writing: "asyncio.Task[Upload]", refused: SluiceError | None) -> Upload:
        """The upload service's answer; what is wrong with the request comes first."""
        try:
            upload = await writing
        except SluiceError as failure:
            if refused is None:
                raise
            if failure.code != refused.code:
                logs.get().warning(
                    "upload.abort_failed", code=failure.code, reason=failure.problem.message
                )
            raise refused from None
        if refused is not None:
            raise refused
        return upload

    async def _messages(self) -> AsyncIterator[WriteUploadRequest]:
        yield WriteUploadRequest(header=WriteHeader(upload_id=self._upload_id, offset=self._offset))
        last = False
        while not last:
            message = await self._queue.get()
            last = message.WhichOneof("step") in ("finish", "pause", "abort")
            yield message

    async def _read(self) -> SluiceError | None:
        """Hands on the whole file, then its end. Returns what was wrong with the request, after the
        upload service was told.
        """
        size = self._offset
        refused = None
        try:
            async with aclosing(rechunked(self._pieces)) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    message = WriteUploadRequest()
                    # Set in its place: a WriteChunk that is handed to the constructor is copied
                    # twice more.
                    message.chunk.data = chunk
                    await self._put(message)
            more = self._size is not None and size < self._size
            last = (
                WriteUploadRequest(pause=WritePause())
                if more
                else WriteUploadRequest(finish=WriteFinish(size=size))
            )
        except _StallError:
            raise
        except SluiceError as failure:
            if self._size is not None:
                # The request was wrong, not the file; what has arrived of it stays.
                raise
            refused = failure
            last = WriteUploadRequest(abort=WriteAbort(problem=failure.problem))
        await self._put(last)
        return refused

    async def _put(self, message: WriteUploadRequest) -> None:
        try:
            async with asyncio.timeout(STALL_S):
                await self._queue.put(message)
        except TimeoutError:
            text = f"The upload service took no byte for {STALL_S:g} seconds."
            raise _StallError(
                problem(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, text), {"service": "upload"}
            ) from None


class _StallError(SluiceError):
    """The upload service's fault, which it cannot be told of."""


async def rechunked(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes in chunks of CHUNK_BYTES to MAX_CHUNK_BYTES; the last one may be smaller, and
    so may those of a slow sender, whose bytes are not held back for longer than HOLD_S.
    """
    waiting: list[bytes] = []
    size = 0
    sent_at = monotonic()
    async for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        late = monotonic() - sent_at >= HOLD_S
        if not size or (size < CHUNK_BYTES and not late):
            continue
        whole = b"".join(waiting)
        while len(whole) >= CHUNK_BYTES or (whole and late):
            yield whole[:MAX_CHUNK_BYTES]
            whole = whole[MAX_CHUNK_BYTES:]
        waiting, size = ([whole], len(whole)) if whole else ([], 0)
        sent_at = monotonic()
    if size:
        yield b"".join(waiting)
