"""Client of ValidationService."""

from collections.abc import AsyncGenerator

import grpc

from services.common import errors
from sluice.validation.v1.validation_pb2 import (
    GetReportRequest,
    GetReportResponse,
    Report,
    ValidateObjectRequest,
    ValidateObjectResponse,
)
from sluice.validation.v1.validation_pb2_grpc import ValidationServiceStub

SERVICE = "validation"


class ValidationRpc:
    """Implements ports.Validation."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ValidationServiceStub(channel)

    def validate(
        self, request: ValidateObjectRequest, timeout_s: float
    ) -> AsyncGenerator[ValidateObjectResponse, None]:
        """Yields the progress, then the report."""
        return errors.streamed(
            lambda: self._stub.ValidateObject(request, timeout=timeout_s), SERVICE
        )

    async def report(self, task_id: str, attempt: int) -> Report:
        """Returns the report of an attempt."""
        answer: GetReportResponse = await errors.answered(
            self._stub.GetReport(GetReportRequest(task_id=task_id, attempt=attempt)), SERVICE
        )
        return answer.report
