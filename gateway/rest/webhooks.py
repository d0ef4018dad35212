"""Webhooks over REST: who is told of the end of a datasource's tasks, and what was tried."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from gateway.documents import models, wire
from gateway.http import problems
from gateway.http.body import JsonBodies, openapi_body
from gateway.ports import Services
from services.common import task_states
from sluice.status.v1 import status_pb2

Name = Annotated[str, Path(description="The datasource.", max_length=128)]


class NewWebhook(BaseModel):
    """Who shall be told."""

    url: str = Field(
        max_length=2000,
        description="https:// or http:// address on the public internet that takes POST requests.",
    )
    secret: str = Field(
        "", max_length=200, description="What requests are signed with; made where it is empty."
    )


class Webhook(BaseModel):
    """Who is told."""

    datasource_name: str
    url: str
    created_at: str
    updated_at: str


class WebhookWithSecret(Webhook):
    """Who is told. The secret is shown this once."""

    secret: str = Field(
        description="Requests carry Sluice-Signature: t=<time>,v1=<HMAC-SHA256 of `<time>.<body>` with it, hexadecimal>."
    )


class Delivery(BaseModel):
    """What became of telling one task's end."""

    id: int
    task_id: str
    status: models.ShownStatus = Field(description="The final status of the task, which is told.")
    attempts: int
    delivered: bool = Field(description="Whether the receiver has answered with a status of 2xx.")
    last_http_status: int | None
    last_error: str | None
    created_at: str
    next_try_at: str | None = Field(description="Null once it was delivered or given up.")
    ended_at: str | None


class Deliveries(BaseModel):
    """The newest first."""

    deliveries: list[Delivery]


def router(services: Services, bodies: JsonBodies) -> APIRouter:
    """The routes, on the given services."""
    routes = APIRouter(
        prefix="/api/datasources/{name}/webhook", tags=["webhooks"], responses=problems.RESPONSES
    )

    @routes.put(
        "",
        response_model=WebhookWithSecret,
        openapi_extra=openapi_body(NewWebhook.model_json_schema()),
    )
    async def put(name: Name, request: Request) -> WebhookWithSecret:
        """Has the end of every task of the datasource told to a URL, in place of the one before. At
        least once each, signed.
        """
        wanted = await bodies.model(request, NewWebhook)
        answer = await services.webhooks.put(
            status_pb2.SetWebhookRequest(datasource=name, url=wanted.url, secret=wanted.secret)
        )
        return WebhookWithSecret(**_webhook(answer.webhook).model_dump(), secret=answer.secret)

    @routes.get("", response_model=Webhook)
    async def get(name: Name) -> Webhook:
        """Who is told."""
        return _webhook(await services.webhooks.get(name))

    @routes.delete("", status_code=204)
    async def delete(name: Name) -> None:
        """Nobody is told any more. Harmless when repeated."""
        await services.webhooks.delete(name)

    @routes.get("/deliveries", response_model=Deliveries)
    async def deliveries(name: Name, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Deliveries:
        """What was tried, the newest first."""
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
