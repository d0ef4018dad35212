"""The line between the browser and the server, which a test cuts and mends."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.chaos.proxy import Link, Mode


@dataclass(frozen=True)
class Line:
    """`url` is the server's, at this end of the line."""

    url: str
    _set: Callable[[Mode], object]

    def cut(self) -> None:
        """Whatever is under way breaks, and nothing new gets through."""
        self._set(Mode.REFUSING)

    def mend(self) -> None:
        self._set(Mode.OPEN)


@contextmanager
def line_to(url: str) -> Iterator[Line]:
    """A line in a thread of its own: the browser is driven from this one."""
    address = urlsplit(url)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    link = Link([(address.hostname or "", address.port or 80)])

    def run(mode: Mode) -> None:
        loop.call_soon_threadsafe(link.set, mode)

    try:
        asyncio.run_coroutine_threadsafe(link.open(), loop).result(10)
        yield Line(f"http://127.0.0.1:{link.port}", run)
    finally:
        asyncio.run_coroutine_threadsafe(link.close(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
