"""Errors as HTTP answers: everything that goes wrong leaves in one shape."""

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
"""When to try again where the error does not say it better."""

MAX_REASON_BYTES = 123
"""RFC 6455: a control frame holds 125 bytes, 2 of them for the status."""

RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {"model": models.Problem, "description": "What is wrong and what to do."}
}
"""For the documentation of every route."""


def status_of(failure: SluiceError) -> int:
    """HTTP status of an error."""
    return info_of(failure.reason).http or 500


def extensions(failure: SluiceError) -> dict[str, Any]:
    """The error as GraphQL's `extensions`: the problem and further facts."""
    return {**failure.metadata, **wire.problem(failure.problem).model_dump()}


def graphql_errors(failure: SluiceError) -> dict[str, Any]:
    """The error of a request that was not executed, as a GraphQL answer."""
    return {"errors": [{"message": failure.problem.message, "extensions": extensions(failure)}]}


def response(
    path: str,
    failure: SluiceError,
    headers: dict[str, str] | None = None,
    status: int | None = None,
) -> Response:
    """The answer to a request on `path`."""
    status = status or status_of(failure)
    content = (
        graphql_errors(failure)
        if path == GRAPHQL_PATH
        else wire.problem(failure.problem).model_dump()
    )
    told = dict(headers or {})
    if status in (429, 503):
        told["Retry-After"] = failure.metadata.get("retry_after_s", str(RETRY_AFTER_S))
    return JSONResponse(content, status_code=status, headers=told)


def close_reason(code: "ErrorReason.ValueType", text: str) -> str:
    """Return `CODE: text` as the reason of a WebSocket close frame, cut to its maximum length."""
    return f"{errors.code_of(code)}: {text}".encode()[:MAX_REASON_BYTES].decode("utf-8", "ignore")


def internal() -> SluiceError:
    """What a client is told of a fault of ours."""
    text = f"Something failed on our side; the log has it under trace {trace.current()}."
    return error(ErrorReason.ERROR_REASON_INTERNAL, text, metadata={"trace_id": trace.current()})


def install(app: FastAPI) -> None:
    """Makes every failure that a route raises an answer in our shape."""

    @app.exception_handler(SluiceError)
    async def _sluice(request: Request, failure: SluiceError) -> Response:
        request.state.code = failure.code
        return response(request.url.path, failure)

    @app.exception_handler(RequestValidationError)
    async def _validation(request: Request, failure: RequestValidationError) -> Response:
        return response(request.url.path, _first_fault(failure))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, failure: HTTPException) -> Response:
        headers = dict(failure.headers or {})
        match failure.status_code:
            case 404:
                told = error(
                    ErrorReason.ERROR_REASON_NOT_FOUND,
                    f"There is nothing at {request.url.path[:200]}.",
                )
            case 405:
                allowed = headers.get("allow") or headers.get("Allow", "")
                text = f"{request.method} is not possible here; {allowed or 'another method'} is."
                told = error(ErrorReason.ERROR_REASON_METHOD_NOT_ALLOWED, text)
            case _:
                told = error(ErrorReason.ERROR_REASON_REQUEST_INVALID, str(failure.detail))
        return response(request.url.path, told, headers, failure.status_code)

    @app.exception_handler(Exception)
    async def _fault(request: Request, failure: Exception) -> Response:
        # Raised again after the answer, to be logged at the edge.
        told = internal()
        request.state.code = told.code
        return response(request.url.path, told)

    @app.exception_handler(ClientDisconnect)
    async def _gone(request: Request, failure: ClientDisconnect) -> Response:
        told = error(
            ErrorReason.ERROR_REASON_CLIENT_GONE, "The client went away before its last byte."
        )
        request.state.code = told.code
        return response(request.url.path, told)


def _first_fault(failure: RequestValidationError) -> SluiceError:
    fault = failure.errors()[0]
    name = str(fault["loc"][-1]) if fault["loc"] else ""
    text = f"{name or 'The request'}: {fault['msg']}."
    return error(
        ErrorReason.ERROR_REASON_REQUEST_INVALID,
        text,
        column=name,
        value=_shown(fault.get("input")),
    )


def _shown(value: object) -> str:
    return str(value) if isinstance(value, str | int | float) else ""
