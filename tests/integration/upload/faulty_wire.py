"""A TCP proxy in front of the real S3 server that hurts what goes through it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Literal

PIECE = 64 * 1024

Hurt = Literal["flip", "cut", "cut answer", "stall"]
"""Flip: a bit of what the client sends arrives otherwise. Cut: the connection breaks. Cut answer:
it breaks within the next answer. Stall: nothing more goes through it.
"""


@dataclass
class Wire:
    """The next `times` connections that have carried `at` bytes of a client are hurt there; a flip
    is repeated every `at` bytes.
    """

    target: tuple[str, int]
    hurt: Hurt = "flip"
    at: int = 0
    times: int = 0
    port: int = 0
    done: int = 0
    """How often it has hurt."""
    never: asyncio.Event = field(default_factory=asyncio.Event)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self.target)
        cutting = asyncio.Event()
        ways = [
            asyncio.create_task(self._up(reader, up_writer, cutting)),
            asyncio.create_task(_down(up_reader, writer, cutting)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            for end in (writer, up_writer):
                end.transport.abort()

    async def _up(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cutting: asyncio.Event
    ) -> None:
        carried, flips = 0, 0
        while piece := await reader.read(PIECE):
            # Read anew each time, as connections are older than what the test sets.
            next_at = self.at * (flips + 1)
            if self.times and carried <= next_at < carried + len(piece):
                self.times -= 1
                self.done += 1
                match self.hurt:
                    case "flip":
                        place = next_at - carried
                        piece = piece[:place] + bytes([piece[place] ^ 1]) + piece[place + 1 :]
                        flips += 1
                    case "cut":
                        return
                    case "cut answer":
                        cutting.set()
                    case "stall":
                        # Not one of its own: what nobody else refers to is collected, with the task
                        # that waits for it.
                        await self.never.wait()
            carried += len(piece)
            writer.write(piece)
            await writer.drain()


async def _down(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cutting: asyncio.Event
) -> None:
    with suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece[:20] if cutting.is_set() else piece)
            await writer.drain()
            if cutting.is_set():
                return


@asynccontextmanager
async def wire(target: tuple[str, int]) -> AsyncIterator[Wire]:
    """Listens on a free port."""
    made = Wire(target)
    server = await asyncio.start_server(made._serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
