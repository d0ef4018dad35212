"""Answers that are streamed, but begin only when it is known that they can."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import TypeVar

from starlette.requests import ClientDisconnect, Request

from services.common.errors import SluiceError

Item = TypeVar("Item")


class BrokenAnswerError(Exception):
    """What the answer is made of failed after the answer had begun: it must not look complete."""

    def __init__(self, failure: SluiceError) -> None:
        super().__init__(str(failure))
        self.failure = failure


async def begun(
    request: Request, source: AsyncIterator[Item], enough: Callable[[Sequence[Item]], bool]
) -> tuple[Sequence[Item], AsyncGenerator[Item, None]]:
    """The first items, until `enough` says so or there are no more, and all of them: what fails
    before is raised here, while the answer can still have a status. Closing the second closes the
    source, and so does a client that leaves meanwhile.

    Raises:
        ClientDisconnect: the client went away.
    """
    reading = asyncio.create_task(_first(source, enough))
    leaving = asyncio.create_task(_gone(request))
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


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _all(first: list[Item], source: AsyncIterator[Item]) -> AsyncGenerator[Item, None]:
    # Closed here and not when it is forgotten: that is what cancels the call behind it.
    async with aclosing(source):  # type: ignore[type-var]
        for item in first:
            yield item
        try:
            async for item in source:
                yield item
        except SluiceError as failure:
            raise BrokenAnswerError(failure) from failure
