"""The connection between browser and server, which a test cuts and restores."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.chaos.proxy import Link, Mode


@dataclass(frozen=True)
class Line:
    """A connection; `url` is the server's address through it."""

    url: str
    _set: Callable[[Mode], object]

    def cut(self) -> None:
        """Break open connections and refuse new ones."""
        self._set(Mode.REFUSING)

    def restore(self) -> None:
        self._set(Mode.OPEN)


@contextmanager
def line_to(url: str) -> Iterator[Line]:
    """Run a connection in a separate thread, because this one drives the browser."""
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
