"""ValidationService: translates between protobuf and the domain."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from services.common import logs
from services.common.serving.handover import Handover
from services.validation.process.inspections import Inspections
from services.validation.validation import Validation
from sluice.validation.v1 import validation_pb2_grpc
from sluice.validation.v1.validation_pb2 import (
    DeleteResultsRequest,
    DeleteResultsResponse,
    GetRejectsRequest,
    GetRejectsResponse,
    GetReportRequest,
    GetReportResponse,
    InspectRequest,
    InspectResponse,
    ValidateObjectRequest,
    ValidateObjectResponse,
)


class ValidationServicer(validation_pb2_grpc.ValidationServiceServicer):
    """Passes every call to the domain."""

    def __init__(
        self, validation: Validation, inspections: Inspections, handover: Handover
    ) -> None:
        self._validation = validation
        self._inspections = inspections
        self._handover = handover

    async def ValidateObject(
        self, request: ValidateObjectRequest, context: Any
    ) -> AsyncIterator[ValidateObjectResponse]:
        logs.bind(task_id=request.task_id, attempt=request.attempt)
        with self._handover.call():
            async with aclosing(self._validation.validate(request)) as steps:
                async for step in steps:
                    yield step

    async def Inspect(
        self, requests: AsyncIterator[InspectRequest], context: Any
    ) -> AsyncIterator[InspectResponse]:
        async with aclosing(self._inspections.inspect(requests)) as answers:
            async for answer in answers:
                yield answer

    async def GetReport(self, request: GetReportRequest, context: Any) -> GetReportResponse:
        return GetReportResponse(
            report=await self._validation.report(request.task_id, request.attempt)
        )

    async def GetRejects(
        self, request: GetRejectsRequest, context: Any
    ) -> AsyncIterator[GetRejectsResponse]:
        async with aclosing(
            self._validation.rejects(request.task_id, request.attempt, request.format)
        ) as pieces:
            async for data in pieces:
                yield GetRejectsResponse(data=data)

    async def DeleteResults(
        self, request: DeleteResultsRequest, context: Any
    ) -> DeleteResultsResponse:
        logs.bind(task_id=request.task_id)
        return DeleteResultsResponse(deleted=await self._validation.delete(request.task_id))
