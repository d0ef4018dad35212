"""A gateway over real HTTP, in front of fake services over real gRPC."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx
import pytest

from gateway.app import build
from gateway.settings import Settings
from tests.integration.gateway.fake_services import Fakes, serve

LIMIT_BYTES = 64 * 1024 * 1024


@dataclass
class Edge:
    """The gateway and what stands behind it."""

    fakes: Fakes
    port: int
    http: httpx.AsyncClient
    life: AsyncExitStack
    """Closing it stops the gateway."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
async def edge() -> AsyncIterator[Edge]:
    async with AsyncExitStack() as stack:
        fakes = await serve(stack)
        life = await stack.enter_async_context(AsyncExitStack())
        settings = Settings(
            bind_addr="127.0.0.1:0",
            max_file_size_bytes=LIMIT_BYTES,
            shutdown_grace_s=1,
            **fakes.addresses,  # type: ignore[arg-type]
        )
        port = await build(life, settings)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30)
        )
        yield Edge(fakes, port, http, life)
