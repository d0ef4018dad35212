"""A TCP proxy in front of a service: it cuts connections at chosen bytes of what the client sends,
or holds it to a rate.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE = 64 * 1024


@dataclass
class Proxy:
    """`cuts` are counts of bytes from clients, over all connections, after which the connection
    that carries them is cut, both ways. `bytes_per_s` is the rate of what clients send; 0 for as
    fast as it goes.
    """

    target: tuple[str, int]
    cuts: list[int] = field(default_factory=list)
    bytes_per_s: float = 0.0
    port: int = 0
    sent: int = 0
    """Bytes from clients so far."""
    cut: int = 0
    """Connections cut so far."""

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self.target)
        ways = [
            asyncio.create_task(self._up(reader, up_writer)),
            asyncio.create_task(_down(up_reader, writer)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        if ways[0].done() and not ways[0].result():
            # The client has closed its side alone; the answer may still come.
            await asyncio.wait(ways)
        for way in ways:
            way.cancel()
        for end in (writer, up_writer):
            end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection is to be cut."""
        clock = asyncio.get_running_loop().time
        free_at = clock()
        while piece := await reader.read(PIECE):
            if self.bytes_per_s:
                free_at = max(free_at, clock() - 0.05) + len(piece) / self.bytes_per_s
                if free_at > clock():
                    await asyncio.sleep(free_at - clock())
            if self.cuts and self.sent + len(piece) > self.cuts[0]:
                self.sent = self.cuts.pop(0)
                self.cut += 1
                return True
            self.sent += len(piece)
            writer.write(piece)
            await writer.drain()
        writer.write_eof()
        return False

    @contextmanager
    def running(self) -> Iterator["Proxy"]:
        """Serves in a thread of its own."""
        loop = asyncio.new_event_loop()
        started = threading.Event()

        async def serve() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.port = server.sockets[0].getsockname()[1]
            started.set()
            with suppress(asyncio.CancelledError):
                await server.serve_forever()

        task = loop.create_task(serve())
        thread = threading.Thread(target=loop.run_until_complete, args=(task,), daemon=True)
        thread.start()
        started.wait()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(task.cancel)
            thread.join(5)


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
