"""Claims due tasks and runs them. Files and loads have separate workers, so that neither waits for
the other."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field

from services.common import errors, logs
from services.common.serving.cancelling import cancel
from services.status.pipeline.gate import Gate
from services.status.pipeline.runner import Pipeline
from services.status.ports import Leases
from services.status.tasks.queues import Kind

POLL_S = 1.0
"""Seconds until a due task is found if its notification was lost."""

CLEANERS = 2
"""Additional workers for removals from Druid, so that they do not wait for loads."""


@dataclass
class _Pool:
    """Workers that claim the same tasks. If there are several, the last is reserved for small files."""

    count: int
    every: Kind
    small: Kind
    needs_druid: bool
    cleaners: int = 0
    busy: set["asyncio.Task[None]"] = field(default_factory=set)

    def kind(self) -> Kind | None:
        """Returns what the next free worker claims; None if none is free."""
        free = self.count - len(self.busy)
        if free > 1 or (free == 1 and self.count == 1):
            return self.every
        if free == 1:
            return self.small
        return Kind.CLEANING if self.count and free > -self.cleaners else None


class Workers:
    """The workers of this process: `files` and `loads` are their numbers. `run` blocks until
    `stop`."""

    def __init__(
        self, leases: Leases, pipeline: Pipeline, gate: Gate, files: int, loads: int
    ) -> None:
        self._leases = leases
        self._pipeline = pipeline
        self._gate = gate
        self._pools = (
            _Pool(files, Kind.FILES, Kind.SMALL_FILES, needs_druid=False),
            _Pool(loads, Kind.LOADS, Kind.SMALL_LOADS, needs_druid=True, cleaners=CLEANERS),
        )
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Notifies the workers that a task may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Claims and runs tasks until `stop`."""
        while not self._stopping:
            self._wake.clear()
            claimed = [await self._claim_one(pool) for pool in self._pools]
            if not any(claimed):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def stop(self) -> None:
        """Stops claiming, cancels the running tasks and releases their leases."""
        self._stopping = True
        self._wake.set()
        await cancel(*(work for pool in self._pools for work in pool.busy))
        await self._leases.release_all()

    async def _claim_one(self, pool: _Pool) -> bool:
        kind = pool.kind()
        if kind is None or (pool.needs_druid and not self._gate.allows()):
            return False
        try:
            lease = await self._leases.claim(kind)
        except errors.SluiceError as failure:
            logs.get().warning("workers.cannot_claim", code=failure.code)
            return False
        except Exception as bug:
            # Without this loop the process would respond to calls but not work on tasks.
            logs.get().error("workers.cannot_claim", exc_info=bug)
            return False
        if lease is None or self._stopping:
            return False
        work = asyncio.create_task(self._pipeline.run(lease), name=f"task {lease.owner.task_id}")
        pool.busy.add(work)
        work.add_done_callback(pool.busy.discard)
        work.add_done_callback(self._ended)
        return True

    def _ended(self, work: "asyncio.Task[None]") -> None:
        self._wake.set()
        if not work.cancelled() and (failure := work.exception()):
            logs.get().error("workers.run_broke", exc_info=failure)
