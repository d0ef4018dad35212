"""Retries with backoff while a service is unavailable."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc
from grpc import aio

from sluice_client.errors import SluiceClientError

DEADLINE_S = 10.0
"""Deadline of one attempt of a short call."""

BUDGET_S = 30.0
"""Retry budget of a call. Progress resets it."""

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0

Answer = TypeVar("Answer")


class Retry:
    """Exponential backoff within the retry budget."""

    def __init__(self) -> None:
        self._clock = asyncio.get_running_loop().time
        self._end = self._clock() + BUDGET_S
        self._pause_s = FIRST_PAUSE_S

    async def pause(self, failure: SluiceClientError) -> None:
        """Wait before the next attempt; raise `failure` if the budget is exhausted."""
        if self._clock() + self._pause_s > self._end:
            raise failure
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)


async def ask(service: str, call: Callable[[], Awaitable[Answer]]) -> Answer:
    """Return the answer to an idempotent call, retried while its service is unavailable."""
    retry = Retry()
    while True:
        try:
            return await call()
        except aio.AioRpcError as failure:
            await retry.pause(transient_or_raise(failure, service))


def transient_or_raise(failure: aio.AioRpcError, service: str) -> SluiceClientError:
    """Return the error if a retry may help, else raise it."""
    error = SluiceClientError.of_rpc(failure, service)
    if failure.code() != grpc.StatusCode.UNAVAILABLE:
        raise error from failure
    return error
