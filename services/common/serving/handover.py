"""Long calls that another replica can go on with: when the process is told to end, they are broken
off before the grace of all others.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason


class Handover:
    """The running calls of that kind. Only for calls that are harmless to repeat."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Around the whole of a call.

        Raises:
            SluiceError: SERVICE_UNAVAILABLE once the process is ending.
        """
        task = asyncio.current_task()
        if task is None or self._stopping.is_set():
            raise self._ending()
        self._running.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            # By `stop`, not by the caller, who is to learn why.
            task.uncancel()
            raise self._ending() from None
        finally:
            self._running.discard(task)

    def stop(self) -> None:
        """Breaks them off."""
        self._stopping.set()
        for task in self._running:
            task.cancel()

    def _ending(self) -> errors.SluiceError:
        message = f"The {self._service} service is being stopped."
        return errors.error(
            ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
            message,
            metadata={"service": self._service},
        )
