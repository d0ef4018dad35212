"""Client of DruidGatewayService."""

from collections.abc import AsyncGenerator

import grpc

from services.common import errors
from services.status.pipeline.gate import Gate
from sluice.druid.v1.druid_pb2 import (
    CountLoadsRequest,
    CountLoadsResponse,
    PlanIngestionRequest,
    PlanIngestionResponse,
    RemoveLoadRequest,
    RemoveLoadResponse,
    SubmitLoadRequest,
    SubmitLoadResponse,
    VerifyLoadRequest,
    VerifyLoadResponse,
    WatchLoadRequest,
    WatchLoadResponse,
)
from sluice.druid.v1.druid_pb2_grpc import DruidGatewayServiceStub

SERVICE = "druid_gateway"
GRACE_S = 15.0
"""Timeout of a call in seconds, in addition to the wait that it requests."""


class LoadsRpc:
    """Implements ports.Loads."""

    def __init__(self, channel: grpc.aio.Channel, gate: Gate) -> None:
        self._stub = DruidGatewayServiceStub(channel)
        self._gate = gate

    async def plan(self, request: PlanIngestionRequest) -> PlanIngestionResponse:
        """Returns what a load would do."""
        return await errors.answered(self._stub.PlanIngestion(request, timeout=GRACE_S), SERVICE)

    async def submit(self, request: SubmitLoadRequest) -> SubmitLoadResponse:
        """Submits a load to Druid."""
        answer: SubmitLoadResponse = await errors.answered(
            self._stub.SubmitLoad(request, timeout=GRACE_S), SERVICE
        )
        self._gate.passed()
        return answer

    def watch(
        self, request: WatchLoadRequest, timeout_s: float
    ) -> AsyncGenerator[WatchLoadResponse, None]:
        """Follows a load to its end."""
        return errors.streamed(lambda: self._stub.WatchLoad(request, timeout=timeout_s), SERVICE)

    async def verify(self, request: VerifyLoadRequest) -> VerifyLoadResponse:
        """Counts a load's rows."""
        return await errors.answered(
            self._stub.VerifyLoad(request, timeout=GRACE_S + request.wait_ms / 1000), SERVICE
        )

    async def count(self, request: CountLoadsRequest) -> CountLoadsResponse:
        """Counts the rows of several loads."""
        return await errors.answered(
            self._stub.CountLoads(request, timeout=GRACE_S + request.wait_ms / 1000), SERVICE
        )

    async def remove(self, request: RemoveLoadRequest) -> RemoveLoadResponse:
        """Removes a load's rows."""
        return await errors.answered(
            self._stub.RemoveLoad(request, timeout=GRACE_S + request.wait_ms / 1000), SERVICE
        )
