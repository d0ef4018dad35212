"""Limits the size and the duration of a request's head, so that a slow or endless head does not
occupy memory and a connection. Invalid HTTP gets the same error shape as every other failure."""

import asyncio
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.documents import wire
from services.common.errors import SluiceError, error, info_of
from sluice.common.v1.errors_pb2 import ErrorReason


def with_head_limits(max_bytes: int, timeout_s: float) -> type[HttpToolsProtocol]:
    """uvicorn's protocol, rejecting a head that is longer than `max_bytes`, give or take one read,
    or takes longer than `timeout_s`.
    """

    class LimitedHead(HttpToolsProtocol):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._in_head = False
            self._head_bytes = 0
            self._timer: asyncio.TimerHandle | None = None
            self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            # The read in which a head begins may contain other bytes, so only later reads count.
            counts = self._in_head
            super().data_received(data)
            if counts and self._in_head:
                self._head_bytes += len(data)
                if self._head_bytes > max_bytes:
                    text = f"The request head is longer than {max_bytes:,} bytes."
                    self._reject(error(ErrorReason.ERROR_REASON_HEADERS_TOO_LARGE, text))

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._in_head, self._head_bytes = True, 0
            self._start_timer()

        def on_headers_complete(self) -> None:
            self._in_head = False
            self._stop_timer()
            super().on_headers_complete()

        def _start_timer(self) -> None:
            if self._timer is None:
                self._timer = self.loop.call_later(timeout_s, self._time_out)

        def _time_out(self) -> None:
            if self._in_head:
                text = f"The request head was not complete within {timeout_s:g} seconds."
                self._reject(error(ErrorReason.ERROR_REASON_REQUEST_TIMEOUT, text))
            else:
                self.transport.close()

        def send_400_response(self, msg: str) -> None:
            if (
                self.cycle is not None
                and self.cycle.response_started
                and not self.cycle.response_complete
            ):
                # The client would read an error response as a part of the current body.
                self.transport.close()
                return
            text = "The request is not valid HTTP/1.1."
            self._reject(error(ErrorReason.ERROR_REASON_REQUEST_INVALID, text))

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

        def _reject(self, failure: SluiceError) -> None:
            status = HTTPStatus(info_of(failure.reason).http)
            body = wire.problem(failure.problem).model_dump_json().encode()
            head = (
                f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
                f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
            self.transport.close()

    return LimitedHead
