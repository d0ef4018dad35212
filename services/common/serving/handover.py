"""Handover of long calls to another replica: they end at SIGTERM, without the grace period."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason


class Handover:
    """The running calls that end early. Use it only for calls that are safe to repeat."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._running: set[asyncio.Task[Any]] = set()
        self._stopping = asyncio.Event()

    @contextmanager
    def call(self) -> Iterator[None]:
        """Wrap the whole of a call.

        Raises:
            SluiceError: SERVICE_UNAVAILABLE, if the process is stopping.
        """
        task = asyncio.current_task()
        if task is None or self._stopping.is_set():
            raise self._stopped()
        self._running.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            # `stop` cancelled the call, not the caller: the caller needs an error to retry.
            task.uncancel()
            raise self._stopped() from None
        finally:
            self._running.discard(task)

    def stop(self) -> None:
        """End the running calls, and reject new ones."""
        self._stopping.set()
        for task in self._running:
            task.cancel()

    def _stopped(self) -> errors.SluiceError:
        message = f"The {self._service} service is being stopped."
        return errors.error(
            ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
            message,
            metadata={"service": self._service},
        )
