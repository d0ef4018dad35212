"""Takes due tasks and works on so many of them at once."""

import asyncio

from services.common import errors, logs
from services.status.gate import Gate
from services.status.jobs import Jobs, Kind
from services.status.pipeline import Pipeline

POLL_S = 1.0
"""Seconds until a due task is found whose notification was lost."""

CLEANERS = 2
"""Further workers for what was cancelled and waits to be removed from Druid: it is not kept waiting by loads."""


class Workers:
    """The workers of this process. `run` them in a task of their own; `stop` ends that."""

    def __init__(self, jobs: Jobs, pipeline: Pipeline, gate: Gate, count: int) -> None:
        self._jobs = jobs
        self._pipeline = pipeline
        self._gate = gate
        self._count = count
        self._busy: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """A task may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Until `stop`."""
        while not self._stopping:
            self._wake.clear()
            kind = self._kind()
            if kind is None or not await self._take_one(kind):
                await self._pause()

    async def stop(self) -> None:
        """Takes no more tasks and gives back those that are being worked on."""
        self._stopping = True
        self._wake.set()
        for work in self._busy:
            work.cancel()
        if self._busy:
            await asyncio.wait(self._busy)
        await self._jobs.release_all()

    def _kind(self) -> Kind | None:
        """What the next free worker takes; None where none is free. The last one of several is kept for small files."""
        free = self._count - len(self._busy)
        if free > 1 or (free == 1 and self._count == 1):
            return Kind.ANY
        if free == 1:
            return Kind.SMALL
        return Kind.CLEANING if self._count and free > -CLEANERS else None

    async def _take_one(self, kind: Kind) -> bool:
        try:
            lease = await self._jobs.claim(kind, self._gate.allows())
        except errors.SluiceError as failure:
            logs.get().warning("workers.cannot_claim", code=failure.code)
            return False
        except Exception as bug:
            # Without this loop the process answers calls and works on nothing.
            logs.get().error("workers.cannot_claim", exc_info=bug)
            return False
        if lease is None or self._stopping:
            return False
        work = asyncio.create_task(self._pipeline.run(lease), name=f"task {lease.owner.task_id}")
        self._busy.add(work)
        work.add_done_callback(self._ended)
        return True

    def _ended(self, work: "asyncio.Task[None]") -> None:
        self._busy.discard(work)
        self._wake.set()
        if not work.cancelled() and (failure := work.exception()):
            logs.get().error("workers.run_broke", exc_info=failure)

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), POLL_S)
        except TimeoutError:
            return
