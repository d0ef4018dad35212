"""Channels over TCP: slow handshakes, and reconnects after a restart."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from time import monotonic
from typing import Any

import grpc
import pytest
from grpc import aio

from services.common.serving import channels
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice_client import SluiceClient
from tests.chaos.proxy import Link

HANDSHAKE_S = 1.3
"""Packet loss or a busy peer: TCP repeats a lost SYN after 1 s."""

AWAY_S = 3.0
"""Long enough for the backoff between connects to reach its maximum."""

TASK_ID = "00000000-0000-4000-8000-000000000001"


class Status(status_pb2_grpc.StatusServiceServicer):
    """Knows one task."""

    async def GetTask(self, request: Any, context: Any) -> status_pb2.GetTaskResponse:
        return status_pb2.GetTaskResponse(task=status_pb2.Task(task_id=request.task_id))


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[int]:
    """Run a server; yield its port."""
    server = aio.server(options=[("grpc.so_reuseport", 0)])
    status_pb2_grpc.add_StatusServiceServicer_to_server(Status(), server)  # type: ignore[abstract]
    found = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    try:
        yield found
    finally:
        await server.stop(None)


async def answers(channel: aio.Channel) -> bool:
    """Whether a call succeeds."""
    stub = status_pb2_grpc.StatusServiceStub(channel)
    try:
        answer = await stub.GetTask(status_pb2.GetTaskRequest(task_id=TASK_ID))
    except aio.AioRpcError as failure:
        if failure.code() is not grpc.StatusCode.UNAVAILABLE:
            raise
        return False
    return bool(answer.task.task_id == TASK_ID)


@pytest.fixture
async def slow_port() -> AsyncIterator[int]:
    """A port whose connections take HANDSHAKE_S."""
    async with serving() as port:
        link = Link([("127.0.0.1", port)], HANDSHAKE_S)
        await link.open()
        yield link.port
        await link.close()


async def test_a_slow_handshake_connects(slow_port: int) -> None:
    async with channels.connect(f"127.0.0.1:{slow_port}") as channel:
        assert await answers(channel)


async def test_the_client_connects_by_a_slow_handshake(slow_port: int) -> None:
    async with SluiceClient(*[f"127.0.0.1:{slow_port}"] * 4) as client, asyncio.timeout(10):
        assert (await client.task(TASK_ID)).task_id == TASK_ID


async def test_a_restarted_peer_is_reconnected_soon() -> None:
    async with AsyncExitStack() as stack:
        async with serving() as port:
            channel = channels.connect(f"127.0.0.1:{port}")
            await stack.enter_async_context(channel)
            assert await answers(channel)
        stopped = monotonic()
        while monotonic() - stopped < AWAY_S:
            assert not await answers(channel)
            await asyncio.sleep(0.05)
        await stack.enter_async_context(serving(port))
        restarted = monotonic()
        while not await answers(channel):
            assert monotonic() - restarted < 4
            await asyncio.sleep(0.02)
