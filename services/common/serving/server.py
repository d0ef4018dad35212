"""The life of a gRPC process: logs, a server with health and reflection, graceful shutdown."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Any

import uvloop
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from services.common import logs
from services.common.serving import garbage
from services.common.serving.cancelling import cancel
from services.common.serving.channels import MAX_MESSAGE_BYTES
from services.common.serving.health import Check, Readiness
from services.common.serving.interceptors import OpenAuthenticator, server_interceptors
from services.common.serving.metrics import Metrics
from services.common.settings import GrpcSettings, ServiceSettings

_OPTIONS = [
    # Clients reconnect regularly, so that new replicas get their share. Running calls continue.
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Otherwise two processes could share a port unnoticed.
    ("grpc.so_reuseport", 0),
    # Allows the pings that channels.py sends.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # A half-open connection is detected within 40 s.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
]


class PortTakenError(RuntimeError):
    """The process cannot bind to an address of its settings."""


async def start(
    stack: AsyncExitStack,
    settings: GrpcSettings,
    register: Callable[[aio.Server], object],
    services: list[str],
    checks: dict[str, Check],
) -> int:
    """Start a server and return the port that it listens on.

    `services` are full proto names (`sluice.upload.v1.UploadService`), and `checks` the stores that
    this service owns. `stack` stops the server: it reports NOT_SERVING, lets running calls end
    within SHUTDOWN_GRACE_S, and closes.

    Raises:
        PortTakenError: the process cannot bind to an address.
    """
    metrics = Metrics()
    server = aio.server(
        interceptors=[metrics, *server_interceptors(OpenAuthenticator())], options=_OPTIONS
    )
    register(server)
    readiness = Readiness(checks, services)
    health_pb2_grpc.add_HealthServicer_to_server(readiness.servicer, server)
    health_name = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
    reflection.enable_server_reflection([*services, health_name, reflection.SERVICE_NAME], server)
    try:
        port = server.add_insecure_port(settings.bind_addr)
    except RuntimeError as failure:
        raise PortTakenError(
            f"Cannot bind to BIND_ADDR={settings.bind_addr}: {failure}"
        ) from failure
    if settings.metrics_addr:
        try:
            metrics.serve(stack, settings.metrics_addr)
        except OSError as failure:
            raise PortTakenError(
                f"Cannot bind to METRICS_ADDR={settings.metrics_addr}: {failure}"
            ) from failure
    await server.start()
    stack.push_async_callback(server.stop, settings.shutdown_grace_s)
    task = asyncio.create_task(readiness.run(), name="readiness")
    stack.push_async_callback(cancel, task)
    stack.push_async_callback(readiness.stop)
    logs.get().info("server.started", port=port, services=services)
    return int(port)


async def until_stopped() -> None:
    """Wait for SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    await stopped.wait()
    logs.get().info("server.stopping")


def run(
    service: str,
    settings: ServiceSettings,
    main: Callable[[AsyncExitStack], Coroutine[Any, Any, None]],
) -> None:
    """Run a process until SIGTERM or SIGINT. `main` opens everything on the stack."""
    logs.configure(service, settings.log_level, settings.log_format)

    async def life() -> None:
        async with AsyncExitStack() as stack:
            await main(stack)
            garbage.collect_rarely()
            await until_stopped()
        logs.get().info("server.stopped")

    try:
        uvloop.run(life())
    except PortTakenError as failure:
        logs.get().error("server.port_taken", reason=str(failure))
        raise SystemExit(3) from None
