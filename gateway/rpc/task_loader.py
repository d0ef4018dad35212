"""Combines concurrent task reads into one call, so that calls do not pile up under load."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from sluice.status.v1.status_pb2 import Task

MAX_TASKS = 1000
"""Maximum tasks per call."""

MAX_WAIT_S = 0.5
"""Maximum seconds that a call delays the next one. A replica that hangs must not delay reads that
would reach another replica.
"""


class TaskLoader:
    """Runs one call at a time. A read during a call waits for the next call, so that no result is
    older than its request.
    """

    def __init__(self, fetch: Callable[[list[str]], Awaitable[Mapping[str, Task]]]) -> None:
        """`fetch` returns the tasks that exist, by id."""
        self._fetch = fetch
        self._calling = asyncio.Lock()
        self._ids: set[str] = set()
        self._next: asyncio.Task[Mapping[str, Task]] | None = None

    async def load(self, task_id: str) -> Task | None:
        """The task, or None.

        Raises:
            SluiceError: whatever `fetch` raises, in every read that shares the call.
        """
        if self._next is None or len(self._ids) >= MAX_TASKS:
            self._ids = set()
            self._next = asyncio.create_task(self._call(self._ids), name="tasks.load")
        self._ids.add(task_id)
        return (await asyncio.shield(self._next)).get(task_id)

    async def wait_idle(self) -> None:
        """Wait until all current reads are done."""
        async with self._calling:
            return

    async def _call(self, ids: set[str]) -> Mapping[str, Task]:
        async with self._calling:
            if ids is self._ids:
                # Later reads belong to the next call.
                self._next = None
            fetching = asyncio.ensure_future(self._fetch(list(ids)))
            await asyncio.wait([fetching], timeout=MAX_WAIT_S)
        return await fetching
