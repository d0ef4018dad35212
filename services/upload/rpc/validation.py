"""Client of ValidationService."""

from collections.abc import AsyncGenerator, AsyncIterator

from grpc import aio

from services.common import errors
from sluice.validation.v1.validation_pb2 import InspectRequest, InspectResponse
from sluice.validation.v1.validation_pb2_grpc import ValidationServiceStub


class ValidationRpc:
    """Implements ports.Validation. `deadline_s` is the deadline per file."""

    def __init__(self, channel: aio.Channel, deadline_s: float) -> None:
        self._stub = ValidationServiceStub(channel)
        self._deadline_s = deadline_s

    def inspect(
        self, messages: AsyncIterator[InspectRequest]
    ) -> AsyncGenerator[InspectResponse, None]:
        """Send the messages of one file and yield the findings."""
        return errors.streamed(
            lambda: self._stub.Inspect(messages, timeout=self._deadline_s), "validation"
        )
