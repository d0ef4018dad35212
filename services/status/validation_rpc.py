"""The validation service, over gRPC."""

from collections.abc import AsyncGenerator

import grpc

from services.common import errors
from sluice.validation.v1.validation_pb2 import GetReportRequest, GetReportResponse, Report, ValidateObjectRequest, ValidateObjectResponse
from sluice.validation.v1.validation_pb2_grpc import ValidationServiceStub

SERVICE = "validation"


class ValidationRpc:
    """Implements ports.Validation."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ValidationServiceStub(channel)

    async def validate(self, request: ValidateObjectRequest, timeout_s: float) -> AsyncGenerator[ValidateObjectResponse, None]:
        """Progress, then the report."""
        call = self._stub.ValidateObject(request, timeout=timeout_s)
        try:
            async for answer in call:
                yield answer
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, SERVICE) from failure
        finally:
            call.cancel()

    async def report(self, task_id: str, attempt: int) -> Report:
        """The report of an attempt."""
        answer: GetReportResponse = await errors.answered(self._stub.GetReport(GetReportRequest(task_id=task_id, attempt=attempt)), SERVICE)
        return answer.report
