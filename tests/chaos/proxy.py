"""A TCP proxy that can break: one link per address that the services call."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from enum import Enum

_PIECE = 64 * 1024

Address = tuple[str, int]


class Mode(Enum):
    """The behavior of a link."""

    OPEN = "open"
    REFUSING = "refusing"
    """Connections are closed immediately."""
    STALLED = "stalled"
    """Connections stay open, but no byte is forwarded: half-open TCP."""
    DEAF = "deaf"
    """Requests are forwarded; the connection is cut at the first byte of a response."""


class Link:
    """An address in front of one or more backends, used round-robin.

    `handshake_s`: delay of the first byte of each new connection, in seconds.
    """

    def __init__(self, backends: Sequence[Address], handshake_s: float = 0.0) -> None:
        self._backends = list(backends)
        self._handshake_s = handshake_s
        self._next = 0
        self._mode = Mode.OPEN
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def open(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Close the link and its connections."""
        if self._server is not None:
            self._server.close()
        self.set(Mode.OPEN)
        self.cut()

    def set(self, mode: Mode) -> None:
        """Change the behavior, also of open connections."""
        self._mode = mode
        if mode is Mode.STALLED:
            self._flowing.clear()
        else:
            self._flowing.set()
        if mode is Mode.REFUSING:
            self.cut()

    def cut(self) -> None:
        """Abort the open connections."""
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = [writer]
        self._writers.add(writer)
        try:
            if self._mode is Mode.REFUSING:
                return
            await asyncio.sleep(self._handshake_s)
            up_reader, up_writer = await self._connect()
            ends.append(up_writer)
            self._writers.add(up_writer)
            await asyncio.gather(
                self._pump(reader, up_writer, answers=False),
                self._pump(up_reader, writer, answers=True),
            )
        except OSError:
            return
        finally:
            for end in ends:
                self._writers.discard(end)
                end.transport.abort()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the next backend that accepts connections."""
        for _ in self._backends:
            backend = self._backends[self._next % len(self._backends)]
            self._next += 1
            with suppress(ConnectionRefusedError):
                return await asyncio.open_connection(*backend)
        raise ConnectionRefusedError

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        while data := await reader.read(_PIECE):
            if answers and self._mode is Mode.DEAF:
                raise ConnectionResetError
            await self._flowing.wait()
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
