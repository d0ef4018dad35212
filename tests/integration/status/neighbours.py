"""The validation service and the Druid gateway as the status service meets them: our fakes, over real gRPC."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from services.common import server
from services.common.settings import ServiceSettings
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from sluice.validation.v1 import validation_pb2, validation_pb2_grpc
from tests.unit.status.fakes import FakeLoads, FakeValidation


class _Validation(validation_pb2_grpc.ValidationServiceServicer):
    def __init__(self, fake: FakeValidation) -> None:
        self._fake = fake

    async def ValidateObject(
        self, request: validation_pb2.ValidateObjectRequest, context: Any
    ) -> AsyncIterator[validation_pb2.ValidateObjectResponse]:
        async for answer in self._fake.validate(request, 60):
            yield answer

    async def GetReport(self, request: validation_pb2.GetReportRequest, context: Any) -> validation_pb2.GetReportResponse:
        return validation_pb2.GetReportResponse(report=await self._fake.report(request.task_id, request.attempt))

    def GetRejects(self, request: validation_pb2.GetRejectsRequest, context: Any) -> AsyncIterator[validation_pb2.GetRejectsResponse]:
        raise NotImplementedError("the status service never asks for rejects")


class _Druid(druid_pb2_grpc.DruidGatewayServiceServicer):
    def __init__(self, fake: FakeLoads) -> None:
        self._fake = fake

    async def SubmitLoad(self, request: druid_pb2.SubmitLoadRequest, context: Any) -> druid_pb2.SubmitLoadResponse:
        return await self._fake.submit(request)

    async def WatchLoad(self, request: druid_pb2.WatchLoadRequest, context: Any) -> AsyncIterator[druid_pb2.WatchLoadResponse]:
        async for answer in self._fake.watch(request.druid_task_id, 60):
            yield answer

    async def VerifyLoad(self, request: druid_pb2.VerifyLoadRequest, context: Any) -> druid_pb2.VerifyLoadResponse:
        return await self._fake.verify(request)

    async def RemoveLoad(self, request: druid_pb2.RemoveLoadRequest, context: Any) -> druid_pb2.RemoveLoadResponse:
        return await self._fake.remove(request)

    def Query(self, request: druid_pb2.QueryRequest, context: Any) -> AsyncIterator[druid_pb2.QueryResponse]:
        raise NotImplementedError("the status service never queries")


async def serve_validation(stack: AsyncExitStack, fake: FakeValidation) -> str:
    """Address of a validation service."""
    settings = ServiceSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0)
    port = await server.start(
        stack, settings, lambda it: validation_pb2_grpc.add_ValidationServiceServicer_to_server(_Validation(fake), it), [], {}
    )
    return f"127.0.0.1:{port}"


async def serve_druid_gateway(stack: AsyncExitStack, fake: FakeLoads, address: str = "127.0.0.1:0") -> str:
    """Address of a Druid gateway."""
    settings = ServiceSettings(bind_addr=address, shutdown_grace_s=0)
    port = await server.start(
        stack, settings, lambda it: druid_pb2_grpc.add_DruidGatewayServiceServicer_to_server(_Druid(fake), it), [], {}
    )
    return f"127.0.0.1:{port}"
