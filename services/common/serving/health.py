"""Readiness: a service is SERVING only while the stores that it owns respond."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from services.common import logs

Check = Callable[[], Awaitable[None]]
"""Checks a store: returns if it responds, raises any exception if it does not."""

CHECK_TIMEOUT_S = 3.0
INTERVAL_READY_S = 5.0
INTERVAL_NOT_READY_S = 0.5

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Readiness:
    """Runs the checks regularly; sets the health of `services` and of the server (empty name)."""

    def __init__(self, checks: dict[str, Check], services: list[str]) -> None:
        self.servicer = health_aio.HealthServicer()
        self.failing: dict[str, str] = dict.fromkeys(checks, "not checked yet")
        """Stores that do not respond, with their errors."""
        self._checks = checks
        self._names = ["", *services]

    async def run(self) -> None:
        """Run until cancelled."""
        await self._announce(_NOT_SERVING)
        failing_before: set[str] | None = None
        while True:
            results = await asyncio.gather(
                *(self._failure_of(check) for check in self._checks.values())
            )
            self.failing = {
                name: result for name, result in zip(self._checks, results, strict=True) if result
            }
            if self.failing.keys() != failing_before:
                await self._announce(_NOT_SERVING if self.failing else _SERVING)
                logs.get().info("readiness.changed", ready=not self.failing, failing=self.failing)
            failing_before = set(self.failing)
            await asyncio.sleep(INTERVAL_NOT_READY_S if self.failing else INTERVAL_READY_S)

    async def stop(self) -> None:
        """Report NOT_SERVING from now on, so that callers use other replicas while calls end."""
        await self.servicer.enter_graceful_shutdown()

    @staticmethod
    async def _failure_of(check: Check) -> str:
        with suppress(TimeoutError):
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    await check()
                return ""
            except TimeoutError:
                raise
            except Exception as failure:
                return f"{type(failure).__name__}: {failure}"[:300]
        return f"no answer within {CHECK_TIMEOUT_S:g} s"

    async def _announce(
        self, status: "health_pb2.HealthCheckResponse.ServingStatus.ValueType"
    ) -> None:
        for name in self._names:
            await self.servicer.set(name, status)
