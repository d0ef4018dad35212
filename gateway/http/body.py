"""Small JSON bodies."""

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


def documented(schema: dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` of a route that reads a JSON body of this schema."""
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@dataclass(frozen=True)
class JsonBodies:
    """How JSON bodies are read: the one place, so that no route takes what another refuses."""

    max_bytes: int
    timeout_s: float
    """Seconds in which the whole body has to come."""

    async def read(self, request: Request) -> Any:
        """The body's JSON value, as strict_json reads it. Only application/json is taken: a page of
        another site cannot send that without being asked first.

        Raises:
            SluiceError: REQUEST_INVALID when it is too long, not such JSON, or announced as
                something else; REQUEST_TIMEOUT.
            ClientDisconnect: the client went away.
        """
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            text = f"The Content-Type is {kind or 'missing'}, not application/json."
            raise error(
                ErrorReason.ERROR_REASON_REQUEST_INVALID, text, column="Content-Type", value=kind
            )
        try:
            async with asyncio.timeout(self.timeout_s):
                body = await self._whole(request)
        except TimeoutError:
            text = f"The body of the request did not end within {self.timeout_s:g} seconds."
            raise error(ErrorReason.ERROR_REASON_REQUEST_TIMEOUT, text) from None
        try:
            return strict_json.loads(body)
        except ValueError as failure:
            text = f"The request is not JSON that can be taken: {failure}."
            raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text) from None

    async def model(self, request: Request, kind: type[M]) -> M:
        """The body as `kind`.

        Raises:
            RequestValidationError: it is another JSON value.
            SluiceError, ClientDisconnect: see read.
        """
        try:
            return kind.model_validate(await self.read(request))
        except ValidationError as failure:
            raise RequestValidationError(failure.errors()) from None

    async def _whole(self, request: Request) -> bytes:
        body = bytearray()
        async for piece in request.stream():
            body += piece
            if len(body) > self.max_bytes:
                text = f"The request is longer than {self.max_bytes} bytes."
                raise error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text)
        return bytes(body)
