"""Streams a task's events as server-sent events."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.responses import StreamingResponse

from gateway.live.watches import WatchedEvent, Watches
from services.common import logs
from services.common.errors import SluiceError

KEEP_ALIVE_S = 15.0
"""Seconds of silence after which a comment is sent, so that proxies do not close the
connection.
"""


def response(watches: Watches, task_id: str, from_sequence: int) -> StreamingResponse:
    """The response; ends after the terminal event. A reader that loses it resumes with
    Last-Event-ID.
    """
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _stream(watches, task_id, from_sequence), media_type="text/event-stream", headers=headers
    )


async def _stream(watches: Watches, task_id: str, from_sequence: int) -> AsyncIterator[bytes]:
    yield b": following\n\n"
    try:
        async with aclosing(watches.follow(task_id, from_sequence, KEEP_ALIVE_S)) as events:
            async for item in events:
                yield frame(item) if item else b": still here\n\n"
    except SluiceError as failure:
        # The response has started: its end makes the reader reconnect and receive the error.
        logs.get().warning("events.broken", task_id=task_id, code=failure.code)


def frame(item: WatchedEvent) -> bytes:
    """One event. Compact JSON contains no line break, so `data` is a single line."""
    return f"id: {item.event.sequence}\ndata: {item.event_json}\n\n".encode()
