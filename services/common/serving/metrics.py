"""Prometheus metrics of a gRPC process: its calls by method and status."""

import asyncio
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

from grpc import StatusCode, aio
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from services.common.serving.interceptors import Call, Interceptor

_CODES: dict[int, str] = {int(code.value[0]): str(code.name) for code in StatusCode}


class Metrics(Interceptor):
    """Counts and times the calls of our services.

    It must be the outermost interceptor to see the status that the caller gets.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.calls = Counter(
            "sluice_rpcs", "Finished calls.", ["method", "code"], registry=self.registry
        )
        self.running = Gauge(
            "sluice_rpcs_running",
            "Running calls.",
            ["method"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "sluice_rpc_seconds",
            "Duration of calls in seconds.",
            ["method"],
            buckets=(0.005, 0.02, 0.1, 0.5, 2, 10, 60, 300, 1800),
            registry=self.registry,
        )

    def _call(
        self,
        method: str,
        metadata: dict[str, str | bytes],
        context: "aio.ServicerContext[Any, Any]",
    ) -> Call:
        return _CountedCall(self, method.removeprefix("/"), context)

    def serve(self, stack: AsyncExitStack, address: str) -> int:
        """Serve the metrics at host:port, in separate threads, until `stack` ends.

        Returns the port.

        Raises:
            OSError: it cannot bind to the address.
        """
        host, _, port = address.rpartition(":")
        http, _ = start_http_server(int(port), host, self.registry)
        stack.push_async_callback(asyncio.to_thread, http.shutdown)
        stack.callback(http.server_close)
        return int(http.server_port)


class _CountedCall(Call):
    def __init__(
        self, metrics: Metrics, method: str, context: "aio.ServicerContext[Any, Any]"
    ) -> None:
        self._metrics, self._method, self._context = metrics, method, context

    async def __aenter__(self) -> None:
        self._started = perf_counter()
        self._metrics.running.labels(self._method).inc()

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, _: object
    ) -> bool:
        metrics = self._metrics
        metrics.running.labels(self._method).dec()
        metrics.seconds.labels(self._method).observe(perf_counter() - self._started)
        metrics.calls.labels(self._method, _outcome(self._context, failure)).inc()
        return False


def _outcome(context: "aio.ServicerContext[Any, Any]", failure: BaseException | None) -> str:
    """Return the status name of a call; CANCELLED if the caller went away."""
    if isinstance(failure, asyncio.CancelledError | GeneratorExit):
        return str(StatusCode.CANCELLED.name)
    code: StatusCode | int | None = context.code()
    number = code.value[0] if isinstance(code, StatusCode) else code
    return _CODES.get(number or 0, str(StatusCode.UNKNOWN.name))
