"""Every RPC with numbers and texts at their limits: a response or a rejection, never an internal
error."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from grpc import aio

from services.common.serving import server
from services.common.serving.handover import Handover
from services.common.settings import GrpcSettings
from services.druid_gateway.loads.inputs import S3Extension
from services.druid_gateway.servicer import DruidGateway
from services.druid_gateway.watching.poller import TaskPoller
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from tests.bad_requests import SOUND, extreme, failure
from tests.unit.druid_gateway.fake_druid import FakeDruid

SERVICE = druid_pb2.DESCRIPTOR.services_by_name["DruidGatewayService"]


@pytest.fixture
async def channel() -> AsyncIterator[aio.Channel]:
    druid = FakeDruid(lines=[b'["n"]', b'["LONG"]', b'["BIGINT"]', b"[1]"])
    poller = TaskPoller(druid, 1.0)
    servicer = DruidGateway(druid, S3Extension(), poller, Handover("druid_gateway"), 1024, 1000)
    async with AsyncExitStack() as stack:
        polling = asyncio.create_task(poller.run())
        stack.callback(polling.cancel)
        port = await server.start(
            stack,
            GrpcSettings(bind_addr="127.0.0.1:0", shutdown_grace_s=0),
            lambda made: druid_pb2_grpc.add_DruidGatewayServiceServicer_to_server(servicer, made),
            [SERVICE.full_name],
            {},
        )
        yield await stack.enter_async_context(aio.insecure_channel(f"127.0.0.1:{port}"))


@pytest.mark.parametrize("method", list(SERVICE.methods), ids=lambda method: method.name)
async def test_limits_of_types_cause_no_internal_error(
    channel: aio.Channel, method: MethodDescriptor
) -> None:
    base = GetMessageClass(method.input_type)(**SOUND[method.name])
    found = {
        str(case): failed.code
        for case in extreme(base)
        if (failed := await failure(channel, method, case.data))
    }
    assert {
        case: code for case, code in found.items() if code in ("INTERNAL", "DEADLINE_EXCEEDED")
    } == {}
