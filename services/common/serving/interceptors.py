"""What happens around every call, in this order:

1. trace: takes or begins the trace id, so that all later lines have it;
2. errors: turns whatever is raised below into a status with ErrorInfo, and writes the one log line
   of the call with its timing;
3. authentication: decides who calls, before anything is read of the message;
4. rules: checks every request message against its protovalidate rules, so that servicers see only
   valid ones; bytes that are no message at all are refused here too.
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
"""Methods that need no authentication and are not logged: probes and tools call them all the
time.
"""


class Authenticator(Protocol):
    """The one place that decides whether a caller may call a method."""

    async def authenticate(self, method: str, metadata: dict[str, str | bytes]) -> str:
        """The caller's name.

        Raises:
            SluiceError: UNAUTHENTICATED or PERMISSION_DENIED.
        """
        ...


class OpenAuthenticator:
    """AUTH_MODE=open: everybody may do everything."""

    async def authenticate(self, method: str, metadata: dict[str, str | bytes]) -> str:
        return "anonymous"


class Undecodable:
    """Stands for bytes that are not the request's message."""


def _decoding(deserialize: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The same, except that it never raises: gRPC would end the call before any interceptor sees
    it, without a code of ours."""

    def decode(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError:
            return Undecodable()

    return decode


def _around(
    handler: "grpc.RpcMethodHandler", wrap: Callable[[Behavior, bool], Behavior]
) -> "grpc.RpcMethodHandler":
    """The handler with its behavior wrapped; `wrap` learns whether the answer is a stream."""
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
    """Wraps every method that is ours."""

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
    """What an interceptor does before and after a call."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, _: object
    ) -> bool:
        return False


class TraceInterceptor(Interceptor):
    """Begins or continues the trace, and gives the call a clean set of logged facts."""

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
    """Every failure leaves as a status with a stable code; every call leaves one line with its
    seconds.
    """

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
                    f"Something failed on our side; the log has it under trace {trace.current()}."
                )
                hidden = errors.error(
                    ErrorReason.ERROR_REASON_INTERNAL,
                    message,
                    metadata={"trace_id": trace.current()},
                )
                await self._context.abort_with_status(errors.to_status(hidden))
        return False


class AuthInterceptor(Interceptor):
    """Asks the Authenticator before anything is read."""

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
    """Checks request messages against the rules in the protos; a stream's messages as they come."""

    def _request(self, request: Any, handler: "grpc.RpcMethodHandler") -> Any:
        if handler.request_streaming:
            return _checked(request)
        return check(request)


async def _checked(requests: AsyncIterator[Message | Undecodable]) -> AsyncIterator[Message]:
    async for request in requests:
        yield check(request)


def check(request: Message | Undecodable) -> Message:
    """The same message. Raises REQUEST_INVALID, naming the first field that breaks its rule or
    holds what no field may."""
    if isinstance(request, Undecodable):
        raise errors.error(
            ErrorReason.ERROR_REASON_REQUEST_INVALID,
            "The bytes of the request are not its protobuf message.",
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
    """All of them, outermost first; the module's text says why in this order."""
    return [
        TraceInterceptor(),
        ErrorInterceptor(),
        AuthInterceptor(authenticator),
        RuleInterceptor(),
    ]
