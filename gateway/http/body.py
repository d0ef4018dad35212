"""Reads small JSON bodies."""

import asyncio
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from gateway.documents import strict_json
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason

M = TypeVar("M", bound=BaseModel)


def openapi_body(schema: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads a JSON body of this schema."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@dataclass(frozen=True)
class JsonBodies:
    """The only reader of JSON bodies, so that all routes accept the same."""

    max_bytes: int
    timeout_s: float
    """Maximum seconds to receive the whole body."""

    async def read(self, request: Request) -> Any:
        """Parse the body with strict_json. Only application/json is accepted, because a page of
        another site cannot send it without a CORS preflight.

        Raises:
            SluiceError: REQUEST_INVALID if the body is too long, invalid JSON, or has another
                Content-Type; REQUEST_TIMEOUT.
            ClientDisconnect: the client disconnected.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            text = f"The Content-Type is {kind or 'missing'}, not application/json."
            raise error(
                ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column="Content-Type", value=kind
            )
        try:
            async with asyncio.timeout(self.timeout_s):
                body = await self._read_bytes(request)
        except TimeoutError:
            text = f"The request body was not complete within {self.timeout_s:g} seconds."
            raise error(ErrorReason.ERROR_REASON_REQUEST_TIMEOUT, text) from None
        try:
            return strict_json.loads(body)
        except ValueError as failure:
            text = f"The request body is not valid JSON: {failure}."
            raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text) from None

    async def model(self, request: Request, kind: type[M]) -> M:
        """Parse the body as `kind`.

        Raises:
            RequestValidationError: the JSON value does not match `kind`.
            SluiceError, ClientDisconnect: see read.
        """
        try:
            return kind.model_validate(await self.read(request))
        except ValidationError as failure:
            raise RequestValidationError(failure.errors()) from None

    async def _read_bytes(self, request: Request) -> bytes:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > self.max_bytes:
                text = f"The request body is longer than {self.max_bytes} bytes."
                raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text)
        return bytes(body)
