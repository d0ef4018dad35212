"""A task's events as server-sent events."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from starlette.responses import StreamingResponse

from gateway.live.watches import News, Watches
from services.common import logs
from services.common.errors import SluiceError

KEEP_ALIVE_S = 15.0
"""A comment is sent when nothing else was for so long, so that proxies do not end the
connection.
"""


def response(watches: Watches, task_id: str, from_sequence: int) -> StreamingResponse:
    """The answer; ends after the task's end. A reader that loses it goes on with Last-Event-ID."""
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
        # The answer has begun: its end makes the reader ask again, which tells it what is wrong.
        logs.get().warning("events.broken", task_id=task_id, code=failure.code)


def frame(news: News) -> bytes:
    """One event. JSON has no line break in it, so that `data` is a single line."""
    return f"id: {news.event.sequence}\ndata: {news.event_json}\n\n".encode()
