"""The gRPC server: trace, errors, rules, health and shutdown."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import httpx
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import errors, trace
from services.common.serving import channels, server
from services.common.settings import GrpcSettings
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.upload.v1 import upload_pb2, upload_pb2_grpc

NAME = "sluice.upload.v1.UploadService"
SOME_ID = "7b0f3c52-1111-4222-8333-944445555666"


class Servicer(upload_pb2_grpc.UploadServiceServicer):
    """Responds depending on the requested id."""

    def __init__(self) -> None:
        self.trace_ids: list[str] = []
        self.entered = asyncio.Event()

    async def GetUpload(
        self, request: upload_pb2.GetUploadRequest, context: Any
    ) -> upload_pb2.GetUploadResponse:
        self.trace_ids.append(trace.current())
        return upload_pb2.GetUploadResponse(upload=upload_pb2.Upload(upload_id=request.upload_id))

    async def AbortUpload(
        self, request: upload_pb2.AbortUploadRequest, context: Any
    ) -> upload_pb2.AbortUploadResponse:
        raise errors.error(
            ErrorReason.ERROR_REASON_UPLOAD_CLOSED,
            "It is complete.",
            metadata={"state": "SUCCEEDED"},
        )

    async def DeleteObjects(
        self, request: upload_pb2.DeleteObjectsRequest, context: Any
    ) -> upload_pb2.DeleteObjectsResponse:
        raise ZeroDivisionError("secret detail")

    async def WriteUpload(self, requests: Any, context: Any) -> upload_pb2.WriteUploadResponse:
        return upload_pb2.WriteUploadResponse()

    async def ImportObject(
        self, request: upload_pb2.ImportObjectRequest, context: Any
    ) -> upload_pb2.ImportObjectResponse:
        return upload_pb2.ImportObjectResponse()

    async def GetLimits(
        self, request: upload_pb2.GetLimitsRequest, context: Any
    ) -> upload_pb2.GetLimitsResponse:
        return upload_pb2.GetLimitsResponse()

    async def CreateUpload(
        self, request: upload_pb2.CreateUploadRequest, context: Any
    ) -> upload_pb2.CreateUploadResponse:
        self.entered.set()
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


class Store:
    """A store that is available or not."""

    def __init__(self) -> None:
        self.away = False

    async def check(self) -> None:
        if self.away:
            raise ConnectionRefusedError("nobody listens")


@pytest.fixture
async def served() -> AsyncIterator[
    tuple[upload_pb2_grpc.UploadServiceStub, Servicer, Store, aio.Channel]
]:
    servicer, store = Servicer(), Store()
    settings = GrpcSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0.2)
    async with AsyncExitStack() as stack:
        port = await server.start(
            stack,
            settings,
            lambda made: upload_pb2_grpc.add_UploadServiceServicer_to_server(servicer, made),
            [NAME],
            {"s3": store.check},
        )
        channel = await stack.enter_async_context(channels.connect(f"127.0.0.1:{port}"))
        yield upload_pb2_grpc.UploadServiceStub(channel), servicer, store, channel


Served = tuple[upload_pb2_grpc.UploadServiceStub, Servicer, Store, aio.Channel]


async def failed(call: Any) -> errors.SluiceError:
    with pytest.raises(grpc.RpcError) as raised:
        await call
    return errors.from_rpc(raised.value, "upload")


async def test_the_trace_goes_with_the_call(served: Served) -> None:
    stub, servicer, _, _ = served
    begun = trace.begin()
    await stub.GetUpload(upload_pb2.GetUploadRequest(upload_id=SOME_ID))
    assert servicer.trace_ids == [begun]


async def test_an_error_keeps_its_code_and_facts(served: Served) -> None:
    seen = await failed(served[0].AbortUpload(upload_pb2.AbortUploadRequest(upload_id=SOME_ID)))
    assert (seen.code, seen.metadata) == ("UPLOAD_CLOSED", {"state": "SUCCEEDED"})


async def test_an_unexpected_failure_hides_its_details(served: Served) -> None:
    seen = await failed(served[0].DeleteObjects(upload_pb2.DeleteObjectsRequest(task_id=SOME_ID)))
    assert seen.code == "INTERNAL"
    assert "secret" not in str(seen.problem)
    assert seen.metadata["trace_id"] in seen.problem.message


async def test_rules_are_checked_before_the_servicer(served: Served) -> None:
    seen = await failed(served[0].GetUpload(upload_pb2.GetUploadRequest(upload_id="nonsense")))
    assert (seen.code, seen.problem.column, seen.problem.value) == (
        "REQUEST_INVALID",
        "upload_id",
        "nonsense",
    )
    assert served[1].trace_ids == []


async def test_health_follows_the_store(served: Served) -> None:
    _, _, store, channel = served
    watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=NAME))
    statuses = (answer.status async for answer in watch)

    async def until(wanted: "health_pb2.HealthCheckResponse.ServingStatus.ValueType") -> None:
        async with asyncio.timeout(10):
            while await anext(statuses) != wanted:
                pass

    await until(health_pb2.HealthCheckResponse.SERVING)
    store.away = True
    await until(health_pb2.HealthCheckResponse.NOT_SERVING)
    store.away = False
    await until(health_pb2.HealthCheckResponse.SERVING)
    watch.cancel()


async def test_a_taken_port_is_an_error(served: Served) -> None:
    async with AsyncExitStack() as stack:
        settings = GrpcSettings(bind_addr="127.0.0.1:0")
        port = await server.start(stack, settings, lambda made: None, [], {})
        again = GrpcSettings(bind_addr=f"127.0.0.1:{port}")
        with pytest.raises(server.PortTakenError, match=str(port)):
            await server.start(stack, again, lambda made: None, [], {})


async def test_calls_are_counted_by_method_and_outcome() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    servicer = Servicer()
    settings = GrpcSettings(bind_addr="127.0.0.1:0", metrics_addr=address, shutdown_grace_s=0)
    async with AsyncExitStack() as stack, httpx.AsyncClient(trust_env=False) as http:
        port = await server.start(
            stack,
            settings,
            lambda made: upload_pb2_grpc.add_UploadServiceServicer_to_server(servicer, made),
            [NAME],
            {},
        )
        channel = await stack.enter_async_context(channels.connect(f"127.0.0.1:{port}"))
        stub = upload_pb2_grpc.UploadServiceStub(channel)
        for _ in range(3):
            await stub.GetUpload(upload_pb2.GetUploadRequest(upload_id=SOME_ID))
        await failed(stub.GetUpload(upload_pb2.GetUploadRequest(upload_id="nonsense")))
        await failed(stub.AbortUpload(upload_pb2.AbortUploadRequest(upload_id=SOME_ID)))
        hanging = asyncio.ensure_future(
            stub.CreateUpload(
                upload_pb2.CreateUploadRequest(request_id="r", datasource="d", filename="f.csv")
            )
        )
        await servicer.entered.wait()
        text = (await http.get(f"http://{address}/metrics")).text
        hanging.cancel()
        with pytest.raises(server.PortTakenError, match=f"METRICS_ADDR={address}"):
            await server.start(stack, settings, lambda made: None, [], {})
    figures = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("sluice_rpcs")
    )
    assert figures[f'sluice_rpcs_total{{code="OK",method="{NAME}/GetUpload"}}'] == "3.0"
    assert (
        figures[f'sluice_rpcs_total{{code="INVALID_ARGUMENT",method="{NAME}/GetUpload"}}'] == "1.0"
    )
    assert (
        figures[f'sluice_rpcs_total{{code="FAILED_PRECONDITION",method="{NAME}/AbortUpload"}}']
        == "1.0"
    )
    assert figures[f'sluice_rpcs_running{{method="{NAME}/CreateUpload"}}'] == "1.0"
    assert f'sluice_rpc_seconds_count{{method="{NAME}/GetUpload"}} 4.0' in text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 1)


async def test_running_calls_get_only_the_grace_period() -> None:
    servicer = Servicer()
    async with AsyncExitStack() as outer:
        stack = AsyncExitStack()
        settings = GrpcSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0.2)
        port = await server.start(
            stack,
            settings,
            lambda made: upload_pb2_grpc.add_UploadServiceServicer_to_server(servicer, made),
            [NAME],
            {},
        )
        channel = await outer.enter_async_context(channels.connect(f"127.0.0.1:{port}"))
        request = upload_pb2.CreateUploadRequest(request_id="r", datasource="d", filename="f.csv")
        hanging = asyncio.ensure_future(
            upload_pb2_grpc.UploadServiceStub(channel).CreateUpload(request)
        )
        await servicer.entered.wait()
        async with asyncio.timeout(5):
            await stack.aclose()
        assert (await failed(hanging)).code in {"SERVICE_UNAVAILABLE", "CANCELLED"}


async def test_a_unary_call_without_deadline_gets_one(
    monkeypatch: pytest.MonkeyPatch, served: Served
) -> None:
    monkeypatch.setattr(channels, "DEFAULT_DEADLINE_S", 0.2)
    request = upload_pb2.CreateUploadRequest(request_id="r", datasource="d", filename="f.csv")
    assert (await failed(served[0].CreateUpload(request))).code == "DEADLINE_EXCEEDED"


async def test_a_call_that_an_older_release_lacks_is_retryable(served: Served) -> None:
    stub = status_pb2_grpc.StatusServiceStub(served[3])
    assert (
        await failed(stub.GetTask(status_pb2.GetTaskRequest(task_id="x")))
    ).code == "SERVICE_UNAVAILABLE"
