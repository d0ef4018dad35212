"""The head of a request is short and comes soon: who sends neither an end of it nor a body would
otherwise hold memory and a connection. What is no HTTP at all is answered in the shape of every
other refusal."""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.documents import wire
from services.common.errors import SluiceError, error, info_of
from sluice.common.v1.errors_pb2 import ErrorReason


def bounded(max_bytes: int, timeout_s: float) -> type[HttpToolsProtocol]:
    """uvicorn's protocol; it refuses a head of more than `max_bytes`, give or take one read, and
    one that takes longer than `timeout_s`.
    """

    class Bounded(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._in_head = False
            self._head_bytes = 0
            self._late: asyncio.TimerHandle | None = None
            self._await_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._head_is_there()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            # A read in which a head begins may have other bytes before it, so only those after it
            # count.
            counts = self._in_head
            super().data_received(data)
            if counts and self._in_head:
                self._head_bytes += len(data)
                if self._head_bytes > max_bytes:
                    text = f"The head of the request is longer than {max_bytes:,} bytes."
                    self._refuse(error(ErrorReason.ERROR_REASON_HEADERS_TOO_LARGE, text))

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head, self._head_bytes = True, 0
            self._await_head()

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._head_is_there()
            super().on_headers_complete()

        def _await_head(self) -> None:
            if self._late is None:
                self._late = self.loop.call_later(timeout_s, self._give_up)

        def _give_up(self) -> None:
            if self._in_head:
                text = f"The head of the request did not end within {timeout_s:g} seconds."
                self._refuse(error(ErrorReason.ERROR_REASON_REQUEST_TIMEOUT, text))
            else:
                self.transport.close()

        def send_400_response(self, msg: str) -> None:
            if (
                self.cycle is not None
                and self.cycle.response_started
                and not self.cycle.response_complete
            ):
                # Another answer within the one that is on its way would be taken for a part of it.
                self.transport.close()
                return
            text = "The request, or its body, is not valid HTTP/1.1."
            self._refuse(error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text))

        def _head_is_there(self) -> None:
            if self._late is not None:
                self._late.cancel()
                self._late = None

        def _refuse(self, refused: SluiceError) -> None:
            status = HTTPStatus(info_of(refused.reason).http)
            body = wire.problem(refused.problem).model_dump_json().encode()
            head = f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            self.transport.write(f"{head}Connection: close\r\n\r\n".encode() + body)
            self.transport.close()

    return Bounded
