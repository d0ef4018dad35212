"""Client of UploadService."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import grpc

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.upload.v1 import upload_pb2_grpc
from sluice.upload.v1.upload_pb2 import (
    AbortUploadRequest,
    AbortUploadResponse,
    CreateUploadRequest,
    CreateUploadResponse,
    GetLimitsRequest,
    GetLimitsResponse,
    GetUploadRequest,
    GetUploadResponse,
    ImportObjectRequest,
    ImportObjectResponse,
    Upload,
    WriteUploadRequest,
    WriteUploadResponse,
)

GET_DEADLINE_S = 75.0
"""Deadline of GetUpload. After a disconnect it waits until the received bytes are stored."""

IMPORT_DEADLINE_S = 240.0
"""Deadline of ImportObject, during which the object store copies the file."""

MAX_YIELD_S = 0.1
"""Maximum seconds that a chunk waits for task reads, so that uploads always make progress."""

RETRY_AFTER_S = 0.3
"""Pause before the only retry of CreateUpload."""


class UploadRpc:
    """Implements ports.Uploads."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        deadline_s: float,
        reads_idle: Callable[[], Awaitable[None]],
    ) -> None:
        """`reads_idle` waits until the current task reads are done."""
        self._stub = upload_pb2_grpc.UploadServiceStub(channel)
        self._deadline_s = deadline_s
        self._reads_idle = reads_idle

    async def create(self, request: CreateUploadRequest) -> CreateUploadResponse:
        """Retries once while the service restarts; the request id makes this idempotent."""
        for tries_left in (1, 0):
            try:
                answer: CreateUploadResponse = await self._stub.CreateUpload(request)
            except grpc.RpcError as failure:
                found = errors.from_rpc(failure, "upload")
                if not tries_left or found.reason != ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE:
                    raise found from failure
            else:
                return answer
            await asyncio.sleep(RETRY_AFTER_S)
        raise AssertionError("the last attempt returns or raises")

    async def write(self, messages: AsyncIterator[WriteUploadRequest]) -> Upload:
        answer: WriteUploadResponse = await errors.answered(
            self._stub.WriteUpload(self._yielding(messages), timeout=self._deadline_s), "upload"
        )
        return answer.upload

    async def _yielding(
        self, messages: AsyncIterator[WriteUploadRequest]
    ) -> AsyncIterator[WriteUploadRequest]:
        """The same messages, each after the current task reads, which have priority (ADR 0024)."""
        async for message in messages:
            with suppress(TimeoutError):
                async with asyncio.timeout(MAX_YIELD_S):
                    await self._reads_idle()
            yield message

    async def get(self, upload_id: str) -> Upload:
        answer: GetUploadResponse = await errors.answered(
            self._stub.GetUpload(GetUploadRequest(upload_id=upload_id), timeout=GET_DEADLINE_S),
            "upload",
        )
        return answer.upload

    async def abort(self, upload_id: str) -> Upload:
        answer: AbortUploadResponse = await errors.answered(
            self._stub.AbortUpload(AbortUploadRequest(upload_id=upload_id)), "upload"
        )
        return answer.upload

    async def import_object(self, request: ImportObjectRequest) -> Upload:
        answer: ImportObjectResponse = await errors.answered(
            self._stub.ImportObject(request, timeout=IMPORT_DEADLINE_S), "upload"
        )
        return answer.upload

    async def limits(self) -> GetLimitsResponse:
        return await errors.answered(self._stub.GetLimits(GetLimitsRequest()), "upload")
