"""Server interceptors of every call, in this order:

1. Trace: continues or starts the trace, so that all later log lines have its id.
2. Errors: converts exceptions to a status with ErrorInfo, and logs one line with the duration.
3. Authentication: identifies the caller before the message is read.
4. Rules: validates request messages, so that servicers see only valid ones. It also rejects bytes
   that cannot be decoded.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import perf_counter
from typing import Any, Protocol

import grpc
import protovalidate
import structlog
from google.protobuf.message import DecodeError, Message
from grpc import aio

from services.common import errors, logs, trace
from services.common.values import check_values
from sluice.common.v1.errors_pb2 import ErrorReason

Continuation = Callable[[grpc.HandlerCallDetails], Awaitable["grpc.RpcMethodHandler | None"]]
Behavior = Callable[[Any, "aio.ServicerContext[Any, Any]"], Any]

OPEN_SERVICES = ("/grpc.health.v1.", "/grpc.reflection.")
"""Methods of probes and tools, without authentication and log lines."""


class Authenticator(Protocol):
    """Decides whether a caller may call a method."""

    async def authenticate(self, method: str, metadata: dict[str, str | bytes]) -> str:
        """Return the name of the caller.

        Raises:
            SluiceError: UNAUTHENTICATED or PERMISSION_DENIED.
        """


class OpenAuthenticator:
    """AUTH_MODE=open: all callers may call all methods."""

    async def authenticate(self, method: str, metadata: dict[str, str | bytes]) -> str:
        return "anonymous"


class Undecodable:
    """Placeholder for a request that cannot be decoded."""


def _decoding(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """Wrap a deserializer so that it returns Undecodable instead of raising.

    Otherwise gRPC would end the call before the interceptors, without an error code.
    """

    def decode(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return Undecodable()

    return decode


def _around(
    handler: "grpc.RpcMethodHandler", wrap: Callable[[Behavior, bool], Behavior]
) -> "grpc.RpcMethodHandler":
    """Wrap the behavior of a handler. `wrap` gets the behavior and whether it streams responses."""
    streams_in, streams_out = handler.request_streaming, handler.response_streaming
    kind = ("stream" if streams_in else "unary") + "_" + ("stream" if streams_out else "unary")
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    behavior = getattr(handler, kind)
    return make(
        wrap(behavior, streams_out),
        _decoding(handler.request_deserializer),
        handler.response_serializer,
    )


class Interceptor(aio.ServerInterceptor):  # type: ignore[misc]
    """Base of the interceptors: wraps the methods of our services."""

    async def intercept_service(
        self, continuation: Continuation, details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler | None":
        handler = await continuation(details)
        if handler is None or details.method.startswith(OPEN_SERVICES):
            return handler
        metadata = dict(details.invocation_metadata)
        return _around(
            handler,
            lambda behavior, streams: self._wrap(
                behavior, streams, handler, details.method, metadata
            ),
        )

    def _wrap(
        self,
        behavior: Behavior,
        streams: bool,
        handler: "grpc.RpcMethodHandler",
        method: str,
        metadata: dict[str, str | bytes],
    ) -> Behavior:
        if streams:

            async def answer_stream(
                request: Any, context: "aio.ServicerContext[Any, Any]"
            ) -> AsyncIterator[Any]:
                async with self._call(method, metadata, context):
                    async for answer in behavior(self._request(request, handler), context):
                        yield answer

            return answer_stream

        async def answer_once(request: Any, context: "aio.ServicerContext[Any, Any]") -> Any:
            async with self._call(method, metadata, context):
                return await behavior(self._request(request, handler), context)

        return answer_once

    def _request(self, request: Any, handler: "grpc.RpcMethodHandler") -> Any:
        return request

    def _call(
        self,
        method: str,
        metadata: dict[str, str | bytes],
        context: "aio.ServicerContext[Any, Any]",
    ) -> "Call":
        return Call()


class Call:
    """Context manager around one call. The default does nothing."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, _: object
    ) -> bool:
        return False


class TraceInterceptor(Interceptor):
    """Continues or starts the trace, and resets the context of the logs."""

    def _call(
        self,
        method: str,
        metadata: dict[str, str | bytes],
        context: "aio.ServicerContext[Any, Any]",
    ) -> Call:
        service = structlog.contextvars.get_contextvars().get("service", "")
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(service=service)
        trace.begin(str(metadata.get(trace.HEADER, "")))
        return Call()


class ErrorInterceptor(Interceptor):
    """Converts every failure to a status with a stable code, and logs the duration of calls."""

    def _call(
        self,
        method: str,
        metadata: dict[str, str | bytes],
        context: "aio.ServicerContext[Any, Any]",
    ) -> Call:
        return _LoggedCall(method, context)


class _LoggedCall(Call):
    def __init__(self, method: str, context: "aio.ServicerContext[Any, Any]") -> None:
        self._method = method
        self._context = context
        self._started = perf_counter()

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, _: object
    ) -> bool:
        facts: dict[str, Any] = {
            "method": self._method,
            "seconds": round(perf_counter() - self._started, 4),
        }
        match failure:
            case None:
                logs.get().debug("rpc.done", **facts)
            case asyncio.CancelledError() | GeneratorExit():
                logs.get().info("rpc.cancelled", **facts)
            case errors.SluiceError():
                logs.get().info(
                    "rpc.refused", code=failure.code, reason=failure.problem.message, **facts
                )
                await self._context.abort_with_status(errors.to_status(failure))
            case aio.AbortError() | aio.BaseError():
                logs.get().info("rpc.aborted", **facts)
            case Exception():
                logs.get().error("rpc.failed", exc_info=failure, **facts)
                message = (
                    f"An internal error occurred; search the logs for trace {trace.current()}."
                )
                # The text of the exception may have secrets: only the log has it.
                internal = errors.error(
                    ErrorReason.ERROR_REASON_INTERNAL,
                    message,
                    metadata={"trace_id": trace.current()},
                )
                await self._context.abort_with_status(errors.to_status(internal))
        return False


class AuthInterceptor(Interceptor):
    """Authenticates the caller before the request is read."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator

    def _call(
        self,
        method: str,
        metadata: dict[str, str | bytes],
        context: "aio.ServicerContext[Any, Any]",
    ) -> Call:
        return _AuthenticatedCall(self._authenticator, method, metadata)


class _AuthenticatedCall(Call):
    def __init__(
        self, authenticator: Authenticator, method: str, metadata: dict[str, str | bytes]
    ) -> None:
        self._authenticator, self._method, self._metadata = authenticator, method, metadata

    async def __aenter__(self) -> None:
        logs.bind(caller=await self._authenticator.authenticate(self._method, self._metadata))


class RuleInterceptor(Interceptor):
    """Validates request messages; those of a stream as they arrive."""

    def _request(self, request: Any, handler: "grpc.RpcMethodHandler") -> Any:
        if handler.request_streaming:
            return _checked(request)
        return check(request)


async def _checked(requests: AsyncIterator[Message | Undecodable]) -> AsyncIterator[Message]:
    async for request in requests:
        yield check(request)


def check(request: Message | Undecodable) -> Message:
    """Validate a message with its protovalidate rules and `check_values`, and return it.

    Raises:
        SluiceError: REQUEST_INVALID with the first invalid field.
    """
    if isinstance(request, Undecodable):
        raise errors.error(
            ErrorReason.ERROR_REASON_REQUEST_INVALID,
            "The request cannot be decoded as its protobuf message.",
        )
    check_values(request)
    violations = protovalidate.collect_violations(request, fail_fast=True)
    if violations:
        first = violations[0].proto
        path = (
            ".".join(element.field_name for element in first.field.elements) if first.field else ""
        )
        message = f"{path or 'The request'}: {first.message}."
        raise errors.error(
            ErrorReason.ERROR_REASON_REQUEST_INVALID,
            message,
            column=path,
            value=_shown(violations[0].field_value),
        )
    return request


def _shown(value: object) -> str:
    return (
        value.hex()
        if isinstance(value, bytes)
        else str(value)
        if isinstance(value, str | int | float)
        else ""
    )


def server_interceptors(authenticator: Authenticator) -> list[aio.ServerInterceptor]:
    """Return the interceptors, outermost first; the docstring of the module explains the order."""
    return [
        TraceInterceptor(),
        ErrorInterceptor(),
        AuthInterceptor(authenticator),
        RuleInterceptor(),
    ]
