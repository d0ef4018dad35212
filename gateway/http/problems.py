"""Converts errors to HTTP responses of one shape."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response

from gateway.documents import models, wire
from services.common import errors, trace
from services.common.errors import SluiceError, error, info_of
from sluice.common.v1.errors_pb2 import ErrorReason

GRAPHQL_PATH = "/graphql"

RETRY_AFTER_S = 2
"""Retry-After of errors that do not specify one, in seconds."""

MAX_REASON_BYTES = 123
"""RFC 6455: a control frame holds 125 bytes, 2 of them for the status."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {"model": models.Problem, "description": "The problem and how to fix it."}
}
"""`responses` of every route, for OpenAPI."""


def status_of(failure: SluiceError) -> int:
    """The HTTP status of an error."""
    return info_of(failure.reason).http or 500


def extensions(failure: SluiceError) -> dict[str, Any]:
    """The error as GraphQL `extensions`: the problem and its metadata."""
    return {**failure.metadata, **wire.problem(failure.problem).model_dump()}


def graphql_errors(failure: SluiceError) -> dict[str, Any]:
    """The error of a request that was not executed, as a GraphQL response."""
    return {"errors": [{"message": failure.problem.message, "extensions": extensions(failure)}]}


def response(
    path: str,
    failure: SluiceError,
    headers: dict[str, str] | None = None,
    status: int | None = None,
) -> Response:
    """The error response to a request on `path`."""
    status = status or status_of(failure)
    content = (
        graphql_errors(failure)
        if path == GRAPHQL_PATH
        else wire.problem(failure.problem).model_dump()
    )
    headers = dict(headers or {})
    if status in (429, 503):
        headers["Retry-After"] = failure.metadata.get("retry_after_s", str(RETRY_AFTER_S))
    return JSONResponse(content, status_code=status, headers=headers)


def close_reason(code: "ErrorReason.ValueType", text: str) -> str:
    """Return `CODE: text` as the reason of a WebSocket close frame, cut to its maximum length."""
    return f"{errors.code_of(code)}: {text}".encode()[:MAX_REASON_BYTES].decode("utf-8", "ignore")


def internal() -> SluiceError:
    """INTERNAL, with the trace id."""
    text = f"Internal error. The server's log has details under trace {trace.current()}."
    return error(ErrorReason.ERROR_REASON_INTERNAL, text, metadata={"trace_id": trace.current()})


def install(app: FastAPI) -> None:
    """Register handlers that convert every exception of a route to an error response."""

    @app.exception_handler(SluiceError)
    async def _sluice(request: Request, failure: SluiceError) -> Response:
        request.state.code = failure.code
        return response(request.url.path, failure)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, failure: RequestValidationError) -> Response:
        return response(request.url.path, _first_violation(failure))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, failure: HTTPException) -> Response:
        headers = dict(failure.headers or {})
        match failure.status_code:
            case 404:
                reason = ErrorReason.ERROR_REASON_NOT_FOUND
                text = f"Not found: {request.url.path[:200]}."
            case 405:
                reason = ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED
                allowed = headers.get("allow") or headers.get("Allow") or "another method"
                text = f"{request.method} is not allowed here. Allowed: {allowed}."
            case _:
                reason = ErrorReason.ERROR_REASON_REQUEST_INVALID
                text = str(failure.detail)
        return response(request.url.path, error(reason, text), headers, failure.status_code)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, failure: Exception) -> Response:
        # Starlette re-raises it after the response, so the middleware logs it.
        shown = internal()
        request.state.code = shown.code
        return response(request.url.path, shown)

    @app.exception_handler(ClientDisconnect)
    async def _disconnected(request: Request, failure: ClientDisconnect) -> Response:
        text = "The client disconnected before its last byte."
        shown = error(ErrorReason.ERROR_REASON_CLIENT_GONE, text)
        request.state.code = shown.code
        return response(request.url.path, shown)


def _first_violation(failure: RequestValidationError) -> SluiceError:
    violation = failure.errors()[0]
    name = str(violation["loc"][-1]) if violation["loc"] else ""
    text = f"{name or 'The request'}: {violation['msg']}."
    value = violation.get("input")
    return error(
        ErrorReason.ERROR_REASON_REQUEST_INVALID,
        text,
        column=name,
        value=str(value) if isinstance(value, str | int | float) else "",
    )
