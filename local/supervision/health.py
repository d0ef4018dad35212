"""Health checks of Sluice's processes: gRPC health of the services, /readyz of the gateway."""

from __future__ import annotations

import grpc
import httpx
from grpc_health.v1 import health_pb2, health_pb2_grpc

from local.supervision import loopback

TIMEOUT_SECONDS = 3.0


def service_problem(address: str) -> str | None:
    """Check the health of the service at `address` (host:port); return what is wrong, or None."""
    options = [("grpc.enable_http_proxy", 0)]
    with grpc.insecure_channel(address, options=options) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            return _reason(error)
    if answer.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return f"its health is {name}"


def gateway_problem(url: str) -> str | None:
    """Check that the gateway at `url` is ready; return what is wrong, or None."""
    try:
        with loopback.client(TIMEOUT_SECONDS) as client:
            answer = client.get(f"{url}/readyz")
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    if answer.status_code == httpx.codes.OK:
        return None
    return f"/readyz answers {answer.status_code}: {answer.text.strip()[:300]}"


def _reason(error: grpc.RpcError) -> str:
    if isinstance(error, grpc.Call):
        return f"{error.code().name}: {error.details()}"
    return str(error)
