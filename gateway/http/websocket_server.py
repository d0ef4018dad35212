"""uvicorn's WebSocket protocol with error codes on every end of a connection below the application:
invalid handshakes and frames, messages that are too long, a shutdown."""

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

_REJECTIONS = {
    414: ErrorReason.ERROR_REASON_HEADERS_TOO_LARGE,
    431: ErrorReason.ERROR_REASON_HEADERS_TOO_LARGE,
    500: ErrorReason.ERROR_REASON_INTERNAL,
}
"""Reasons by the HTTP status of a rejected handshake; REQUEST_INVALID for any other."""

_CLOSINGS = {
    CloseCode.PROTOCOL_ERROR: (ErrorReason.ERROR_REASON_REQUEST_INVALID, "Invalid frame."),
    CloseCode.INVALID_DATA: (
        ErrorReason.ERROR_REASON_REQUEST_INVALID,
        "A message is not UTF-8 text.",
    ),
    CloseCode.MESSAGE_TOO_BIG: (ErrorReason.ERROR_REASON_REQUEST_INVALID, "A message is too long."),
    CloseCode.INTERNAL_ERROR: (ErrorReason.ERROR_REASON_INTERNAL, "Internal error."),
    CloseCode.SERVICE_RESTART: (
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        "The server is stopping.",
    ),
}
"""Close codes that the server itself, not the application, sends."""


class _Connection(ServerProtocol):
    def reject(self, status: Any, text: str) -> Response:
        reason = _REJECTIONS.get(int(status), ErrorReason.ERROR_REASON_REQUEST_INVALID)
        failure = error(reason, text.strip() or "The WebSocket handshake failed.")
        response = super().reject(status, wire.problem(failure.problem).model_dump_json())
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
    error_reason, text = _CLOSINGS[CloseCode(code)]
    return close_reason(error_reason, f"{text} {reason}".strip())


class CodedWebSocket(WebSocketsSansIOProtocol):
    """The protocol with error codes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Connection(
            max_size=self.config.ws_max_size, logger=logging.getLogger("uvicorn.error")
        )

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # uvicorn does not respond to a head that websockets rejects, and would wait forever.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()
