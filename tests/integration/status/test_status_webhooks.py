"""Webhooks against a real PostgreSQL and a receiver of our own on loopback, which the tests
allow.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import asyncpg
import pytest
from standardwebhooks import Webhook
from structlog.testing import capture_logs

from services.common.backoff import Backoff
from services.status.webhooks import sender as webhook_sender
from services.status.webhooks import targets as webhook_targets
from services.status.webhooks.targets import may_be_reached
from sluice.status.v1 import status_pb2
from tests.integration.status.conftest import Service, Services, until
from tests.integration.status.test_status_calls import code_of


@dataclass
class Receiver:
    """An HTTP server that answers as told and keeps what came."""

    port: int = 0
    answers: list[int] = field(default_factory=list)
    """Statuses of the next answers; then 204."""
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/hook?x=1"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {
            name.lower(): value
            for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        self.got.append(
            (
                headers | {":request": head[0]},
                await reader.readexactly(int(headers["content-length"])),
            )
        )
        status = self.answers.pop(0) if self.answers else 204
        writer.write(
            f"HTTP/1.1 {status} x\r\nLocation: http://localhost:1/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            await asyncio.start_server(made.answer, "127.0.0.1", 0)
        )
        made.port = server.sockets[0].getsockname()[1]
        yield made


@pytest.fixture
async def service(
    services: Services, sql: "asyncpg.Connection[asyncpg.Record]", monkeypatch: pytest.MonkeyPatch
) -> Service:
    monkeypatch.setattr(webhook_sender, "RETRY", Backoff(0.05, 7200))
    monkeypatch.setattr(webhook_sender, "POLL_S", 0.1)
    return await services.start(webhook_allowed_networks=["127.0.0.0/8", "::1/128"])


async def put(service: Service, url: str) -> status_pb2.SetWebhookResponse:
    return await service.stub.SetWebhook(status_pb2.SetWebhookRequest(datasource="sales", url=url))  # type: ignore[no-any-return]


async def deliveries(service: Service) -> list[status_pb2.WebhookDelivery]:
    answer = await service.stub.ListWebhookDeliveries(
        status_pb2.ListWebhookDeliveriesRequest(datasource="sales")
    )
    return list(answer.deliveries)


async def test_the_end_of_a_task_is_told_and_signed(service: Service, receiver: Receiver) -> None:
    secret = (await put(service, receiver.url)).secret
    task = await service.upload()
    other = await service.upload(datasource="other")
    await service.ended(task.task_id)
    await service.ended(other.task_id)

    async def told() -> bool:
        return [delivery.delivered for delivery in await deliveries(service)] == [True]

    await until(told)
    ((headers, body),) = receiver.got
    assert headers[":request"] == "POST /hook?x=1 HTTP/1.1"
    assert headers["host"] == f"localhost:{receiver.port}"
    moment, _, given = headers["sluice-signature"].removeprefix("t=").partition(",v1=")
    assert hmac.compare_digest(
        given, hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    )
    content = json.loads(body)
    assert Webhook(secret.encode()).verify(body, headers) == content
    assert (content["task_id"], content["status"], content["error"]) == (
        task.task_id,
        "SUCCEEDED",
        None,
    )
    (delivery,) = await deliveries(service)
    assert (delivery.attempts, delivery.last_http_status, delivery.id) == (
        1,
        204,
        content["delivery_id"],
    )


async def test_a_delivery_is_tried_until_it_is_heard(service: Service, receiver: Receiver) -> None:
    await put(service, receiver.url)
    receiver.answers = [500, 302, 429]
    task = await service.upload()
    await service.stub.CancelTask(status_pb2.CancelTaskRequest(task_id=task.task_id))

    async def told() -> bool:
        return [delivery.delivered for delivery in await deliveries(service)] == [True]

    await until(told)
    assert len(receiver.got) == 4
    assert len({json.loads(body)["delivery_id"] for _, body in receiver.got}) == 1
    assert (await deliveries(service))[0].attempts == 4


async def test_it_is_given_up_after_its_attempts(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "ATTEMPTS", 2)
    receiver.answers = [500] * 9
    await put(service, receiver.url)
    task = await service.upload()
    await service.ended(task.task_id)

    async def ended() -> bool:
        return [delivery.HasField("end_time") for delivery in await deliveries(service)] == [True]

    await until(ended)
    (delivery,) = await deliveries(service)
    assert (delivery.delivered, delivery.attempts, len(receiver.got)) == (False, 2, 2)
    assert "500" in delivery.last_error


async def test_a_sender_that_died_is_followed_by_another(
    service: Service, receiver: Receiver, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    await put(service, "http://localhost:1/nobody")
    task = await service.upload()
    await service.ended(task.task_id)

    async def tried() -> bool:
        return (await deliveries(service))[0].attempts >= 1

    await until(tried)
    await put(service, receiver.url)

    async def told() -> bool:
        # As after the time for which a sender that died had held it.
        await sql.execute(
            "UPDATE webhook_deliveries SET next_try_at = now() WHERE next_try_at IS NOT NULL"
        )
        return (await deliveries(service))[0].delivered

    await until(told)


async def test_nothing_is_told_after_it_was_removed(service: Service, receiver: Receiver) -> None:
    await put(service, receiver.url)
    assert (
        await service.stub.GetWebhook(status_pb2.GetWebhookRequest(datasource="sales"))
    ).webhook.url == receiver.url
    await service.stub.DeleteWebhook(status_pb2.DeleteWebhookRequest(datasource="sales"))
    assert (
        await code_of(service.stub.GetWebhook(status_pb2.GetWebhookRequest(datasource="sales")))
        == "WEBHOOK_NOT_FOUND"
    )
    task = await service.upload()
    await service.ended(task.task_id)
    assert await deliveries(service) == []
    assert receiver.got == []


async def test_what_was_not_delivered_ends_with_its_webhook(
    service: Service,
    sql: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    await put(service, "http://localhost:1/nobody")
    tried, ending = await service.create(), await service.create()
    await service.stub.CancelTask(status_pb2.CancelTaskRequest(task_id=tried.task_id))
    request = status_pb2.DeleteWebhookRequest(datasource="sales")
    async with sql.transaction():
        # A task that ends while the webhook is deleted: its delivery cannot be seen yet.
        end = "UPDATE ingestion_tasks SET status = 'CANCELLED', completed_at = now()"
        await sql.execute(f"{end} WHERE task_id = $1", ending.task_id)
        deleting = asyncio.ensure_future(service.stub.DeleteWebhook(request))

        async def waits() -> bool:
            return bool(await sql.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))

        await until(waits)
    await deleting
    found = await deliveries(service)
    assert [each.HasField("end_time") for each in found] == [True, True]
    assert {each.last_error for each in found} == {"The webhook was removed."}


async def test_the_secret_is_told_once_and_never_logged(
    service: Service, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        secret = (await put(service, receiver.url)).secret
        task = await service.upload()
        await service.ended(task.task_id)

        async def told() -> bool:
            return bool(receiver.got)

        await until(told)
    assert len(secret) >= 40
    assert secret not in str(lines) + caplog.text
    assert secret not in str(
        await service.stub.GetWebhook(status_pb2.GetWebhookRequest(datasource="sales"))
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://[::1]:80/",
        "http://[::ffff:127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://192.168.1.1/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "ftp://example.org/",
        "http://user:word@example.org/",
        "http:///nothing",
        "http://exa mple.org/",
        "http://nobody.invalid/",
    ],
)
async def test_targets_off_the_public_internet_are_refused(
    services: Services, sql: "asyncpg.Connection[asyncpg.Record]", url: str
) -> None:
    strict = await services.start(pipeline_workers=0)
    assert (
        await code_of(
            strict.stub.SetWebhook(status_pb2.SetWebhookRequest(datasource="sales", url=url))
        )
        == "WEBHOOK_TARGET_FORBIDDEN"
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("224.0.0.1", False),
    ],
)
def test_addresses_that_stand_for_others(address: str, expected: bool) -> None:
    assert may_be_reached(ipaddress.ip_address(address), []) is expected


async def test_a_name_that_leads_elsewhere_later_is_refused_then(
    service: Service, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS is asked again for every try, and the connection goes to the address that was checked."""
    await put(service, receiver.url)
    real = webhook_targets.may_be_reached
    monkeypatch.setattr(
        webhook_targets, "may_be_reached", lambda address, allowed: real(address, [])
    )
    task = await service.upload()
    await service.ended(task.task_id)

    async def refused() -> bool:
        found = await deliveries(service)
        return bool(found) and "not on the public internet" in found[0].last_error

    await until(refused)
    assert receiver.got == []
