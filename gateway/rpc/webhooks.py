"""Client of StatusService: webhooks."""

import grpc

from services.common import errors
from sluice.status.v1 import status_pb2, status_pb2_grpc


class WebhooksRpc:
    """Implements ports.Webhooks."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = status_pb2_grpc.StatusServiceStub(channel)

    async def put(self, request: status_pb2.SetWebhookRequest) -> status_pb2.SetWebhookResponse:
        return await errors.answered(self._stub.SetWebhook(request), "status")

    async def get(self, datasource: str) -> status_pb2.Webhook:
        answer: status_pb2.GetWebhookResponse = await errors.answered(
            self._stub.GetWebhook(status_pb2.GetWebhookRequest(datasource=datasource)), "status"
        )
        return answer.webhook

    async def delete(self, datasource: str) -> None:
        await errors.answered(
            self._stub.DeleteWebhook(status_pb2.DeleteWebhookRequest(datasource=datasource)),
            "status",
        )

    async def deliveries(self, datasource: str, limit: int) -> list[status_pb2.WebhookDelivery]:
        request = status_pb2.ListWebhookDeliveriesRequest(datasource=datasource, page_size=limit)
        answer: status_pb2.ListWebhookDeliveriesResponse = await errors.answered(
            self._stub.ListWebhookDeliveries(request), "status"
        )
        return list(answer.deliveries)
