"""The life of the HTTP server: bound before it starts, and ended without cutting off what can still
finish.
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from gateway.http.head import bounded
from gateway.http.websocket_server import CodedWebSocket
from gateway.settings import Settings
from services.common import logs
from services.common.serving.server import PortTakenError

MAX_WEBSOCKET_MESSAGE_BYTES = 256 * 1024


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's business, see services.common.serving.server."""
        yield


async def start(stack: contextlib.AsyncExitStack, app: ASGIApp, settings: Settings) -> int:
    """Starts a server that `stack` stops again: no new connection, a grace for running requests,
    then they are cancelled.

    Returns the port that it listens on.

    Raises:
        PortTakenError: the address cannot be had.
    """
    grace_s = settings.shutdown_grace_s
    listening = _bind(settings.bind_addr)
    config = uvicorn.Config(
        app,
        http=bounded(settings.max_head_bytes, settings.head_timeout_s),
        ws=CodedWebSocket,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        # A compressor of its own for each of thousands of connections would cost far more memory
        # than the few bytes are worth.
        ws_per_message_deflate=False,
        ws_max_size=MAX_WEBSOCKET_MESSAGE_BYTES,
    )
    config.timeout_graceful_shutdown = grace_s  # type: ignore[assignment]  # declared as whole seconds, used as any
    server = _Server(config)
    running = asyncio.create_task(server.serve(sockets=[listening]), name="http")

    async def stop() -> None:
        server.should_exit = True
        await running
        # Those that the grace did not suffice for have been cancelled and now tell their clients.
        if server.server_state.tasks:
            await asyncio.wait(server.server_state.tasks, timeout=grace_s)

    stack.push_async_callback(stop)
    port: int = listening.getsockname()[1]
    logs.get().info("server.started", port=port)
    return port


def _bind(bind_addr: str) -> socket.socket:
    host, _, port = bind_addr.rpartition(":")
    try:
        # Listens at once: whoever connects before the server has started waits instead of being
        # refused.
        return socket.create_server((host, int(port)), backlog=4096)
    except OSError as failure:
        raise PortTakenError(f"BIND_ADDR={bind_addr} cannot be listened on: {failure}") from failure
