"""Work that must finish even if the call that started it is cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from services.common import logs
from services.common.serving.cancelling import cancel

Result = TypeVar("Result")


class Background:
    """Runs such work, and waits for it when the process stops."""

    def __init__(self) -> None:
        self._running: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Result]) -> "asyncio.Task[Result]":
        """Start `work`. Callers that wait for it must shield it from cancellation."""
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Marks the failure as retrieved: the caller may be gone, and the work has logged it.
            task.exception()

    async def drain(self, timeout_s: float) -> None:
        """Wait for all running work; cancel it after the timeout."""
        if not self._running:
            return
        _, late = await asyncio.wait(self._running, timeout=timeout_s)
        if late:
            logs.get().warning("background.cancelled", tasks=len(late))
            await cancel(*late)
