"""The validation service, over gRPC."""

from collections.abc import AsyncGenerator, AsyncIterator

import grpc
from grpc import aio

from services.common import errors
from sluice.validation.v1.validation_pb2 import InspectRequest, InspectResponse
from sluice.validation.v1.validation_pb2_grpc import ValidationServiceStub


class ValidationRpc:
    """Implements ports.Validation over a channel of services.common.channels. A file may take `deadline_s` seconds."""

    def __init__(self, channel: aio.Channel, deadline_s: float) -> None:
        self._stub = ValidationServiceStub(channel)
        self._deadline_s = deadline_s

    async def inspect(self, messages: AsyncIterator[InspectRequest]) -> AsyncGenerator[InspectResponse, None]:
        """What is found in a file while it arrives."""
        call = self._stub.Inspect(messages, timeout=self._deadline_s)
        try:
            async for answer in call:
                yield answer
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "validation") from failure
        finally:
            call.cancel()
