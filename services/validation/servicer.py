"""ValidationService: messages in, messages out."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from services.common import logs
from services.validation.validation import Validation
from sluice.validation.v1 import validation_pb2_grpc
from sluice.validation.v1.validation_pb2 import (
    DeleteResultsRequest,
    DeleteResultsResponse,
    GetRejectsRequest,
    GetRejectsResponse,
    GetReportRequest,
    GetReportResponse,
    ValidateObjectRequest,
    ValidateObjectResponse,
)


class ValidationServicer(validation_pb2_grpc.ValidationServiceServicer):
    """Hands every call to Validation."""

    def __init__(self, validation: Validation) -> None:
        self._validation = validation

    async def ValidateObject(self, request: ValidateObjectRequest, context: Any) -> AsyncIterator[ValidateObjectResponse]:
        logs.bind(task_id=request.task_id, attempt=request.attempt)
        async with aclosing(self._validation.validate(request)) as steps:
            async for step in steps:
                yield step

    async def GetReport(self, request: GetReportRequest, context: Any) -> GetReportResponse:
        return GetReportResponse(report=await self._validation.report(request.task_id, request.attempt))

    async def GetRejects(self, request: GetRejectsRequest, context: Any) -> AsyncIterator[GetRejectsResponse]:
        async with aclosing(self._validation.rejects(request.task_id, request.attempt)) as pieces:
            async for data in pieces:
                yield GetRejectsResponse(data=data)

    async def DeleteResults(self, request: DeleteResultsRequest, context: Any) -> DeleteResultsResponse:
        logs.bind(task_id=request.task_id)
        return DeleteResultsResponse(deleted=await self._validation.delete(request.task_id))
