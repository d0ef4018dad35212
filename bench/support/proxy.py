"""A TCP proxy that cuts connections after given numbers of client bytes, or limits their rate."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE = 64 * 1024


@dataclass
class Proxy:
    """Forwards connections to `target`.

    `cuts`: numbers of client bytes, over all connections, after which the current connection is
    cut. `bytes_per_s`: the rate limit of client bytes; 0 for none.
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
        directions = [
            asyncio.create_task(self._up(reader, up_writer)),
            asyncio.create_task(_down(up_reader, writer)),
        ]
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
        if directions[0].done() and not directions[0].result():
            # The client closed only its side; the response may still follow.
            await asyncio.wait(directions)
        for direction in directions:
            direction.cancel()
        for end in (writer, up_writer):
            end.transport.abort()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Forward client bytes; return whether to cut the connection."""
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
        """Serve in a separate thread."""
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
