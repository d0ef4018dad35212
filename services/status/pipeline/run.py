"""One run of a stage under one lease: the task that it reads, and its only way to write."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from time import monotonic
from typing import Any, TypeVar

from services.status.ports import PipelineStore
from services.status.tasks.machine import Move
from services.status.tasks.task import Owner, Progress, Task

Result = TypeVar("Result")

PROGRESS_MIN_S = 0.5
PROGRESS_MAX_S = 2.0
PROGRESS_STEP = 0.05
"""A progress event is written after PROGRESS_STEP of the total since the last one, at most every
PROGRESS_MIN_S, and after any progress every PROGRESS_MAX_S.
"""


class FencedError(Exception):
    """The lease is lost, or the task has moved on: nothing was written, and the task must be read
    again.
    """


class Run:
    """A run of a stage."""

    def __init__(
        self, task: Task, owner: Owner, store: PipelineStore, deadline_s: float | None
    ) -> None:
        self.task = task
        """The task at the start of the stage, with the columns that `record` set."""
        self.owner = owner
        self.store = store
        self._until = None if deadline_s is None else monotonic() + deadline_s - task.stage_seconds
        self._reported: Progress | None = None
        self._reported_at = 0.0

    @property
    def remaining_s(self) -> float:
        """Seconds until the stage's deadline, at least 0; an hour if it has none."""
        return 3600.0 if self._until is None else max(self._until - monotonic(), 0.0)

    async def move(self, move: Move) -> None:
        """Ends the stage.

        Raises:
            FencedError: nothing was written.
        """
        if not await self.store.move(self.task.task_id, self.task.status, move, self.owner):
            raise FencedError

    async def record(self, **columns: Any) -> None:
        """Sets columns for the next worker.

        Raises:
            FencedError: nothing was written.
        """
        if not await self.store.record(self.task, self.owner, columns):
            raise FencedError
        self.task = replace(self.task, **columns)

    async def progress(self, progress: Progress) -> None:
        """Reports the progress, unless the last report is too recent.

        Raises:
            FencedError: nothing was written.
        """
        if not self._is_report_due(progress):
            return
        self._reported, self._reported_at = progress, monotonic()
        if not await self.store.progress(self.task, self.owner, progress):
            raise FencedError

    def _is_report_due(self, progress: Progress) -> bool:
        last, since = self._reported, monotonic() - self._reported_at
        if last is None:
            return True
        if since < PROGRESS_MIN_S or progress == last:
            return False
        step = (progress.total or 0) * PROGRESS_STEP
        return (
            since >= PROGRESS_MAX_S
            or progress.message != last.message
            or (step > 0 and progress.done - last.done >= step)
        )


async def uninterrupted(call: Coroutine[Any, Any, Result]) -> Result:
    """Returns the call's result. If the caller is cancelled, waits for the call first: a load must
    not be removed while its submit is in progress.
    """
    running = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # The next worker finds out whether it succeeded.
        raise
