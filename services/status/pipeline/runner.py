"""Runs the stages of a claimed task until it ends, the lease is lost, or a stage has to be retried
later.

The row decides what is next: it is read again after every stage and every failure. A new worker, a
lost response of a commit and a cancellation are therefore the same case.
"""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter

from services.common import errors, logs, trace
from services.common.serving.cancelling import cancel
from services.common.timing import Timings
from services.status.pipeline import retry
from services.status.pipeline.gate import Gate
from services.status.pipeline.run import FencedError, Run
from services.status.ports import (
    Loads,
    PipelineLeases,
    PipelineRecords,
    PipelineStore,
    QualityRecords,
    Validation,
)
from services.status.settings import Settings
from services.status.stages.clean import clean
from services.status.stages.ingest import LoadLostError, ingest
from services.status.stages.revert import revert
from services.status.stages.validate import validate
from services.status.stages.verify import verify
from services.status.tasks.machine import Move, State, fail
from services.status.tasks.task import Lease, Progress, Task
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

Stage = Callable[[Run], Awaitable[None]]


class LaneTakenError(Exception):
    """Other loads of the datasource come first. The task becomes due when its load may begin."""


class Pipeline:
    """The orchestrator: moves tasks from UPLOADED to their end."""

    def __init__(
        self,
        store: PipelineStore,
        records: PipelineRecords,
        leases: PipelineLeases,
        quality: QualityRecords,
        validation: Validation,
        loads: Loads,
        gate: Gate,
        settings: Settings,
    ) -> None:
        self._store = store
        self._leases = leases
        self._gate = gate
        self._settings = settings
        self._stages: dict[State, Stage] = {
            State.UPLOADED: lambda run: run.move(
                Move(State.VALIDATING, "The file is being checked.")
            ),
            State.VALIDATING: lambda run: validate(run, validation, quality, loads, records),
            State.INGESTING: lambda run: self._ingest(run, validation, loads, records),
            State.VERIFYING: lambda run: verify(run, loads, records, settings.verify_settle_s),
            State.CLEANING: lambda run: clean(run, loads, records),
            # A task in this state is due only while its load is being reverted.
            State.SUCCEEDED: lambda run: revert(run, loads, records),
        }

    async def run(self, lease: Lease) -> None:
        """Works on the claimed task. If cancelled, releases the lease, so that another worker can
        claim the task at once.
        """
        owner = lease.owner
        timings = Timings()
        logs.bind(task_id=owner.task_id, attempt=owner.attempt)
        try:
            while not lease.lost.is_set():
                task = await self._store.owned(owner)
                if task is None:
                    break
                trace.begin(trace_id=task.trace_id)
                with timings.step(retry.STAGE_NAMES[task.status]):
                    if not await self._stage(task, lease):
                        break
            timings.log("pipeline.run_ended", lost=lease.lost.is_set())
        except asyncio.CancelledError:
            await self._leases.release(lease)
            timings.log("pipeline.released")
            raise
        except errors.SluiceError as failure:
            logs.get().warning(
                "pipeline.gave_up",
                code=failure.code,
                reason="the lease expires and another worker continues",
            )
        finally:
            self._leases.forget(lease)

    async def _stage(self, task: Task, lease: Lease) -> bool:
        """Runs the stage of the task's state. Returns False if the lease was released."""
        deadline_s = retry.deadline_s(task, self._settings)
        run = Run(task, lease.owner, self._store, deadline_s)
        started = perf_counter()
        failure: Problem | None = None
        new_load = False
        if end := retry.taken_over_too_often(task, self._settings):
            return await self._ended(task, lease, end)
        try:
            if not await _until_interrupted(self._stages[task.status](run), run, lease):
                failure = retry.over_deadline(task, deadline_s or 0)
        except FencedError:
            logs.get().info("pipeline.fenced", state=task.status)
        except LaneTakenError:
            await self._leases.release(lease)
            return False
        except LoadLostError as lost:
            failure, new_load = lost.problem, True
        except errors.SluiceError as failed:
            if failed.reason == ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE:
                raise
            failure = failed.problem
        except Exception as bug:
            logs.get().error("pipeline.stage_broke", state=task.status, exc_info=bug)
            message = f"An internal error occurred; search the logs for trace {trace.current()}."
            failure = errors.problem(ErrorReason.ERROR_REASON_INTERNAL, message)
        if task.status in retry.NEEDS_DRUID:
            self._update_gate(failure)
        if failure and failure.code in retry.WAITED_FOR and run.remaining_s <= 0:
            failure = retry.over_deadline(task, deadline_s or 0)
        code = errors.code_of(failure.code) if failure else ""
        logs.get().info(
            "pipeline.stage",
            state=task.status,
            seconds=round(perf_counter() - started, 4),
            code=code,
        )
        return failure is None or await self._failed(task, lease, failure, new_load)

    async def _ingest(
        self, run: Run, validation: Validation, loads: Loads, records: PipelineRecords
    ) -> None:
        task = run.task
        if not task.in_lane and not await self._store.enter_lane(task, run.owner):
            await run.progress(
                Progress(
                    "Waits until other loads into the datasource have ended.",
                    0,
                    task.rows_loadable,
                    "rows",
                )
            )
            raise LaneTakenError
        await ingest(run, validation, loads, records)

    def _update_gate(self, failure: Problem | None) -> None:
        if failure and failure.code in retry.AWAY:
            self._gate.failed()
        elif failure is None and self._gate.passed():
            logs.get().info("pipeline.druid_is_back")

    async def _failed(self, task: Task, lease: Lease, problem: Problem, new_load: bool) -> bool:
        decision = retry.decide(task, problem, self._settings)
        if isinstance(decision, retry.End):
            return await self._ended(task, lease, decision)
        logs.get().warning(
            "pipeline.tries_again",
            state=task.status,
            code=errors.code_of(problem.code),
            delay_s=round(decision.delay_s, 2),
        )
        held = await self._store.retry(
            task,
            lease.owner,
            delay_s=decision.delay_s,
            message=decision.message,
            problem=problem,
            failed=decision.failed,
            new_load=new_load,
        )
        return not held

    async def _ended(self, task: Task, lease: Lease, end: retry.End) -> bool:
        await self._store.move(
            task.task_id, task.status, fail(task.status, end.target, end.problem), lease.owner
        )
        return True


async def _until_interrupted(stage: Awaitable[None], run: Run, lease: Lease) -> bool:
    """Runs the stage until it ends, the lease is lost, the task is cancelled, or its deadline.
    Returns False at the deadline.

    Raises:
        Exception: raised by the stage.
    """
    work = asyncio.ensure_future(stage)
    # Removals and reverts cannot be cancelled.
    interrupts = (
        [lease.lost] if run.task.status in retry.UNLIMITED else [lease.lost, lease.cancelled]
    )
    waiting = [asyncio.ensure_future(event.wait()) for event in interrupts]
    try:
        # VERIFYING handles its deadline itself; give it a moment to do so.
        done, _ = await asyncio.wait(
            [work, *waiting], timeout=run.remaining_s + 1, return_when=asyncio.FIRST_COMPLETED
        )
    finally:
        await cancel(work, *waiting)
    if not work.cancelled():
        work.result()
    elif work in done:
        raise errors.error(
            ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
            "A call to another service was aborted.",
        )
    return bool(done)
