"""Tasks by id, many in one call: calls do not pile up, however many ask and however busy the
machine is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from sluice.status.v1.status_pb2 import Task

MOST = 1000
"""Tasks in one call."""

TURN_S = 0.5
"""Longest that a call keeps the next one waiting: a replica that hangs must not hold up those who
would reach another.
"""


class TaskLoader:
    """One call is on its way at a time. Who asks meanwhile waits for the next one, so that no
    answer is older than its question.
    """

    def __init__(self, fetch: Callable[[list[str]], Awaitable[Mapping[str, Task]]]) -> None:
        """`fetch`: those of the tasks that there are, by id."""
        self._fetch = fetch
        self._turn = asyncio.Lock()
        self._ids: set[str] = set()
        self._next: asyncio.Task[Mapping[str, Task]] | None = None

    async def load(self, task_id: str) -> Task | None:
        """The task, None where there is none.

        Raises:
            SluiceError: what `fetch` raises, for everybody who shares the call.
        """
        if self._next is None or len(self._ids) >= MOST:
            self._ids = set()
            self._next = asyncio.create_task(self._call(self._ids), name="tasks.load")
        self._ids.add(task_id)
        return (await asyncio.shield(self._next)).get(task_id)

    async def answered(self) -> None:
        """Returns when all who wait now have their answers; at once where nobody waits."""
        async with self._turn:
            return

    async def _call(self, ids: set[str]) -> Mapping[str, Task]:
        async with self._turn:
            if ids is self._ids:
                # Who asks from here on is too late for this call.
                self._next = None
            fetching = asyncio.ensure_future(self._fetch(list(ids)))
            await asyncio.wait([fetching], timeout=TURN_S)
        return await fetching
