"""Slow receivers of webhooks, each slow in another way, delay only their own deliveries."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, suppress
from time import monotonic
from typing import Any, TypeAlias

import asyncpg
import pytest

from services.common.backoff import Backoff
from services.status.webhooks import sender as webhook_sender
from services.status.webhooks import targets as webhook_targets
from services.status.webhooks.delivery import WebhookHttp
from sluice.status.v1 import status_pb2
from tests.integration.status.conftest import Service, Services, until

ALLOWED = {"webhook_allowed_networks": ["127.0.0.0/8", "::1/128"], "pipeline_workers": 0}


Sql: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Receiver:
    """Accepts a request and then does what a subclass does."""

    port = 0
    open = 0
    most_open = 0
    requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = head.partition("content-length: ")[2].partition("\r\n")[0]
            await reader.readexactly(int(length))
            with suppress(ConnectionError):
                await self.answer(writer)
        finally:
            self.open -= 1
            writer.transport.abort()

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        await writer.drain()


class Dripping(Receiver):
    """Sends a header without end, one byte a second; requests after `recovered` are answered."""

    recovered = False

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        if self.recovered:
            await super().answer(writer)
            return
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(1)


class Endless(Receiver):
    """Answers at once, with a body that does not end."""

    ended = False

    async def answer(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + bytes(65536) + b"\r\n")
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            self.ended = True


Listen = Callable[[Receiver], Awaitable[str]]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Opens a receiver; its URL."""
    async with AsyncExitStack() as stack:

        async def opened(receiver: Receiver) -> str:
            server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            receiver.port = server.sockets[0].getsockname()[1]
            return f"http://127.0.0.1:{receiver.port}/"

        yield opened


@pytest.fixture
async def service(services: Services, sql: Sql) -> Service:
    return await services.start(**ALLOWED)


async def set_webhook(service: Service, datasource: str, url: str) -> None:
    await service.stub.SetWebhook(status_pb2.SetWebhookRequest(datasource=datasource, url=url))


async def end_tasks(service: Service, datasource: str, count: int) -> None:
    """Tasks that end, each with one delivery."""
    for _ in range(count):
        task = await service.create(datasource=datasource)
        await service.stub.CancelTask(status_pb2.CancelTaskRequest(task_id=task.task_id))


async def deliveries(service: Service, datasource: str) -> list[status_pb2.WebhookDelivery]:
    request = status_pb2.ListWebhookDeliveriesRequest(datasource=datasource)
    return list((await service.stub.ListWebhookDeliveries(request)).deliveries)


def delivered(service: Service, datasource: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def all_delivered() -> bool:
        return [each.delivered for each in await deliveries(service, datasource)] == [True] * count

    return all_delivered


async def test_a_dripping_receiver_holds_up_nobody_else(service: Service, listen: Listen) -> None:
    slow = Dripping()
    await set_webhook(service, "slow", await listen(slow))
    for name in ("one", "two"):
        await set_webhook(service, name, await listen(Receiver()))
    await end_tasks(service, "slow", 40)
    await until(_busy(slow))
    for _ in range(3):
        await end_tasks(service, "one", 5)
        await end_tasks(service, "two", 5)
    took = await until(delivered(service, "one", 15)) + await until(delivered(service, "two", 15))
    assert took < webhook_sender.DELIVERY_S
    assert slow.open == webhook_sender.PER_TARGET


def _busy(receiver: Receiver) -> Callable[[], Awaitable[bool]]:
    async def busy() -> bool:
        return receiver.open > 0

    return busy


async def test_a_delivery_that_drips_ends_at_its_deadline_and_is_tried_again(
    service: Service, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "DELIVERY_S", 1.5)
    monkeypatch.setattr(webhook_sender, "RETRY", Backoff(0.05, 7200))
    await set_webhook(service, "slow", await listen(Dripping()))
    await end_tasks(service, "slow", 1)

    async def tried_twice() -> bool:
        (found,) = await deliveries(service, "slow")
        return found.attempts == 2 and bool(found.last_error)

    await until(tried_twice)
    (found,) = await deliveries(service, "slow")
    assert not found.delivered
    assert found.last_error == "The receiver did not respond within 1.5 s."


async def test_a_fault_of_ours_counts_against_the_budget(
    services: Services, sql: Sql, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_sender, "RETRY", Backoff(0.05, 7200))
    monkeypatch.setattr(webhook_sender, "POLL_S", 0.1)
    monkeypatch.setattr(webhook_sender, "ATTEMPTS", 2)

    async def broken(*arguments: Any) -> int:
        raise KeyError("status")

    monkeypatch.setattr(WebhookHttp, "post", broken)
    service = await services.start(**ALLOWED)
    await set_webhook(service, "sales", await listen(Receiver()))
    await end_tasks(service, "sales", 1)

    async def given_up() -> bool:
        return [each.HasField("end_time") for each in await deliveries(service, "sales")] == [True]

    await until(given_up)
    (found,) = await deliveries(service, "sales")
    assert (found.delivered, found.attempts) == (False, 2)
    assert found.last_error == "Sending failed by an internal error."


async def test_a_body_without_end_is_not_read(service: Service, listen: Listen) -> None:
    receiver = Endless()
    await set_webhook(service, "endless", await listen(receiver))
    await end_tasks(service, "endless", 1)
    assert await until(delivered(service, "endless", 1)) < webhook_sender.DELIVERY_S

    async def ended() -> bool:
        return receiver.ended

    await until(ended)


async def test_datasources_of_a_receiver_share_its_limit(service: Service, listen: Listen) -> None:
    slow = Dripping()
    url = await listen(slow)
    for number in range(3):
        await set_webhook(service, f"slow{number}", url)
        await end_tasks(service, f"slow{number}", 5)

    async def full() -> bool:
        return slow.open == webhook_sender.PER_TARGET

    await until(full)
    await set_webhook(service, "good", await listen(Receiver()))
    await end_tasks(service, "good", 1)
    await until(delivered(service, "good", 1))
    assert slow.most_open == webhook_sender.PER_TARGET


async def test_all_are_sent_though_few_at_once(service: Service, listen: Listen) -> None:
    receiver = Receiver()
    await set_webhook(service, "many", await listen(receiver))
    await end_tasks(service, "many", 30)
    await until(delivered(service, "many", 30))
    assert receiver.requests == 30
    assert receiver.most_open <= webhook_sender.PER_TARGET


@pytest.fixture
def hanging_names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """DNS does not answer for names below .invalid."""
    over, real = threading.Event(), socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **other: Any) -> Any:
        if str(host).endswith(".invalid"):
            over.wait()
        return real(host, *arguments, **other)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield
    over.set()


async def test_a_name_server_that_does_not_answer_holds_up_nobody_else(
    service: Service, sql: Sql, listen: Listen, hanging_names: None
) -> None:
    await set_webhook(service, "good", await listen(Receiver()))
    for number in range(6):
        # As if the name had resolved when it was set.
        await sql.execute(
            "INSERT INTO webhooks (datasource_name, url, secret) VALUES ($1, $2, 'secret')",
            f"bad{number}",
            f"http://host{number}.invalid/",
        )
        await end_tasks(service, f"bad{number}", 2)
    await end_tasks(service, "good", 5)
    assert await until(delivered(service, "good", 5)) < webhook_targets.LOOKUP_S


async def test_a_process_that_stops_gives_deliveries_back(
    service: Service,
    services: Services,
    listen: Listen,
) -> None:
    slow = Dripping()
    await set_webhook(service, "sales", await listen(slow))
    await end_tasks(service, "sales", 3)
    await until(_busy(slow))
    began = monotonic()
    await service.life.aclose()
    assert monotonic() - began < webhook_sender.DELIVERY_S / 2
    slow.recovered = True
    second = await services.start(**ALLOWED)
    assert await until(delivered(second, "sales", 3)) < webhook_sender.HOLD_S / 4
