"""Queries, to DruidGatewayService."""

from collections.abc import AsyncIterator

import grpc

from services.common import errors
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from sluice.druid.v1.druid_pb2 import QueryResponse


class DruidRpc:
    """Implements ports.Queries."""

    def __init__(self, channel: grpc.aio.Channel, deadline_s: float) -> None:
        self._stub = druid_pb2_grpc.DruidGatewayServiceStub(channel)
        self._deadline_s = deadline_s

    async def query(self, sql: str, limit: int) -> AsyncIterator[QueryResponse]:
        call = self._stub.Query(druid_pb2.QueryRequest(sql=sql, limit=limit), timeout=self._deadline_s)
        try:
            async for step in call:
                yield step
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "druid_gateway") from failure
        finally:
            call.cancel()
