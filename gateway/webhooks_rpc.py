"""Webhooks, from StatusService."""

import grpc

from services.common import errors
from sluice.status.v1 import status_pb2, status_pb2_grpc


class WebhooksRpc:
    """Implements ports.Webhooks."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = status_pb2_grpc.StatusServiceStub(channel)

    async def put(self, request: status_pb2.SetWebhookRequest) -> status_pb2.SetWebhookResponse:
        try:
            answer: status_pb2.SetWebhookResponse = await self._stub.SetWebhook(request)
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "status") from failure
        return answer

    async def get(self, datasource: str) -> status_pb2.Webhook:
        try:
            answer: status_pb2.GetWebhookResponse = await self._stub.GetWebhook(status_pb2.GetWebhookRequest(datasource=datasource))
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "status") from failure
        return answer.webhook

    async def delete(self, datasource: str) -> None:
        try:
            await self._stub.DeleteWebhook(status_pb2.DeleteWebhookRequest(datasource=datasource))
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "status") from failure

    async def deliveries(self, datasource: str, limit: int) -> list[status_pb2.WebhookDelivery]:
        request = status_pb2.ListWebhookDeliveriesRequest(datasource=datasource, page_size=limit)
        try:
            answer: status_pb2.ListWebhookDeliveriesResponse = await self._stub.ListWebhookDeliveries(request)
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "status") from failure
        return list(answer.deliveries)
