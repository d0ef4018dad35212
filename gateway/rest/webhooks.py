"""Webhooks of datasources and their deliveries."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from gateway.documents import models, wire
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.ports import Services
from gateway.rest.datasources import Name
from services.common import task_states
from sluice.status.v1 import status_pb2


class NewWebhook(BaseModel):
    """Where to send webhooks."""

    url: str = Field(
        max_length=2000,
        description="Public https:// or http:// URL that accepts POST requests.",
    )
    secret: str = Field(
        "", max_length=200, description="Key of the signatures; generated if empty."
    )


class Webhook(BaseModel):
    """The webhook of a datasource."""

    datasource_name: str
    url: str
    created_at: str
    updated_at: str


class WebhookWithSecret(Webhook):
    """A webhook with its secret, which is not shown again."""

    secret: str = Field(
        description="Verify requests with a library for Standard Webhooks, whose secret is `whsec_` +"
        " base64(this secret): webhook-id (the same for all attempts), webhook-timestamp and"
        " webhook-signature. Deprecated: Sluice-Signature: t=<time>,v1=<HMAC-SHA256 of"
        " `<time>.<body>` with this secret, hexadecimal>."
    )


class Delivery(BaseModel):
    """The notification of the end of one task."""

    id: int
    task_id: str
    status: models.ShownStatus = Field(description="Final status of the task.")
    attempts: int
    delivered: bool = Field(description="Whether the receiver responded with status 2xx.")
    last_http_status: int | None
    last_error: str | None
    created_at: str
    next_try_at: str | None = Field(description="Null once the delivery has ended.")
    ended_at: str | None


class Deliveries(BaseModel):
    """Deliveries, newest first."""

    deliveries: list[Delivery]


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The routes of this module."""
    routes = APIRouter(
        prefix="/api/datasources/{name}/webhook", tags=["webhooks"], responses=problems.RESPONSES
    )

    @routes.put(
        "",
        response_model=WebhookWithSecret,
        openapi_extra=openapi_body(NewWebhook.model_json_schema()),
    )
    async def set_webhook(name: Name, request: Request) -> WebhookWithSecret:
        """Set the URL that is notified of the end of each task of the datasource. Deliveries are
        signed, and sent at least once. Replaces an existing webhook.
        """
        wanted = await bodies.model(request, NewWebhook)
        stored = await services.webhooks.put(
            status_pb2.SetWebhookRequest(datasource=name, url=wanted.url, secret=wanted.secret)
        )
        return WebhookWithSecret(**_webhook(stored.webhook).model_dump(), secret=stored.secret)

    @routes.get("", response_model=Webhook)
    async def read_webhook(name: Name) -> Webhook:
        """Read the webhook."""
        return _webhook(await services.webhooks.get(name))

    @routes.delete("", status_code=204)
    async def remove_webhook(name: Name) -> None:
        """Remove the webhook. Idempotent."""
        await services.webhooks.delete(name)

    @routes.get("/deliveries", response_model=Deliveries)
    async def list_deliveries(
        name: Name, limit: Annotated[int, Query(ge=1, le=500)] = 50
    ) -> Deliveries:
        """List the deliveries, newest first."""
        found = await services.webhooks.deliveries(name, limit)
        return Deliveries(deliveries=[delivery(each) for each in found])

    return routes


def _webhook(found: status_pb2.Webhook) -> Webhook:
    return Webhook(
        datasource_name=found.datasource,
        url=found.url,
        created_at=wire.time(found.create_time),
        updated_at=wire.time(found.update_time),
    )


def delivery(found: status_pb2.WebhookDelivery) -> Delivery:
    return Delivery(
        id=found.id,
        task_id=found.task_id,
        status=task_states.name_of(found.state),
        attempts=found.attempts,
        delivered=found.delivered,
        last_http_status=found.last_http_status if found.HasField("last_http_status") else None,
        last_error=found.last_error or None,
        created_at=wire.time(found.create_time),
        next_try_at=wire.time(found.next_try_time) if found.HasField("next_try_time") else None,
        ended_at=wire.time(found.end_time) if found.HasField("end_time") else None,
    )
