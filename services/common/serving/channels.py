"""Channels to our other services: lazy, reconnecting within a second, handing on the trace, with a
deadline on every unary call.
"""

from collections.abc import Callable, Coroutine
from typing import Any

import grpc
from grpc import aio

from services.common import trace

MAX_MESSAGE_BYTES = 8 * 1024 * 1024
"""Largest message either way; chunks are at most 2 MiB, a report with 2,000 columns about 1 MiB."""

DEFAULT_DEADLINE_S = 10.0
"""Deadline of a unary call that names none."""

_OPTIONS = [
    # Calls go in turn to every replica that the name stands for, and a replica that is new is found
    # within seconds.
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    # A peer that was restarted is tried again soon, not after gRPC's default of up to 2 minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Despite its name the time that one connect may take, TCP and HTTP/2 handshake included.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # A half-open connection is noticed within 30 s.
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
            # A server that refuses a stream while we still write to it sends its status, and then a
            # write of ours fails. grpc.aio replaces the status by that failure (INTERNAL, no
            # metadata); whichever of the two came first, the server's is the one.
            told = (
                one
                for one in (failure, *ended)
                if one.trailing_metadata() or one.code() is not grpc.StatusCode.INTERNAL
            )
            raise next(told, failure) from None
        return call


def _outcome(done: aio.Call) -> aio.AioRpcError:
    """How a call ended, as it is known at the moment it ends."""
    code, details, trailing = (
        _answered(question) for question in (done.code(), done.details(), done.trailing_metadata())
    )
    return aio.AioRpcError(code, aio.Metadata(), trailing or aio.Metadata(), details)


def _answered(question: Coroutine[Any, Any, Any]) -> Any:
    """Result of a coroutine that waits for nothing, such as the questions to a call that is
    done.
    """
    try:
        question.send(None)
    except StopIteration as answer:
        return answer.value
    question.close()
    raise RuntimeError("a finished call has to answer at once")


def connect(address: str) -> aio.Channel:
    """A channel to `address` (host:port). Call it inside the running event loop; nothing is
    connected before the first call.
    """
    return aio.insecure_channel(
        address, options=_OPTIONS, interceptors=[_UnaryUnary(), _UnaryStream(), _StreamUnary()]
    )
