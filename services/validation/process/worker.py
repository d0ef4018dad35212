"""A worker thread, so that reading, parsing and counting run concurrently."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec

MAX_WAITING = 2
"""Calls that may wait; each holds rows in memory."""

Parameters = ParamSpec("Parameters")


class Worker:
    """Runs calls in a thread, one after the other."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def do(
        self, call: Callable[Parameters, None], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> None:
        """Queues a call; blocks while MAX_WAITING calls wait. Raises errors of earlier calls."""
        while len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(call, *args, **kwargs))

    def finish(self) -> None:
        """Waits for all calls. Raises their errors."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Stops the thread; drops waiting calls."""
        self._thread.shutdown(cancel_futures=True)
