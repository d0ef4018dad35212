"""Readiness: the health service says SERVING only while the stores that this service itself owns
answer.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio

from services.common import logs

Check = Callable[[], Awaitable[None]]
"""Returns while the store answers; raises whatever it raises while it does not."""

CHECK_TIMEOUT_S = 3.0
INTERVAL_READY_S = 5.0
INTERVAL_NOT_READY_S = 0.5

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Readiness:
    """Asks the named checks again and again and sets the health of `services` and of the whole
    server (the empty name).
    """

    def __init__(self, checks: dict[str, Check], services: list[str]) -> None:
        self.servicer = health_aio.HealthServicer()
        self.failing: dict[str, str] = dict.fromkeys(checks, "not asked yet")
        """Name of each store that does not answer, and how it failed."""
        self._checks = checks
        self._names = ["", *services]

    async def run(self) -> None:
        """Until cancelled."""
        await self._announce(_NOT_SERVING)
        before: set[str] | None = None
        while True:
            results = await asyncio.gather(*(self._ask(check) for check in self._checks.values()))
            self.failing = {
                name: result for name, result in zip(self._checks, results, strict=True) if result
            }
            if self.failing.keys() != before:
                await self._announce(_NOT_SERVING if self.failing else _SERVING)
                logs.get().info("readiness.changed", ready=not self.failing, failing=self.failing)
            before = set(self.failing)
            await asyncio.sleep(INTERVAL_NOT_READY_S if self.failing else INTERVAL_READY_S)

    async def stop(self) -> None:
        """NOT_SERVING for good: callers go elsewhere while running calls end."""
        await self.servicer.enter_graceful_shutdown()

    @staticmethod
    async def _ask(check: Check) -> str:
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
