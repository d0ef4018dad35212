"""The four services over real gRPC, with their interceptors but fake servicers, to test that the
gateway sends only valid messages."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc import aio
from starlette.types import ASGIApp

from gateway.app import http_app
from gateway.live.all_watch import AllWatch
from gateway.live.watches import Watches
from gateway.metrics import Metrics
from gateway.ports import Services
from gateway.rpc.druid import DruidRpc
from gateway.rpc.quality import QualityRpc
from gateway.rpc.status import StatusRpc
from gateway.rpc.upload import UploadRpc
from gateway.rpc.validation import ValidationRpc
from gateway.rpc.webhooks import WebhooksRpc
from gateway.settings import Settings
from services.common.serving import server
from services.common.serving.channels import connect
from services.common.settings import GrpcSettings
from sluice.common.v1.task_pb2 import TaskState
from sluice.druid.v1 import druid_pb2
from sluice.status.v1 import status_pb2
from sluice.upload.v1 import upload_pb2
from sluice.validation.v1 import validation_pb2
from tests.contract.services import SERVICES
from tests.unit.gateway.edge_fakes import (
    FakeQuality,
    FakeQueries,
    FakeReports,
    FakeTasks,
    FakeUploads,
    FakeWebhooks,
    nobody_ready,
)

QUERY_STEPS = (
    druid_pb2.QueryResponse(header=druid_pb2.QueryHeader(query_id="q")),
    druid_pb2.QueryResponse(summary=druid_pb2.QuerySummary()),
)


class Answers:
    """The response of each RPC."""

    def __init__(self) -> None:
        self.tasks, self.uploads = FakeTasks(), FakeUploads()
        self.tasks.task.report_attempt = 1
        self.tasks.task.datasource = "sales"
        self.tasks.task.state = TaskState.TASK_STATE_SUCCEEDED
        self._reports, self._quality = FakeReports(), FakeQuality()
        self._queries, self._webhooks = FakeQueries(*QUERY_STEPS), FakeWebhooks()

    async def GetTask(self, request: Any) -> Any:
        return status_pb2.GetTaskResponse(task=self.tasks.task)

    async def GetTasks(self, request: Any) -> Any:
        return status_pb2.GetTasksResponse(tasks=dict.fromkeys(request.task_ids, self.tasks.task))

    async def ListTasks(self, request: Any) -> Any:
        return await self.tasks.list(request)

    async def CancelTask(self, request: Any) -> Any:
        return status_pb2.CancelTaskResponse(task=self.tasks.task)

    async def RetryTask(self, request: Any) -> Any:
        return status_pb2.RetryTaskResponse(task=await self.tasks.retry(request))

    async def DeleteTaskFiles(self, request: Any) -> Any:
        return status_pb2.DeleteTaskFilesResponse(
            task=await self.tasks.delete_files(request.task_id)
        )

    async def GetHistory(self, request: Any) -> Any:
        return await self.tasks.history(request.task_id)

    async def GetStatistics(self, request: Any) -> Any:
        return await self.tasks.statistics(request.hours)

    async def RevertLoad(self, request: Any) -> Any:
        return status_pb2.RevertLoadResponse(task=self.tasks.task)

    async def GetPlan(self, request: Any) -> Any:
        return await self.tasks.plan(request.task_id)

    async def ApplyPlan(self, request: Any) -> Any:
        return status_pb2.ApplyPlanResponse(task=self.tasks.task)

    async def GetReceipt(self, request: Any) -> Any:
        return await self.tasks.receipt(request.task_id)

    async def SetWebhook(self, request: Any) -> Any:
        return await self._webhooks.put(request)

    async def GetWebhook(self, request: Any) -> Any:
        return status_pb2.GetWebhookResponse(webhook=await self._webhooks.get(request.datasource))

    async def ListWebhookDeliveries(self, request: Any) -> Any:
        found = await self._webhooks.deliveries(request.datasource, request.page_size)
        return status_pb2.ListWebhookDeliveriesResponse(deliveries=found)

    async def GetDatasourceSettings(self, request: Any) -> Any:
        return status_pb2.GetDatasourceSettingsResponse(
            settings=await self._quality.settings(request.datasource)
        )

    async def SetDatasourceSettings(self, request: Any) -> Any:
        return status_pb2.SetDatasourceSettingsResponse(settings=request.settings)

    async def ListQuality(self, request: Any) -> Any:
        return await self._quality.quality(request.datasource, request.limit)

    async def CreateUpload(self, request: Any) -> Any:
        return await self.uploads.create(request)

    async def ImportObject(self, request: Any) -> Any:
        return upload_pb2.ImportObjectResponse(upload=await self.uploads.import_object(request))

    async def GetUpload(self, request: Any) -> Any:
        return upload_pb2.GetUploadResponse(upload=await self.uploads.get(request.upload_id))

    async def AbortUpload(self, request: Any) -> Any:
        return upload_pb2.AbortUploadResponse(upload=await self.uploads.abort(request.upload_id))

    async def WriteUpload(self, requests: Any) -> Any:
        return upload_pb2.WriteUploadResponse(upload=await self.uploads.write(requests))

    async def GetLimits(self, request: Any) -> Any:
        return await self.uploads.limits()

    async def GetReport(self, request: Any) -> Any:
        report = await self._reports.report(request.task_id, request.attempt)
        return validation_pb2.GetReportResponse(report=report)

    async def GetRejects(self, request: Any) -> AsyncIterator[Any]:
        async for data in self._reports.rejects(request.task_id, request.attempt, request.format):
            yield validation_pb2.GetRejectsResponse(data=data)

    async def Query(self, request: Any) -> AsyncIterator[Any]:
        async for step in self._queries.query(request.sql, request.limit):
            yield step

    async def ListDatasources(self, request: Any) -> Any:
        return await self._queries.datasources()

    async def DescribeDatasource(self, request: Any) -> Any:
        return await self._queries.datasource(request.name)

    async def PreviewRows(self, request: Any) -> Any:
        return await self._queries.preview(request.name, request.limit)

    async def ProposeQueries(self, request: Any) -> Any:
        return await self._queries.proposals(request.name)


def _handlers(
    answers: Answers, names: Mapping[str, MethodDescriptor]
) -> dict[str, grpc.RpcMethodHandler]:
    made = {}
    for name, method in names.items():
        kinds = [
            "stream" if streams else "unary"
            for streams in (method.client_streaming, method.server_streaming)
        ]
        make = getattr(grpc, f"{'_'.join(kinds)}_rpc_method_handler")
        output = GetMessageClass(method.output_type)
        made[name] = make(
            _behavior(getattr(answers, name, None), output, streams=method.server_streaming),
            GetMessageClass(method.input_type).FromString,
            output.SerializeToString,
        )
    return made


def _behavior(
    response: Callable[[Any], Any] | None, output: Any, *, streams: bool
) -> Callable[[Any, Any], Any]:
    async def stream(request: Any, context: Any) -> AsyncIterator[Any]:
        if response is not None:
            async for each in response(request):
                yield each

    async def once(request: Any, context: Any) -> Any:
        found: Awaitable[Any] | None = response(request) if response is not None else None
        return await found if found is not None else output()

    return stream if streams else once


@asynccontextmanager
async def gateway_on_rpcs(**settings: Any) -> AsyncIterator[ASGIApp]:
    """The gateway in front of the fake services."""
    answers = Answers()

    def register(made: aio.Server) -> None:
        for service in SERVICES.values():
            handlers = _handlers(answers, service.methods_by_name)
            made.add_generic_rpc_handlers(
                (grpc.method_handlers_generic_handler(service.full_name, handlers),)
            )

    async with AsyncExitStack() as stack:
        port = await server.start(
            stack, GrpcSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0), register, [], {}
        )
        channel = await stack.enter_async_context(connect(f"127.0.0.1:{port}"))
        tasks = StatusRpc(channel)
        services = Services(
            tasks=tasks,
            uploads=UploadRpc(channel, 10, tasks.loader.wait_idle),
            reports=ValidationRpc(channel),
            quality=QualityRpc(channel),
            queries=DruidRpc(channel, 10, 10),
            webhooks=WebhooksRpc(channel),
        )
        addresses = dict.fromkeys(
            ("upload_addr", "validation_addr", "druid_gateway_addr", "status_addr"), "127.0.0.1:9"
        )
        metrics = Metrics()
        watches, all_watch = Watches(tasks, metrics.watches), AllWatch(tasks)
        stack.push_async_callback(watches.close)
        stack.push_async_callback(all_watch.close)
        yield http_app(
            services,
            watches,
            all_watch,
            Settings(**{**addresses, **settings}),
            metrics,
            nobody_ready,
        )
