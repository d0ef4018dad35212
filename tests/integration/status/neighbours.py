"""The validation service and the Druid gateway as the status service meets them: our fakes, over
real gRPC.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from services.common import errors
from services.common.serving import server
from services.common.settings import GrpcSettings
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from sluice.upload.v1 import upload_pb2, upload_pb2_grpc
from sluice.validation.v1 import validation_pb2, validation_pb2_grpc
from tests.unit.status.fakes import FakeLoads, FakeValidation


class _Validation(validation_pb2_grpc.ValidationServiceServicer):
    def __init__(self, fake: FakeValidation, files: "FakeFiles") -> None:
        self._fake = fake
        self._files = files

    async def DeleteResults(
        self, request: validation_pb2.DeleteResultsRequest, context: Any
    ) -> validation_pb2.DeleteResultsResponse:
        self._files.check()
        self._files.results.append(request.task_id)
        return validation_pb2.DeleteResultsResponse(deleted=2)

    async def ValidateObject(
        self, request: validation_pb2.ValidateObjectRequest, context: Any
    ) -> AsyncIterator[validation_pb2.ValidateObjectResponse]:
        async for answer in self._fake.validate(request, 60):
            yield answer

    async def GetReport(
        self, request: validation_pb2.GetReportRequest, context: Any
    ) -> validation_pb2.GetReportResponse:
        return validation_pb2.GetReportResponse(
            report=await self._fake.report(request.task_id, request.attempt)
        )

    def GetRejects(
        self, request: validation_pb2.GetRejectsRequest, context: Any
    ) -> AsyncIterator[validation_pb2.GetRejectsResponse]:
        raise NotImplementedError("the status service never asks for rejects")

    def Inspect(self, requests: Any, context: Any) -> AsyncIterator[validation_pb2.InspectResponse]:
        raise NotImplementedError("the status service has no bytes to be inspected")


class FakeFiles:
    """What was deleted of which task; while `away` nothing can be."""

    def __init__(self) -> None:
        self.uploads: list[str] = []
        self.results: list[str] = []
        self.away = False

    def check(self) -> None:
        if self.away:
            raise errors.error(
                ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE, "The object store does not answer."
            )


class _Upload(upload_pb2_grpc.UploadServiceServicer):
    def __init__(self, fake: FakeFiles) -> None:
        self._fake = fake

    async def DeleteObjects(
        self, request: upload_pb2.DeleteObjectsRequest, context: Any
    ) -> upload_pb2.DeleteObjectsResponse:
        self._fake.check()
        self._fake.uploads.append(request.task_id)
        return upload_pb2.DeleteObjectsResponse(deleted=1)


class _Druid(druid_pb2_grpc.DruidGatewayServiceServicer):
    def __init__(self, fake: FakeLoads) -> None:
        self._fake = fake

    async def PlanIngestion(
        self, request: druid_pb2.PlanIngestionRequest, context: Any
    ) -> druid_pb2.PlanIngestionResponse:
        return await self._fake.plan(request)

    async def SubmitLoad(
        self, request: druid_pb2.SubmitLoadRequest, context: Any
    ) -> druid_pb2.SubmitLoadResponse:
        return await self._fake.submit(request)

    async def WatchLoad(
        self, request: druid_pb2.WatchLoadRequest, context: Any
    ) -> AsyncIterator[druid_pb2.WatchLoadResponse]:
        async for answer in self._fake.watch(request, 60):
            yield answer

    async def VerifyLoad(
        self, request: druid_pb2.VerifyLoadRequest, context: Any
    ) -> druid_pb2.VerifyLoadResponse:
        return await self._fake.verify(request)

    async def CountLoads(
        self, request: druid_pb2.CountLoadsRequest, context: Any
    ) -> druid_pb2.CountLoadsResponse:
        return await self._fake.count(request)

    async def RemoveLoad(
        self, request: druid_pb2.RemoveLoadRequest, context: Any
    ) -> druid_pb2.RemoveLoadResponse:
        return await self._fake.remove(request)

    def Query(
        self, request: druid_pb2.QueryRequest, context: Any
    ) -> AsyncIterator[druid_pb2.QueryResponse]:
        raise NotImplementedError("the status service never queries")

    async def ListDatasources(
        self, request: druid_pb2.ListDatasourcesRequest, context: Any
    ) -> druid_pb2.ListDatasourcesResponse:
        raise NotImplementedError("nor does it look around")

    async def DescribeDatasource(
        self, request: druid_pb2.DescribeDatasourceRequest, context: Any
    ) -> druid_pb2.DescribeDatasourceResponse:
        raise NotImplementedError("nor does it look around")

    async def PreviewRows(
        self, request: druid_pb2.PreviewRowsRequest, context: Any
    ) -> druid_pb2.PreviewRowsResponse:
        raise NotImplementedError("nor does it look around")

    async def ProposeQueries(
        self, request: druid_pb2.ProposeQueriesRequest, context: Any
    ) -> druid_pb2.ProposeQueriesResponse:
        raise NotImplementedError("nor does it look around")


async def serve_upload(stack: AsyncExitStack, fake: FakeFiles) -> str:
    """Address of an upload service."""
    settings = GrpcSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0)
    servicer = _Upload(fake)  # type: ignore[abstract]
    port = await server.start(
        stack,
        settings,
        lambda it: upload_pb2_grpc.add_UploadServiceServicer_to_server(servicer, it),
        [],
        {},
    )
    return f"127.0.0.1:{port}"


async def serve_validation(stack: AsyncExitStack, fake: FakeValidation, files: FakeFiles) -> str:
    """Address of a validation service."""
    settings = GrpcSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0)
    port = await server.start(
        stack,
        settings,
        lambda it: validation_pb2_grpc.add_ValidationServiceServicer_to_server(
            _Validation(fake, files), it
        ),
        [],
        {},
    )
    return f"127.0.0.1:{port}"


async def serve_druid_gateway(
    stack: AsyncExitStack, fake: FakeLoads, address: str = "127.0.0.1:0"
) -> str:
    """Address of a Druid gateway."""
    settings = GrpcSettings(bind_addr=address, shutdown_grace_s=0)
    port = await server.start(
        stack,
        settings,
        lambda it: druid_pb2_grpc.add_DruidGatewayServiceServicer_to_server(_Druid(fake), it),
        [],
        {},
    )
    return f"127.0.0.1:{port}"
