"""A lock for many holders at once, or one alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Gate:
    """A shared/exclusive lock that prefers the exclusive side."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._shared = 0
        self._alone_or_waiting = 0
        self._is_alone = False

    @property
    def is_wanted_alone(self) -> bool:
        """Whether it is held alone, or someone waits to hold it alone."""
        return self._alone_or_waiting > 0

    @asynccontextmanager
    async def shared(self) -> AsyncIterator[None]:
        """Holds the lock with others."""
        await self._until(lambda: not self.is_wanted_alone)
        self._shared += 1
        try:
            yield
        finally:
            self._shared -= 1
            self._notify()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Holds the lock alone."""
        self._alone_or_waiting += 1
        try:
            await self._until(lambda: not self._shared and not self._is_alone)
        except BaseException:
            self._alone_or_waiting -= 1
            self._notify()
            raise
        self._is_alone = True
        try:
            yield
        finally:
            self._alone_or_waiting -= 1
            self._is_alone = False
            self._notify()

    async def _until(self, is_free: Callable[[], bool]) -> None:
        while not is_free():
            released = asyncio.get_running_loop().create_future()
            self._waiting.add(released)
            try:
                await released
            finally:
                self._waiting.discard(released)

    def _notify(self) -> None:
        for released in self._waiting:
            if not released.done():
                released.set_result(None)
