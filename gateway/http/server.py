"""Binds, serves and drains the HTTP server."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from gateway.http.head import with_head_limits
from gateway.http.websocket_server import CodedWebSocket
from gateway.settings import Settings
from services.common import logs
from services.common.serving.server import PortTakenError

MAX_WEBSOCKET_MESSAGE_BYTES = 256 * 1024


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """services.common.serving.server handles the signals."""
        yield


async def start(stack: contextlib.AsyncExitStack, app: ASGIApp, settings: Settings) -> int:
    """Start the server and register its shutdown on `stack`: it accepts no more connections, and
    running requests are cancelled after the grace period.

    Returns the port.

    Raises:
        PortTakenError: cannot bind to the address.
    """
    grace_s = settings.shutdown_grace_s
    listening = _bind(settings.bind_addr)
    config = uvicorn.Config(
        app,
        http=with_head_limits(settings.max_head_bytes, settings.head_timeout_s),
        ws=CodedWebSocket,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        # One compressor per connection would cost far more memory than the few bytes are worth.
        ws_per_message_deflate=False,
        ws_max_size=MAX_WEBSOCKET_MESSAGE_BYTES,
    )
    # Declared as an int, but uvicorn accepts any number of seconds.
    config.timeout_graceful_shutdown = grace_s  # type: ignore[assignment]
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]), name="http")

    async def stop() -> None:
        server.should_exit = True
        await running
        # The remaining requests were cancelled and now send their error responses.
        if server.server_state.tasks:
            await asyncio.wait(server.server_state.tasks, timeout=grace_s)

    stack.push_async_callback(stop)
    port: int = listening.getsockname()[1]
    logs.get().info("server.started", port=port)
    return port


def _bind(bind_addr: str) -> socket.socket:
    host, _, port = bind_addr.rpartition(":")
    try:
        # Listens immediately: connections wait until the server has started.
        return socket.create_server((host, int(port)), backlog=4096)
    except OSError as failure:
        raise PortTakenError(f"Cannot bind to BIND_ADDR={bind_addr}: {failure}") from failure
