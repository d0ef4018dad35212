"""Many at once, or one alone."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager


class Gate:
    """Whoever wants to be alone waits for those inside; those who come later wait for it."""

    def __init__(self) -> None:
        self._waiting: set[asyncio.Future[None]] = set()
        self._inside = 0
        self._alone_wanted = 0
        self._alone_inside = False

    @property
    def is_wanted_alone(self) -> bool:
        """Whether somebody is alone, or waits for it."""
        return self._alone_wanted > 0

    @asynccontextmanager
    async def beside_others(self) -> AsyncIterator[None]:
        """Inside with others."""
        await self._until(lambda: not self.is_wanted_alone)
        self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            self._tell()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Inside with nobody else."""
        self._alone_wanted += 1
        try:
            await self._until(lambda: not self._inside and not self._alone_inside)
        except BaseException:
            self._alone_wanted -= 1
            self._tell()
            raise
        self._alone_inside = True
        try:
            yield
        finally:
            self._alone_wanted -= 1
            self._alone_inside = False
            self._tell()

    async def _until(self, is_free: Callable[[], bool]) -> None:
        while not is_free():
            told = asyncio.get_running_loop().create_future()
            self._waiting.add(told)
            try:
                await told
            finally:
                self._waiting.discard(told)

    def _tell(self) -> None:
        for told in self._waiting:
            if not told.done():
                told.set_result(None)
