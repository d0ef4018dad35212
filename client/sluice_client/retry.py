"""Trying again while a service is away."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
from grpc import aio

from sluice_client.errors import SluiceClientError

DEADLINE_S = 10.0
"""Deadline of one attempt of a call that answers at once."""

BUDGET_S = 30.0
"""For how long a service that is away is tried again before the call fails; what makes progress has
the budget anew.
"""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

Answer = TypeVar("Answer")


class Retry:
    """A budget of 30 s in pauses that grow."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + BUDGET_S
        self._pause_s = FIRST_PAUSE_S

    async def pause(self, failure: SluiceClientError) -> None:
        """Waits before the next try, or raises `failure` once the budget is used up."""
        if self._clock() + self._pause_s > self._end:
            raise failure
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


async def ask(service: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer to a call that is safe to repeat."""
    retry = Retry()
    while True:
        try:
            return await call()
        except aio.AioRpcError as failure:
            await retry.pause(passing_or_raise(failure, service))


def passing_or_raise(failure: aio.AioRpcError, service: str) -> SluiceClientError:
    """The failure where trying again may help; raises it where not."""
    error = SluiceClientError.of_rpc(failure, service)
    if failure.code() != grpc.StatusCode.UNAVAILABLE:
        raise error from failure
    return error
