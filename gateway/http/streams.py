"""Streamed responses that can still fail with a status before they start."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from services.common.errors import SluiceError

Item = TypeVar("Item")


class IncompleteResponseError(Exception):
    """The source failed after the response had started. The response must not look complete."""

    def __init__(self, failure: SluiceError) -> None:
        super().__init__(str(failure))
        self.failure = failure


async def prefetch(
    request: Request, source: AsyncIterator[Item], enough: Callable[[Sequence[Item]], bool]
) -> tuple[Sequence[Item], AsyncGenerator[Item, None]]:
    """Read items until `enough` or the end; returns them, and an iterator over all items. A failure
    is raised here, while the response can still have its status. Closing the iterator closes the
    source.

    Raises:
        ClientDisconnect: the client disconnected.
        SluiceError: whatever `source` raises.
    """
    reading = asyncio.create_task(_first(source, enough))
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({reading, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise ClientDisconnect
        first = reading.result()
        return first, _all(first, source)
    finally:
        reading.cancel()
        leaving.cancel()
        await asyncio.gather(reading, leaving, return_exceptions=True)


async def _first(
    source: AsyncIterator[Item], enough: Callable[[Sequence[Item]], bool]
) -> list[Item]:
    items: list[Item] = []
    while not enough(items):
        try:
            items.append(await anext(source))
        except StopAsyncIteration:
            break
    return items


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _all(first: list[Item], source: AsyncIterator[Item]) -> AsyncGenerator[Item, None]:
    # Closing the source, instead of leaving it to garbage collection, cancels its RPC.
    async with aclosing(source):  # type: ignore[type-var]
        for item in first:
            yield item
        try:
            async for item in source:
                yield item
        except SluiceError as failure:
            raise IncompleteResponseError(failure) from failure
