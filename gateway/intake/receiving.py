"""Streams a file from the client's connection to the upload service, a few chunks at a time."""

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
"""Size from which a chunk is sent. gRPC is fastest between this and 1 MiB."""

MAX_CHUNK_BYTES = 1024 * 1024

HOLD_S = 1.0
"""Seconds after which a smaller chunk of a slow client is sent, so that the upload service sees
progress.
"""

STALL_S = 60.0
"""Maximum seconds that the upload service may take for one chunk."""

COMMIT_S = 120.0
"""Maximum seconds from the last byte to the response of the upload service."""


@dataclass(frozen=True)
class Destination:
    """Where and how a client wants its file to be loaded."""

    request_id: str
    datasource: str
    mode: "LoadMode.ValueType"
    allow_duplicate: bool
    options: ReadOptions | None = None
    replace: TimeRange | None = None
    """The interval of REPLACE_INTERVAL."""
    plan_first: bool = False
    """Stop in PLANNED until the plan is applied."""
    client: str = ""
    """The sender, see gateway.http.clients."""

    def request(
        self,
        filename: str,
        mode: "UploadMode.ValueType",
        *,
        size: int | None = None,
        client_metadata: str = "",
    ) -> CreateUploadRequest:
        """The request that creates the upload."""
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
    """Create the task, stream the file, and return the upload once the task is UPLOADED.

    If an earlier request with the same request id succeeded, its upload is returned without reading
    a byte.

    Raises:
        ClientDisconnect: the client disconnected; the stream to the upload service was broken.
        SluiceError: the form is invalid, or the upload service rejected the file. Nothing is kept.
    """
    timings = Timings()
    with timings.step("create"):
        created = await uploads.create(
            destination.request(file.filename, UploadMode.UPLOAD_MODE_ONE_SHOT)
        )
    logs.bind(task_id=created.upload.upload_id)
    if not created.created and created.upload.state != TaskState.TASK_STATE_PENDING:
        return _earlier_outcome(created.upload)
    try:
        upload = await _Transfer(uploads, created.upload.upload_id, file.pieces(), timings).run()
    except SluiceError as failure:
        if created.created or failure.reason != ErrorReason.ERROR_REASON_UPLOAD_CLOSED:
            raise
        # The earlier request completed the upload while this one waited to become its writer.
        return _earlier_outcome(await uploads.get(created.upload.upload_id))
    timings.log("upload.accepted", bytes=upload.committed_size)
    return upload


async def append(
    uploads: Uploads, upload_id: str, pieces: AsyncGenerator[bytes, None], *, offset: int, size: int
) -> Upload:
    """Append bytes to a RESUMABLE upload at `offset`. Returns the upload after them; it is complete
    once it has `size` bytes.

    Raises:
        ClientDisconnect: the client disconnected; the bytes that arrived are kept.
        SluiceError: OFFSET_MISMATCH, WRITER_REPLACED, and other errors of the upload service.
    """
    timings = Timings()
    upload = await _Transfer(uploads, upload_id, pieces, timings, offset=offset, size=size).run()
    timings.log("upload.appended", offset=offset, bytes=upload.committed_size - offset)
    return upload


def _earlier_outcome(upload: Upload) -> Upload:
    """The outcome of an earlier request: an error if it failed while receiving, else the upload."""
    if upload.state in task_states.TERMINAL and upload.problem.code and not upload.committed_size:
        raise SluiceError(upload.problem)
    return upload


class _Transfer:
    """Two asyncio tasks: one reads from the client, one writes to the upload service. A queue of
    one message between them gives back-pressure and bounds memory.
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
        """`size` is that of a RESUMABLE upload, of which this request may send only a part."""
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
            # Raises if the client disconnected: the stream then stays without an end.
            invalid = await reading
            with self._timings.step("commit"):
                async with asyncio.timeout(COMMIT_S):
                    return await self._outcome(writing, invalid)
        except TimeoutError:
            text = (
                "The upload service did not respond within "
                f"{COMMIT_S:g} seconds after the last byte."
            )
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
    async def _outcome(writing: "asyncio.Task[Upload]", invalid: SluiceError | None) -> Upload:
        """The upload service's response. An error of the request takes precedence."""
        try:
            upload = await writing
        except SluiceError as failure:
            if invalid is None:
                raise
            if failure.code != invalid.code:
                logs.get().warning(
                    "upload.abort_failed", code=failure.code, reason=failure.problem.message
                )
            raise invalid from None
        if invalid is not None:
            raise invalid
        return upload

    async def _messages(self) -> AsyncIterator[WriteUploadRequest]:
        yield WriteUploadRequest(header=WriteHeader(upload_id=self._upload_id, offset=self._offset))
        last = False
        while not last:
            message = await self._queue.get()
            last = message.WhichOneof("step") in ("finish", "pause", "abort")
            yield message

    async def _read(self) -> SluiceError | None:
        """Queue the chunks, then the end of the stream. Returns the error of an invalid request,
        after queueing an abort.
        """
        size = self._offset
        invalid = None
        try:
            async with aclosing(rechunked(self._pieces)) as chunks:
                async for chunk in chunks:
                    size += len(chunk)
                    message = WriteUploadRequest()
                    # Set in place: passing a WriteChunk to the constructor copies it twice more.
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
                # The request is invalid, not the file: keep the bytes that arrived.
                raise
            invalid = failure
            last = WriteUploadRequest(abort=WriteAbort(problem=failure.problem))
        await self._put(last)
        return invalid

    async def _put(self, message: WriteUploadRequest) -> None:
        try:
            async with asyncio.timeout(STALL_S):
                await self._queue.put(message)
        except TimeoutError:
            text = f"The upload service accepted no bytes for {STALL_S:g} seconds."
            raise _StallError(
                problem(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, text), {"service": "upload"}
            ) from None


class _StallError(SluiceError):
    """The upload service stalled, so an abort could not reach it either."""


async def rechunked(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same bytes in chunks of CHUNK_BYTES to MAX_CHUNK_BYTES. The last chunk may be smaller,
    and so may those of a slow client, because no byte is held longer than HOLD_S.
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
