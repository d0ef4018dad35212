"""graphql-transport-ws with a code on every error and close frame.

Messages are checked before Strawberry's protocol handler sees them.
"""

from collections.abc import AsyncGenerator, Mapping
from typing import Any

from starlette.websockets import WebSocketDisconnect
from strawberry.asgi import ASGIWebSocketAdapter
from strawberry.http.exceptions import WebSocketDisconnected

from gateway.documents import strict_json
from gateway.graphql import guard
from gateway.graphql.multipart_request import operation_of
from gateway.http import problems
from services.common import logs
from services.common.errors import SluiceError, error
from sluice.common.v1.errors_pb2 import ErrorReason

INVALID_MESSAGE = 4400
INIT_TIMEOUT = 4408

MAX_ID_CHARS = 128

_TYPES = frozenset({"connection_init", "ping", "pong", "subscribe", "complete"})


class Socket(ASGIWebSocketAdapter):
    """Messages of one connection."""

    async def iter_json(
        self, *, ignore_parsing_errors: bool = False
    ) -> AsyncGenerator[object, None]:
        """Yield valid messages; the first invalid one closes the connection, as the protocol requires."""
        while True:
            try:
                message = await self.ws.receive()
            except WebSocketDisconnect:
                return
            if message["type"] == "websocket.disconnect":
                return
            try:
                found = _message(message.get("text"))
            except SluiceError as refused:
                logs.get().info(
                    "websocket.message_refused", code=refused.code, reason=refused.problem.message
                )
                await self.close(INVALID_MESSAGE, refused.problem.message)
                return
            yield found

    async def send_json(self, message: Mapping[str, object]) -> None:
        """Send a message, with a code on each of its errors."""
        payload = message.get("payload")
        match message.get("type"):
            case "error" if isinstance(payload, list):
                message = {
                    **message,
                    "payload": [guard.with_code(each) for each in payload],
                }
            case "next" if isinstance(payload, dict) and payload.get("errors"):
                found = [guard.with_code(each) for each in payload["errors"]]
                message = {**message, "payload": {**payload, "errors": found}}
        await super().send_json(message)

    async def close(self, code: int, reason: str) -> None:
        """Close with `CODE: reason`."""
        named = (
            ErrorReason.ERROR_REASON_REQUEST_TIMEOUT
            if code == INIT_TIMEOUT
            else ErrorReason.ERROR_REASON_REQUEST_INVALID
        )
        try:
            await super().close(code, problems.close_reason(named, reason))
        except WebSocketDisconnect as gone:
            raise WebSocketDisconnected from gone


def _message(text: str | None) -> dict[str, Any]:
    """Parse a message of the protocol.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    if text is None:
        raise _invalid("A message must be text, not binary.")
    try:
        found = strict_json.loads(text)
    except ValueError as failure:
        raise _invalid(f"A message must be JSON: {failure}.") from None
    if not isinstance(found, dict) or not isinstance(found.get("type"), str):
        raise _invalid("A message must be a JSON object with a type.")
    if found["type"] not in _TYPES:
        raise _invalid(f"There is no message of the type {found['type'][:40]}.")
    if found["type"] in ("subscribe", "complete"):
        if not isinstance(found.get("id"), str) or not 0 < len(found["id"]) <= MAX_ID_CHARS:
            raise _invalid(f"id must be a text of 1 to {MAX_ID_CHARS} characters.")
        if found["type"] == "subscribe":
            operation_of(found.get("payload"))
    return found


def _invalid(text: str) -> SluiceError:
    return error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text)
