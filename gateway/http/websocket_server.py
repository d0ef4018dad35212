"""uvicorn's WebSocket protocol, with a code of ours on whatever ends a connection below the
application: handshakes and frames that are not valid, messages that are too long, a server that
stops."""

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.http11 import Response
from websockets.server import ServerProtocol

from gateway.documents import wire
from gateway.http.problems import close_reason
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason

_REFUSALS = {
    414: ErrorReason.ERROR_REASON_HEADERS_TOO_LARGE,
    431: ErrorReason.ERROR_REASON_HEADERS_TOO_LARGE,
    500: ErrorReason.ERROR_REASON_INTERNAL,
}
"""Status of a refused handshake; REQUEST_INVALID for any other."""

_CLOSINGS = {
    CloseCode.PROTOCOL_ERROR: (ErrorReason.ERROR_REASON_REQUEST_INVALID, "A frame is not valid."),
    CloseCode.INVALID_DATA: (
        ErrorReason.ERROR_REASON_REQUEST_INVALID,
        "A message is not UTF-8 text.",
    ),
    CloseCode.MESSAGE_TOO_BIG: (ErrorReason.ERROR_REASON_REQUEST_INVALID, "A message is too long."),
    CloseCode.INTERNAL_ERROR: (ErrorReason.ERROR_REASON_INTERNAL, "Something failed on our side."),
    CloseCode.SERVICE_RESTART: (ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "The server stops."),
}
"""Codes that the server, not the application, closes a connection with."""


class _Connection(ServerProtocol):
    def reject(self, status: Any, text: str) -> Response:
        named = _REFUSALS.get(int(status), ErrorReason.ERROR_REASON_REQUEST_INVALID)
        refused = error(named, text.strip() or "The WebSocket cannot be opened.")
        response = super().reject(status, wire.problem(refused.problem).model_dump_json())
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        super().fail(code, _reason(code, reason))

    def send_close(self, code: CloseCode | int | None = None, reason: str = "") -> None:
        super().send_close(code, reason or _reason(code, reason))


def _reason(code: CloseCode | int | None, reason: str) -> str:
    if code not in _CLOSINGS:
        return reason
    named, text = _CLOSINGS[CloseCode(code)]
    return close_reason(named, f"{text} {reason}".strip())


class CodedWebSocket(WebSocketsSansIOProtocol):
    """See the module's text."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Connection(
            max_size=self.config.ws_max_size, logger=logging.getLogger("uvicorn.error")
        )

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # uvicorn writes no answer to a head that websockets refuses, and would wait for ever.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
