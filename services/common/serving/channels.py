"""Channels to the other services: lazy, with fast reconnects, the trace, and default deadlines."""

from collections.abc import Callable, Coroutine
from typing import Any

import grpc
from grpc import aio

from services.common import trace

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Largest message. Chunks have up to 2 MiB, and a report with 2,000 columns about 1 MiB."""

DEFAULT_DEADLINE_S = 10.0
"""Deadline of a unary call for which the caller sets none."""

_OPTIONS = [
    # Calls are spread over all replicas behind the name. New replicas are found within seconds.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # Reconnects soon after a restart; gRPC's default is up to 2 minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Despite its name, this is the timeout of a connect, including the TCP and HTTP/2 handshakes.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # A half-open connection is detected within 30 s.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
]


def _details(details: aio.ClientCallDetails, deadline_s: float | None) -> aio.ClientCallDetails:
    metadata = aio.Metadata(*(details.metadata or ()))
    metadata.add(trace.HEADER, trace.traceparent())
    return aio.ClientCallDetails(
        method=details.method,
        timeout=details.timeout if details.timeout is not None else deadline_s,
        metadata=metadata,
        credentials=details.credentials,
        wait_for_ready=details.wait_for_ready,
    )


class _UnaryUnary(aio.UnaryUnaryClientInterceptor):  # type: ignore[misc]
    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], details: aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_details(details, DEFAULT_DEADLINE_S), request)


class _UnaryStream(aio.UnaryStreamClientInterceptor):  # type: ignore[misc]
    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], details: aio.ClientCallDetails, request: Any
    ) -> Any:
        return await continuation(_details(details, None), request)


class _StreamUnary(aio.StreamUnaryClientInterceptor):  # type: ignore[misc]
    async def intercept_stream_unary(
        self, continuation: Callable[..., Any], details: aio.ClientCallDetails, requests: Any
    ) -> Any:
        call = await continuation(_details(details, None), requests)
        ended: list[aio.AioRpcError] = []
        call.add_done_callback(lambda done: ended.append(_outcome(done)))
        try:
            await call
        except aio.AioRpcError as failure:
            # If the server rejects a stream while we are writing, it sends its status, and then the
            # write fails. grpc.aio may replace the status by the failure of the write (INTERNAL,
            # no metadata). Raise the server's status, whichever came first.
            from_server = (
                each
                for each in (failure, *ended)
                if each.trailing_metadata() or each.code() is not grpc.StatusCode.INTERNAL
            )
            raise next(from_server, failure) from None
        return call


def _outcome(done: aio.Call) -> aio.AioRpcError:
    """Return the status of a call that has just ended, as an error."""
    code, details, trailing = (
        _result(getter) for getter in (done.code(), done.details(), done.trailing_metadata())
    )
    return aio.AioRpcError(code, aio.Metadata(), trailing or aio.Metadata(), details)


def _result(getter: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that does not wait, such as a getter of a finished call."""
    try:
        getter.send(None)
    except StopIteration as finished:
        return finished.value
    getter.close()
    raise RuntimeError("a getter of a finished call waits")


def connect(address: str) -> aio.Channel:
    """Create a channel to `address` (host:port), inside the running event loop.

    It connects at the first call.
    """
    return aio.insecure_channel(
        address, options=_OPTIONS, interceptors=[_UnaryUnary(), _UnaryStream(), _StreamUnary()]
    )
