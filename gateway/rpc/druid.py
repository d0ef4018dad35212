"""Client of DruidGatewayService."""

from collections.abc import AsyncGenerator, Sequence

import grpc

from gateway.ports import Parameter
from services.common import errors
from sluice.druid.v1 import druid_pb2, druid_pb2_grpc
from sluice.druid.v1.druid_pb2 import (
    DescribeDatasourceResponse,
    ListDatasourcesResponse,
    PreviewRowsResponse,
    ProposeQueriesResponse,
    QueryParameter,
    QueryResponse,
)

SERVICE = "druid_gateway"
MAX_DATASOURCES = 10_000

CATALOG_S = 20.0
"""Deadline of a call that runs several Druid queries."""


class DruidRpc:
    """Implements ports.Queries."""

    def __init__(
        self, channel: grpc.aio.Channel, deadline_s: float, stream_deadline_s: float
    ) -> None:
        self._stub = druid_pb2_grpc.DruidGatewayServiceStub(channel)
        self._deadline_s = deadline_s
        self._stream_deadline_s = stream_deadline_s

    def query(
        self, sql: str, limit: int | None, parameters: Sequence[Parameter] = ()
    ) -> AsyncGenerator[QueryResponse, None]:
        request = druid_pb2.QueryRequest(
            sql=sql,
            limit=limit or 0,
            parameters=[_parameter(value) for value in parameters],
            all_rows=limit is None,
        )
        deadline_s = self._stream_deadline_s if limit is None else self._deadline_s
        return errors.streamed(lambda: self._stub.Query(request, timeout=deadline_s), SERVICE)

    async def datasources(self) -> ListDatasourcesResponse:
        request = druid_pb2.ListDatasourcesRequest(limit=MAX_DATASOURCES)
        return await errors.answered(
            self._stub.ListDatasources(request, timeout=CATALOG_S), SERVICE
        )

    async def datasource(self, name: str) -> DescribeDatasourceResponse:
        request = druid_pb2.DescribeDatasourceRequest(name=name)
        return await errors.answered(
            self._stub.DescribeDatasource(request, timeout=CATALOG_S), SERVICE
        )

    async def preview(self, name: str, limit: int) -> PreviewRowsResponse:
        request = druid_pb2.PreviewRowsRequest(name=name, limit=limit)
        return await errors.answered(self._stub.PreviewRows(request, timeout=CATALOG_S), SERVICE)

    async def proposals(self, datasource: str) -> ProposeQueriesResponse:
        request = druid_pb2.ProposeQueriesRequest(name=datasource)
        return await errors.answered(self._stub.ProposeQueries(request, timeout=CATALOG_S), SERVICE)


def _parameter(value: Parameter) -> QueryParameter:
    match value:
        case None:
            return QueryParameter()
        case bool():
            return QueryParameter(boolean=value)
        case int():
            return QueryParameter(long=value)
        case float():
            return QueryParameter(double=value)
        case str():
            return QueryParameter(text=value)
