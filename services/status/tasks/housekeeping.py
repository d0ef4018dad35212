"""Periodic work: expires plans and stored files, and corrects the fronts of backlogs. Any number of
replicas may run it concurrently."""

import asyncio
import random

from services.common import errors, logs
from services.common.errors import SluiceError
from services.status.ports import Store, StoredFiles
from services.status.settings import Settings
from services.status.tasks.machine import Move, State
from services.status.tasks.pages import Filter
from sluice.common.v1.errors_pb2 import ErrorReason

JITTER = 0.2

PLANS = 100
"""Maximum number of plans that expire in one round."""


class Housekeeping:
    """Every step is idempotent."""

    def __init__(self, store: Store, files: StoredFiles, settings: Settings) -> None:
        self._store = store
        self._files = files
        self._interval_s = settings.housekeeping_interval_s
        self._plan_kept_s = settings.plan_kept_s
        self._files_kept_s = settings.files_kept_s

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311
            try:
                await self.once()
            except SluiceError as failure:
                logs.get().warning("housekeeping.postponed", code=failure.code)

    async def once(self) -> None:
        """Runs one round.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE.
        """
        await self._expire_plans()
        await self._store.mark_lane_fronts()
        if self._files_kept_s:
            await self._files.request_older(self._files_kept_s)
        await self._files.delete_requested()

    async def _expire_plans(self) -> None:
        days = self._plan_kept_s / 86_400
        problem = errors.problem(
            ErrorReason.ERROR_REASON_PLAN_EXPIRED, f"The plan was not applied within {days:g} days."
        )
        for task in await self._store.page(
            Filter(states=[State.PLANNED], stage_older_s=self._plan_kept_s), PLANS
        ):
            if await self._store.move(
                task.task_id, State.PLANNED, Move(State.CANCELLED, problem.message, problem)
            ):
                logs.get().info("plan.expired", task_id=task.task_id)
