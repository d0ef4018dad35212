"""Client of StatusService: settings and quality of datasources."""

import grpc

from services.common import errors
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.status.v1.status_pb2 import DatasourceSettings, ListQualityResponse


class QualityRpc:
    """Implements ports.Quality."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = status_pb2_grpc.StatusServiceStub(channel)

    async def settings(self, datasource: str) -> DatasourceSettings:
        request = status_pb2.GetDatasourceSettingsRequest(datasource=datasource)
        answer: status_pb2.GetDatasourceSettingsResponse = await errors.answered(
            self._stub.GetDatasourceSettings(request), "status"
        )
        return answer.settings

    async def set_settings(
        self, datasource: str, settings: DatasourceSettings
    ) -> DatasourceSettings:
        request = status_pb2.SetDatasourceSettingsRequest(datasource=datasource, settings=settings)
        answer: status_pb2.SetDatasourceSettingsResponse = await errors.answered(
            self._stub.SetDatasourceSettings(request), "status"
        )
        return answer.settings

    async def quality(self, datasource: str, limit: int) -> ListQualityResponse:
        request = status_pb2.ListQualityRequest(datasource=datasource, limit=limit)
        return await errors.answered(self._stub.ListQuality(request), "status")
