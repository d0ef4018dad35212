"""Sending files: at once where they are pieces, with any number of interruptions where they lie on
disk.
"""

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
from sluice_client.chunks import Digest, catch_up, messages, of_file
from sluice_client.errors import SluiceClientError
from sluice_client.requests import build
from sluice_client.retry import DEADLINE_S, Retry, ask
from sluice_client.streaming import answered

UPLOAD_DEADLINE_S = 4 * 3600.0
"""Deadline of sending one file on one connection. The server ends a stream that falls silent far
earlier.
"""

IMPORT_DEADLINE_S = 240.0
"""The object store has to copy the file meanwhile."""

PASSING = frozenset({"SERVICE_UNAVAILABLE", "STORAGE_UNAVAILABLE", "DATABASE_UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "CLIENT_GONE",
    "UPLOAD_STALLED", "TOO_MANY_UPLOADS", "OFFSET_MISMATCH", "INTERNAL"})  # fmt: skip
"""What breaks a stream and not the upload. CHECKSUM_MISMATCH is not among them: it may be the file
that has changed.
"""

Progress = Callable[[int], None]
"""Is told how many bytes of the file have been handed to the connection or were stored before."""


class Uploads:
    """The calls of UploadService."""

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
        """The upload, new or found by its `request_id`; one that is found goes on at its
        committed_size.
        """
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
        """The upload of a file that lies in a bucket, s3://bucket/key; copied when this returns, or
        found by its `request_id`.
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
        """What the server takes."""
        answer: upload_pb2.GetLimitsResponse = await ask(
            "upload",
            lambda: self._stub.GetLimits(upload_pb2.GetLimitsRequest(), timeout=DEADLINE_S),
        )
        return answer

    async def get(self, upload_id: str) -> Upload:
        """The upload as it stands."""
        request = build(upload_pb2.GetUploadRequest, upload_id=upload_id)
        answer: upload_pb2.GetUploadResponse = await ask(
            "upload", lambda: self._stub.GetUpload(request, timeout=DEADLINE_S)
        )
        return answer.upload

    async def abort(self, upload_id: str) -> Upload:
        """Gives the upload up; what was stored of it is deleted."""
        request = build(upload_pb2.AbortUploadRequest, upload_id=upload_id)
        answer: upload_pb2.AbortUploadResponse = await ask(
            "upload", lambda: self._stub.AbortUpload(request, timeout=DEADLINE_S)
        )
        return answer.upload

    async def send_file(
        self, upload: Upload, path: Path, progress: Progress | None = None
    ) -> Upload:
        """Sends what is missing of the file, over as many connections as it takes. Gives up where
        for 30 s no byte more got stored.
        """
        digest, retry = Digest(), Retry()
        while upload.state == TaskState.TASK_STATE_PENDING:
            offset = upload.committed_size
            try:
                await catch_up(digest, path, offset)
                async with aclosing(of_file(path, offset)) as pieces:
                    return await self._write(
                        messages(upload.upload_id, _told(pieces, offset, progress), offset, digest)
                    )
            except SluiceClientError as broken:
                if broken.code not in PASSING:
                    raise
                failure = broken
            while True:
                await retry.pause(failure)
                try:
                    upload = await self.get(upload.upload_id)
                    break
                except SluiceClientError as away:
                    if away.code not in PASSING:
                        raise
                    failure = away
            if upload.committed_size > offset:
                retry = Retry()
        if upload.problem.code:
            raise SluiceClientError.of_problem(upload.problem)
        return upload

    async def send_pieces(self, upload: Upload, pieces: AsyncIterable[bytes]) -> Upload:
        """Sends a whole file in one stream."""
        return await self._write(messages(upload.upload_id, pieces))

    async def _write(self, steps: AsyncIterator[upload_pb2.WriteUploadRequest]) -> Upload:
        unreadable: list[Exception] = []

        stepping = asyncio.Lock()
        over = False

        async def sent() -> AsyncIterator[upload_pb2.WriteUploadRequest]:
            try:
                while not over:
                    async with stepping:
                        message = await anext(steps, None)
                    if message is None:
                        return
                    yield message
            except Exception as failure:
                # gRPC only cancels the call then, and keeps the reason to itself.
                unreadable.append(failure)
                raise

        try:
            answer: upload_pb2.WriteUploadResponse = await answered(
                self._stub.WriteUpload(sent(), timeout=UPLOAD_DEADLINE_S)
            )
        except aio.AioRpcError as failure:
            raise SluiceClientError.of_rpc(failure, "upload") from failure
        except asyncio.CancelledError:
            if unreadable:
                raise unreadable[0] from None
            raise
        finally:
            # A call may end while a piece of the file is being read: nobody could close the file
            # then.
            over = True
            async with stepping:
                pass
        return answer.upload


def _range(start: datetime, end: datetime) -> TimeRange:
    """Times without a zone are UTC."""
    first, last = (
        (each if each.tzinfo else each.replace(tzinfo=UTC)).timestamp() for each in (start, end)
    )
    return TimeRange(start_millis=round(first * 1000), end_millis=round(last * 1000))


async def _told(
    pieces: AsyncIterable[bytes], offset: int, progress: Progress | None
) -> AsyncIterator[bytes]:
    if progress:
        progress(offset)
    async for piece in pieces:
        yield piece
        offset += len(piece)
        if progress:
            progress(offset)
