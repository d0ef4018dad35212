"""Uploads, to UploadService."""

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

LOOK_DEADLINE_S = 75.0
"""An upload whose connection has just broken is looked at once everything that had arrived is
stored.
"""

IMPORT_DEADLINE_S = 240.0
"""The object store has to copy the file meanwhile."""

MOST_GIVEN_WAY_S = 0.1
"""Longest wait of a message for others, so that an upload goes on whatever else happens."""

AGAIN_S = 0.3
"""Seconds after which a service that was away is asked once more."""


class UploadRpc:
    """Implements ports.Uploads."""

    def __init__(
        self, channel: grpc.aio.Channel, deadline_s: float, others: Callable[[], Awaitable[None]]
    ) -> None:
        """`others` returns when those who wait for more than a file's bytes have their answers."""
        self._stub = upload_pb2_grpc.UploadServiceStub(channel)
        self._deadline_s = deadline_s
        self._others = others

    async def create(self, request: CreateUploadRequest) -> CreateUploadResponse:
        """Asked a second time where the service was just being restarted: the request id makes that
        harmless.
        """
        for tries_left in (1, 0):
            try:
                answer: CreateUploadResponse = await self._stub.CreateUpload(request)
            except grpc.RpcError as failure:
                refusal = errors.from_rpc(failure, "upload")
                if not tries_left or refusal.reason != ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE:
                    raise refusal from failure
            else:
                return answer
            await asyncio.sleep(AGAIN_S)
        raise AssertionError("the last try returns or raises")

    async def write(self, messages: AsyncIterator[WriteUploadRequest]) -> Upload:
        answer: WriteUploadResponse = await errors.answered(
            self._stub.WriteUpload(self._giving_way(messages), timeout=self._deadline_s), "upload"
        )
        return answer.upload

    async def _giving_way(
        self, messages: AsyncIterator[WriteUploadRequest]
    ) -> AsyncIterator[WriteUploadRequest]:
        """The same messages, each after those who wait: a file can wait, who asks for a state
        cannot.
        """
        async for message in messages:
            with suppress(TimeoutError):
                async with asyncio.timeout(MOST_GIVEN_WAY_S):
                    await self._others()
            yield message

    async def get(self, upload_id: str) -> Upload:
        answer: GetUploadResponse = await errors.answered(
            self._stub.GetUpload(GetUploadRequest(upload_id=upload_id), timeout=LOOK_DEADLINE_S),
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
        answer: GetLimitsResponse = await errors.answered(
            self._stub.GetLimits(GetLimitsRequest()), "upload"
        )
        return answer
