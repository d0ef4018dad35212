"""A thread that works off what it is given, so that reading, parsing and counting go on at the same
time.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec

AHEAD = 2
"""Calls that may wait; each holds rows."""

Given = ParamSpec("Given")


class Worker:
    """Does calls one after the other, in their order."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def do(self, call: Callable[Given, None], *args: Given.args, **kwargs: Given.kwargs) -> None:
        """Leaves a call to the thread; waits while too many are waiting. Raises what an earlier one
        raised.
        """
        while len(self._waiting) >= AHEAD:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(call, *args, **kwargs))

    def finish(self) -> None:
        """Returns when all is done. Raises what a call raised."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Ends the thread; what still waits is not done."""
        self._thread.shutdown(cancel_futures=True)
