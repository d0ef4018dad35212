"""Checks the health of the four services."""

import asyncio

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.documents import models

TIMEOUT_S = 1.0

PROTO_NAMES = {
    "upload": "sluice.upload.v1.UploadService",
    "validation": "sluice.validation.v1.ValidationService",
    "druid_gateway": "sluice.druid.v1.DruidGatewayService",
    "status": "sluice.status.v1.StatusService",
}


async def check(channels: dict[str, grpc.aio.Channel]) -> models.Readiness:
    """Check all services concurrently. `channels` has the keys of PROTO_NAMES."""
    states = await asyncio.gather(
        *(_check(channels[name], service) for name, service in PROTO_NAMES.items())
    )
    services = dict(zip(PROTO_NAMES, states, strict=True))
    return models.Readiness.model_validate(
        {"ready": set(states) == {"SERVING"}, "services": services}
    )


async def _check(channel: grpc.aio.Channel, service: str) -> str:
    request = health_pb2.HealthCheckRequest(service=service)
    try:
        answer = await health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT_S)
    except grpc.RpcError:
        return "UNREACHABLE"
    return "SERVING" if answer.status == health_pb2.HealthCheckResponse.SERVING else "NOT_SERVING"
