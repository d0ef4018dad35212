"""One stage of one task under one claim: what a stage reads, and the only way in which it
writes.
"""

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
"""A progress event is written when so much of the whole was done since the last, at most every
PROGRESS_MIN_S, and every PROGRESS_MAX_S where anything was done at all.
"""


class FencedError(Exception):
    """The claim is lost, or somebody moved the task on: nothing was written, and the task has to be
    read again.
    """


class Run:
    """A stage at work."""

    def __init__(
        self, task: Task, owner: Owner, store: PipelineStore, deadline_s: float | None
    ) -> None:
        self.task = task
        """As it was at the start of the stage, with what `record` added."""
        self.owner = owner
        self.store = store
        self._until = None if deadline_s is None else monotonic() + deadline_s - task.stage_seconds
        self._told: Progress | None = None
        self._told_at = 0.0

    @property
    def remaining_s(self) -> float:
        """Seconds until the stage's deadline, at least 0; an hour where it has none."""
        return 3600.0 if self._until is None else max(self._until - monotonic(), 0.0)

    async def move(self, move: Move) -> None:
        """Ends the stage.

        Raises:
            FencedError: nothing was written.
        """
        if not await self.store.move(self.task.task_id, self.task.status, move, self.owner):
            raise FencedError

    async def record(self, **columns: Any) -> None:
        """Keeps what the next worker has to know, by column name.

        Raises:
            FencedError: nothing was written.
        """
        if not await self.store.record(self.task, self.owner, columns):
            raise FencedError
        self.task = replace(self.task, **columns)

    async def progress(self, progress: Progress) -> None:
        """Tells how far the stage is, when it is time to.

        Raises:
            FencedError: nothing was written.
        """
        if not self._worth_telling(progress):
            return
        self._told, self._told_at = progress, monotonic()
        if not await self.store.progress(self.task, self.owner, progress):
            raise FencedError

    def _worth_telling(self, progress: Progress) -> bool:
        told, since = self._told, monotonic() - self._told_at
        if told is None:
            return True
        if since < PROGRESS_MIN_S or progress == told:
            return False
        step = (progress.total or 0) * PROGRESS_STEP
        return (
            since >= PROGRESS_MAX_S
            or progress.message != told.message
            or (step > 0 and progress.done - told.done >= step)
        )


async def to_its_end(call: Coroutine[Any, Any, Result]) -> Result:
    """The call's result. When the caller is cancelled meanwhile, the call is still waited for:
    nobody shall begin to remove a load while its submit is on the way.
    """
    running = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # The caller is gone; whether it succeeded is found out by whoever comes next.
        raise
