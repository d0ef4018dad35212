"""Heads of requests that are too long, or do not come: over real connections."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from gateway.app import build
from gateway.settings import Settings
from tests.integration.gateway.fake_services import serve

MAX_BYTES = 16 * 1024


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with AsyncExitStack() as stack:
        fakes = await serve(stack)
        limits = {"max_head_bytes": MAX_BYTES, "head_timeout_s": 0.3, "shutdown_grace_s": 1}
        yield await build(stack, Settings(bind_addr="127.0.0.1:0", **limits, **fakes.addresses))  # type: ignore[arg-type]


async def answer_to(port: int, *sent: bytes) -> bytes:
    """All that comes back until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in sent:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "line",
    [b"X-Long: " + b"x" * 2_000_000, b"X-Many: x\r\n" * 200_000],
    ids=["one line", "many lines"],
)
async def test_a_head_that_does_not_end_is_refused(port: int, line: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + line)
    async with asyncio.timeout(10):
        told = await reader.readuntil(b"}")
    writer.close()
    head, _, body = told.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 431 ")
    assert json.loads(body)["code"] == "HEADERS_TOO_LARGE"


async def test_a_head_that_does_not_come_is_not_waited_for(port: int) -> None:
    assert await answer_to(port, b"") == b""
    assert b'"code":"REQUEST_TIMEOUT"' in await answer_to(port, HEAD)


async def test_a_body_may_be_longer_than_a_head_and_take_longer(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    length = 4 * MAX_BYTES
    lines = (
        "POST /api/query HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        "Content-Type: application/json",
        f"Content-Length: {length}",
    )
    head = "\r\n".join([*lines, "", ""])
    writer.write(head.encode() + b" " * (length - 2))
    await writer.drain()
    # Longer than a head may take.
    await asyncio.sleep(0.5)
    writer.write(b"{}")
    async with asyncio.timeout(10):
        told = await reader.read()
    writer.close()
    assert told.startswith(b"HTTP/1.1 400 ")
    assert b'"column":"sql"' in told
