"""Uploads: one-shot for streams of bytes, resumable for files on disk."""

import asyncio
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from pathlib import Path

from grpc import aio

from sluice.common.v1.task_pb2 import LoadMode, TaskState, TimeRange, UploadMode
from sluice.upload.v1 import upload_pb2, upload_pb2_grpc
from sluice.upload.v1.upload_pb2 import Upload
from sluice_client.chunks import Digest, catch_up, messages, read_file
from sluice_client.errors import SluiceClientError
from sluice_client.requests import build
from sluice_client.retry import DEADLINE_S, Retry, ask
from sluice_client.streaming import answered

UPLOAD_DEADLINE_S = 4 * 3600.0
"""Deadline of one upload stream. The server ends a stalled stream much earlier."""

IMPORT_DEADLINE_S = 240.0
"""Includes the copy of the file by the object store."""

TRANSIENT = frozenset(
    {
        "SERVICE_UNAVAILABLE",
        "STORAGE_UNAVAILABLE",
        "DATABASE_UNAVAILABLE",
        "DEADLINE_EXCEEDED",
        "CANCELLED",
        "CLIENT_GONE",
        "UPLOAD_STALLED",
        "TOO_MANY_UPLOADS",
        "OFFSET_MISMATCH",
        "INTERNAL",
    }
)
"""Errors that break a stream but not the upload. CHECKSUM_MISMATCH is not one of them, because the
file may have changed.
"""

Progress = Callable[[int], None]
"""Receives the number of bytes of the file that are sent or already stored."""


class Uploads:
    """Client of UploadService."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = upload_pb2_grpc.UploadServiceStub(channel)

    async def create(
        self,
        filename: str,
        datasource: str,
        *,
        size: int | None,
        resumable: bool,
        load_mode: "LoadMode.ValueType" = LoadMode.LOAD_MODE_APPEND,
        interval: tuple[datetime, datetime] | None = None,
        plan_first: bool = False,
        allow_duplicate: bool = False,
        request_id: str | None = None,
    ) -> Upload:
        """Create an upload, or find it by its `request_id`; it resumes at its committed_size."""
        request = build(
            upload_pb2.CreateUploadRequest,
            request_id=request_id or str(uuid.uuid4()),
            datasource=datasource,
            filename=filename,
            size=size,
            mode=UploadMode.UPLOAD_MODE_RESUMABLE if resumable else UploadMode.UPLOAD_MODE_ONE_SHOT,
            load_mode=load_mode,
            replace=_range(*interval) if interval else None,
            plan_first=plan_first,
            allow_duplicate=allow_duplicate,
        )
        answer: upload_pb2.CreateUploadResponse = await ask(
            "upload", lambda: self._stub.CreateUpload(request, timeout=DEADLINE_S)
        )
        return answer.upload

    async def import_object(
        self,
        uri: str,
        datasource: str,
        *,
        replace: bool = False,
        allow_duplicate: bool = False,
        request_id: str | None = None,
    ) -> Upload:
        """Import a file from a bucket (s3://bucket/key), or find the import by its `request_id`.

        Returns once the file is copied.
        """
        request = build(
            upload_pb2.ImportObjectRequest,
            request_id=request_id or str(uuid.uuid4()),
            uri=uri,
            datasource=datasource,
            load_mode=LoadMode.LOAD_MODE_REPLACE if replace else LoadMode.LOAD_MODE_APPEND,
            allow_duplicate=allow_duplicate,
        )
        answer: upload_pb2.ImportObjectResponse = await ask(
            "upload", lambda: self._stub.ImportObject(request, timeout=IMPORT_DEADLINE_S)
        )
        return answer.upload

    async def limits(self) -> upload_pb2.GetLimitsResponse:
        """Return the limits of the server."""
        answer: upload_pb2.GetLimitsResponse = await ask(
            "upload",
            lambda: self._stub.GetLimits(upload_pb2.GetLimitsRequest(), timeout=DEADLINE_S),
        )
        return answer

    async def get(self, upload_id: str) -> Upload:
        """Return the current state of the upload."""
        request = build(upload_pb2.GetUploadRequest, upload_id=upload_id)
        answer: upload_pb2.GetUploadResponse = await ask(
            "upload", lambda: self._stub.GetUpload(request, timeout=DEADLINE_S)
        )
        return answer.upload

    async def abort(self, upload_id: str) -> Upload:
        """Abort the upload and delete its stored bytes."""
        request = build(upload_pb2.AbortUploadRequest, upload_id=upload_id)
        answer: upload_pb2.AbortUploadResponse = await ask(
            "upload", lambda: self._stub.AbortUpload(request, timeout=DEADLINE_S)
        )
        return answer.upload

    async def send_file(
        self, upload: Upload, path: Path, progress: Progress | None = None
    ) -> Upload:
        """Send the missing bytes of the file, reconnecting as often as necessary. Fails if no
        further byte is stored for 30 s.
        """
        digest, retry = Digest(), Retry()
        while upload.state == TaskState.TASK_STATE_PENDING:
            offset = upload.committed_size
            try:
                await catch_up(digest, path, offset)
                async with aclosing(read_file(path, offset)) as pieces:
                    return await self._write(
                        messages(
                            upload.upload_id, _reporting(pieces, offset, progress), offset, digest
                        )
                    )
            except SluiceClientError as stream_failure:
                if stream_failure.code not in TRANSIENT:
                    raise
                failure = stream_failure
            while True:
                await retry.pause(failure)
                try:
                    upload = await self.get(upload.upload_id)
                    break
                except SluiceClientError as read_failure:
                    if read_failure.code not in TRANSIENT:
                        raise
                    failure = read_failure
            if upload.committed_size > offset:
                retry = Retry()
        if upload.problem.code:
            raise SluiceClientError.of_problem(upload.problem)
        return upload

    async def send_pieces(self, upload: Upload, pieces: AsyncIterable[bytes]) -> Upload:
        """Send a whole file in one stream."""
        return await self._write(messages(upload.upload_id, pieces))

    async def _write(self, steps: AsyncIterator[upload_pb2.WriteUploadRequest]) -> Upload:
        source_failures: list[Exception] = []
        reading = asyncio.Lock()
        ended = False

        async def requests() -> AsyncIterator[upload_pb2.WriteUploadRequest]:
            try:
                while not ended:
                    async with reading:
                        message = await anext(steps, None)
                    if message is None:
                        return
                    yield message
            except Exception as failure:
                # gRPC cancels the call and drops the reason.
                source_failures.append(failure)
                raise

        try:
            answer: upload_pb2.WriteUploadResponse = await answered(
                self._stub.WriteUpload(requests(), timeout=UPLOAD_DEADLINE_S)
            )
        except aio.AioRpcError as failure:
            raise SluiceClientError.of_rpc(failure, "upload") from failure
        except asyncio.CancelledError:
            if source_failures:
                raise source_failures[0] from None
            raise
        finally:
            # The call may end during a read. The file can only be closed after it.
            ended = True
            async with reading:
                pass
        return answer.upload


def _range(start: datetime, end: datetime) -> TimeRange:
    """Convert to a TimeRange. Times without a time zone are UTC."""
    first, last = (
        (each if each.tzinfo else each.replace(tzinfo=UTC)).timestamp() for each in (start, end)
    )
    return TimeRange(start_millis=round(first * 1000), end_millis=round(last * 1000))


async def _reporting(
    pieces: AsyncIterable[bytes], offset: int, progress: Progress | None
) -> AsyncIterator[bytes]:
    if progress:
        progress(offset)
    async for piece in pieces:
        yield piece
        offset += len(piece)
        if progress:
            progress(offset)
