"""Composition root: opens and wires everything."""

import asyncio
from contextlib import AsyncExitStack
from functools import partial

from services.common import s3
from services.common.serving import server
from services.common.serving.cancelling import cancel
from services.common.serving.handover import Handover
from services.common.settings import S3Settings
from services.druid_gateway.http import client as druid_http
from services.druid_gateway.http import endpoints
from services.druid_gateway.loads.inputs import PresignedUrls, S3Extension
from services.druid_gateway.ports import InputSource
from services.druid_gateway.servicer import DruidGateway
from services.druid_gateway.settings import Settings
from services.druid_gateway.watching.poller import TaskPoller
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc


async def build(stack: AsyncExitStack, settings: Settings, s3_settings: S3Settings | None) -> int:
    """Start the service and return its port; `stack` stops it. `s3_settings` are only needed with
    DRUID_INPUT=http.
    """
    http = await stack.enter_async_context(
        druid_http.client(settings.druid_url, settings.druid_timeout_s)
    )
    druid = druid_http.HttpDruid(http)
    inputs: InputSource = S3Extension()
    if settings.druid_input == "http":
        if s3_settings is None:
            raise ValueError("DRUID_INPUT=http requires the settings of the object store")
        inputs = PresignedUrls(await stack.enter_async_context(s3.client(s3_settings)))
    poller = TaskPoller(druid, settings.druid_outage_s)
    polling = asyncio.create_task(poller.run(), name="task poller")
    stack.push_async_callback(cancel, polling)
    handover = Handover("druid_gateway")
    servicer = DruidGateway(
        druid, inputs, poller, handover, settings.query_max_bytes, settings.query_max_rows
    )
    port = await server.start(
        stack,
        settings,
        lambda grpc_server: druid_pb2_grpc.add_DruidGatewayServiceServicer_to_server(
            servicer, grpc_server
        ),
        [druid_pb2.DESCRIPTOR.services_by_name["DruidGatewayService"].full_name],
        {
            "druid_router": partial(druid.check, endpoints.ROUTER_HEALTH),
            "druid_overlord": partial(druid.check, endpoints.OVERLORD_LEADER),
            "druid_coordinator": partial(druid.check, endpoints.COORDINATOR_LEADER),
            "druid_broker": druid.check_broker,
        },
    )
    stack.callback(handover.stop)
    return port
