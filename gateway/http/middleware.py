"""Runs around every request: trace, allow-lists, authentication, security headers, one log line,
metrics, and draining of unread bodies so that a client can read why it was rejected.
"""

import asyncio
from contextlib import suppress
from time import perf_counter

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from gateway.http import problems
from gateway.http.address import check_address
from gateway.http.allowed import Allowed
from gateway.http.clients import Proxies
from gateway.http.streams import IncompleteResponseError
from gateway.metrics import Metrics
from services.common import logs, trace
from services.common.errors import SluiceError, error
from services.common.serving.interceptors import Authenticator
from sluice.common.v1.errors_pb2 import ErrorReason

PROBES = frozenset({"/healthz", "/readyz"})
"""Called by orchestrators all the time, under any host name, without credentials."""

METRICS = "/metrics"
"""Called by Prometheus at the address of each replica, which is not an allowed host."""

QUIET = PROBES | {METRICS}

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

DRAIN_S = 2.0
"""Seconds that a rejected client may continue to send. Many clients read the response only after
their last byte.
"""

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class GatewayMiddleware:
    """The outermost ASGI middleware."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        allowed: Allowed,
        authenticator: Authenticator,
        metrics: Metrics,
        proxies: Proxies,
    ) -> None:
        self._app = app
        self._proxies = proxies
        self._allowed = allowed
        self._authenticator = authenticator
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        service = structlog.contextvars.get_contextvars().get("service", "gateway")
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(service=service)
        trace.begin(headers.get(trace.HEADER))
        scope.setdefault("state", {})["client"] = self._proxies.client(scope, headers)
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send, headers)
        else:
            await self._http(_Exchange(scope, receive, send), headers)

    async def _admit(self, scope: Scope, headers: Headers) -> None:
        """Raises if the host, origin, URL or caller is not acceptable."""
        if scope["path"] in PROBES:
            return
        host = headers.get("host", "")
        method = scope.get("method", "WEBSOCKET")
        if scope["path"] != METRICS:
            self._allowed.check_host(host)
        if method not in SAFE_METHODS:
            self._allowed.check_origin(headers.get("origin"), host)
        check_address(scope)
        caller = await self._authenticator.authenticate(
            f"{method} {scope['path']}", dict(headers.items())
        )
        scope["state"]["caller"] = caller
        logs.bind(caller=caller)

    async def _websocket(
        self, scope: Scope, receive: Receive, send: Send, headers: Headers
    ) -> None:
        try:
            await self._admit(scope, headers)
            if scope["path"] != problems.GRAPHQL_PATH:
                raise error(
                    ErrorReason.ERROR_REASON_NOT_FOUND,
                    f"There is no WebSocket at {scope['path'][:200]}.",
                )
        except SluiceError as failure:
            logs.get().info("websocket.refused", code=failure.code, reason=failure.problem.message)
            response = problems.response(scope["path"], failure)
            await WebSocket(scope, receive, send).send_denial_response(response)
            return
        logs.get().info("websocket.opened", path=scope["path"])
        started = perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            logs.get().info(
                "websocket.closed", path=scope["path"], seconds=round(perf_counter() - started, 4)
            )

    async def _http(self, exchange: "_Exchange", headers: Headers) -> None:
        scope = exchange.scope
        started = perf_counter()
        try:
            await self._respond(exchange, headers)
        finally:
            seconds = perf_counter() - started
            # The route's pattern, not the path: the values of a label must be bounded.
            route = getattr(scope.get("route"), "path", "other")
            method = (
                scope["method"]
                if scope["method"] in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
                else "other"
            )
            self._metrics.requests.labels(method, route, str(exchange.status)).inc()
            self._metrics.seconds.labels(method, route).observe(seconds)
            self._metrics.bytes_received.inc(exchange.received)
            facts = {
                "method": scope["method"],
                "path": scope["path"][:200],
                "status": exchange.status,
                "seconds": round(seconds, 4),
            }
            if code := scope["state"].get("code"):
                facts["code"] = code
            log = logs.get().debug if scope["path"] in QUIET else logs.get().info
            log("http.request", **facts, received=exchange.received, sent=exchange.sent)

    async def _respond(self, exchange: "_Exchange", headers: Headers) -> None:
        scope = exchange.scope
        try:
            await self._admit(scope, headers)
            await self._app(scope, exchange.receive, exchange.send)
        except SluiceError as failure:
            scope["state"]["code"] = failure.code
            await self._send_error(exchange, failure)
        except asyncio.CancelledError:
            # Only a shutdown whose grace period is over cancels requests.
            await self._send_error(
                exchange,
                error(
                    ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
                    "The server is stopping and could not finish this request.",
                    metadata={"service": "gateway"},
                ),
            )
        except IncompleteResponseError as incomplete:
            cause = incomplete.failure
            scope["state"]["code"] = cause.code
            logs.get().warning("http.broken", code=cause.code, reason=cause.problem.message)
        except Exception as failure:
            logs.get().error("http.failed", exc_info=failure, path=scope["path"][:200])
            await self._send_error(exchange, problems.internal())

    @staticmethod
    async def _send_error(exchange: "_Exchange", failure: SluiceError) -> None:
        """Sends an error response. If a response has already started, it stays incomplete and the
        server closes the connection.
        """
        if not exchange.status:
            await problems.response(exchange.scope["path"], failure)(
                exchange.scope, exchange.receive, exchange.send
            )


class _Exchange:
    """A request and its response; counts their bytes and drains unread bodies."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.status = 0
        self.received = 0
        self.sent = 0
        headers = Headers(scope=scope)
        self._unread = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._unread = False
        else:
            self.received += len(message.get("body", b""))
            self._unread = self._unread and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._add_headers(MutableHeaders(raw=message["headers"]))
        elif message["type"] == "http.response.body":
            self.sent += len(message.get("body", b""))
            if self._unread and not message.get("more_body", False):
                await self._send({**message, "more_body": True})
                await self._drain()
                message = {"type": "http.response.body", "body": b"", "more_body": False}
        await self._send(message)

    def _add_headers(self, headers: MutableHeaders) -> None:
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        headers.setdefault("Cache-Control", "no-store")
        headers["X-Trace-Id"] = trace.current()
        if self._unread:
            headers["Connection"] = "close"

    async def _drain(self) -> None:
        """Discards the rest of the body for up to DRAIN_S: closing the connection immediately would
        reset it, and the client would lose the response.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self._unread:
                    await self.receive()
