"""INGESTING: submits the parts to Druid and watches the load.

A load keeps its load attempt, and so its id in Druid, across workers. A new one starts only after
its Druid task has ended and a query counts 0 of its rows.
"""

from contextlib import aclosing

from services.common import errors
from services.common.druid_task_ids import druid_task_id
from services.status.pipeline.run import Run, uninterrupted
from services.status.ports import Loads, PipelineRecords, Validation
from services.status.stages.clean import remove_all
from services.status.tasks.loads import (
    plan_request,
    submit_request,
    verify_request,
    watch_request,
)
from services.status.tasks.machine import Move, State
from services.status.tasks.task import Progress
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.druid.v1.druid_pb2 import (
    LoadPhase,
    PlanIngestionRequest,
    PlanIngestionResponse,
    WatchLoadResponse,
)

CUT_SHORT_WAIT_MS = 10_000
"""How long to wait for all rows of a load whose report has fewer: reports of sub-tasks may be
missing.
"""


class LoadLostError(Exception):
    """The load failed in Druid and was removed: a new one may start."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


async def ingest(run: Run, validation: Validation, loads: Loads, records: PipelineRecords) -> None:
    """Loads the parts and moves the task to VERIFYING.

    Raises:
        LoadLostError: the load failed and was removed.
    """
    if run.task.load_attempt is None:
        attempt = run.owner.attempt
        await run.record(
            load_attempt=attempt,
            druid_task_ids=[*run.task.druid_task_ids, druid_task_id(run.task.task_id, attempt)],
        )
    if run.task.druid_task_id is None:
        await _submit(run, validation, loads, records)
    last = await _follow(run, loads)
    match last.phase:
        case LoadPhase.LOAD_PHASE_SUCCEEDED if _cut_short(run, last):
            message = f"Druid read only {last.rows_processed:,} of {run.task.rows_loadable:,} rows: the object store's response broke off."
            problem = errors.problem(ErrorReason.ERROR_REASON_DRUID_CANNOT_READ, message)
            await _reconcile(run, loads, records, problem, CUT_SHORT_WAIT_MS)
        case LoadPhase.LOAD_PHASE_SUCCEEDED:
            await _loaded(run)
        case LoadPhase.LOAD_PHASE_FAILED:
            await remove_all(run, loads, records)
            problem = (
                last.problem
                if last.problem.code
                else errors.problem(ErrorReason.ERROR_REASON_DRUID_TASK_FAILED, "The load failed.")
            )
            raise LoadLostError(problem)
        case LoadPhase.LOAD_PHASE_UNKNOWN:
            problem = errors.problem(
                ErrorReason.ERROR_REASON_DRUID_TASK_FAILED, "Druid no longer knows the load."
            )
            await _reconcile(run, loads, records, problem)
        case _:
            raise errors.error(
                ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
                "The Druid gateway stopped following the load.",
            )


async def _submit(run: Run, validation: Validation, loads: Loads, records: PipelineRecords) -> None:
    report = await validation.report(run.task.task_id, run.task.report_attempt)
    # Only before the submit: later the segments in use may be the load's own.
    if run.task.load_mode != "APPEND" and run.task.interval_start_millis is None:
        await _record_replaced(run, loads, records, plan_request(run.task, report))
    answer = await uninterrupted(loads.submit(submit_request(run.task, report, run.remaining_s)))
    await run.record(
        druid_task_id=answer.druid_task_id,
        interval_start_millis=answer.interval.start_millis,
        interval_end_millis=answer.interval.end_millis,
    )


async def _record_replaced(
    run: Run, loads: Loads, records: PipelineRecords, request: PlanIngestionRequest
) -> None:
    """Stores the segments that the load will replace, which a revert has to restore."""
    plan = await loads.plan(request)
    await _check_plan(run, records, plan)
    await records.add(run.owner, "REPLACED", plan.replaced)
    await run.record(
        interval_start_millis=plan.interval.start_millis,
        interval_end_millis=plan.interval.end_millis,
    )


async def _check_plan(run: Run, records: PipelineRecords, now: PlanIngestionResponse) -> None:
    """Raises PLAN_STALE if the load would replace other segments than the applied plan: earlier loads
    may have changed them.
    """
    applied = await records.plan(run.task.task_id)
    if applied is None:
        return
    planned = PlanIngestionResponse.FromString(applied.plan)
    if [each.id for each in planned.replaced] != [each.id for each in now.replaced]:
        message = f"{run.task.datasource_name} has changed since the plan was applied: nothing was replaced."
        action = "Retry the task, read its new plan, and apply it by its hash."
        raise errors.error(ErrorReason.ERROR_REASON_PLAN_STALE, message, action=action)


async def _follow(run: Run, loads: Loads) -> WatchLoadResponse:
    """Reports the load's progress until it ends. Returns the last message."""
    step = WatchLoadResponse()
    async with aclosing(loads.watch(watch_request(run.task), run.remaining_s)) as steps:
        async for step in steps:
            if step.phase == LoadPhase.LOAD_PHASE_WAITING:
                await run.progress(
                    Progress("Waiting for a free slot in Druid.", 0, run.task.rows_loadable, "rows")
                )
            elif step.phase == LoadPhase.LOAD_PHASE_RUNNING:
                await run.progress(
                    Progress(_loading(step), step.rows_processed, run.task.rows_loadable, "rows")
                )
            else:
                break
    return step


def _loading(step: WatchLoadResponse) -> str:
    if not step.sub_tasks_done + step.sub_tasks_running:
        return "Druid is loading the rows."
    return f"Druid is loading the rows; {step.sub_tasks_done} of its sub-tasks are done, {step.sub_tasks_running} are running."


async def _loaded(run: Run) -> None:
    await run.move(Move(State.VERIFYING, "The rows are loaded and are being counted."))


def _cut_short(run: Run, last: WatchLoadResponse) -> bool:
    """Whether Druid reports fewer rows than the parts have: it reads a broken connection as the end
    of the file and reports SUCCESS (ADR 0003).
    """
    return last.HasField("rows_processed") and last.rows_processed < (run.task.rows_loadable or 0)


async def _reconcile(
    run: Run, loads: Loads, records: PipelineRecords, problem: Problem, wait_ms: int = 0
) -> None:
    """Moves on if a query counts all rows; else removes the load, so that a new one may start."""
    seen = await loads.verify(verify_request(run.task, wait_ms))
    if seen.rows == run.task.rows_loadable:
        await _loaded(run)
        return
    await remove_all(run, loads, records)
    raise LoadLostError(problem)
