"""INGESTING: has Druid load the parts.

A load keeps its attempt number, and so its id in Druid, over all workers. It is given up for a new
one only when its Druid task has ended and a query counts 0 of its rows.
"""

from contextlib import aclosing

from services.common import errors
from services.common.druid_task_ids import druid_task_id
from services.status.pipeline.run import Run, to_its_end
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
"""How long all rows of a load are waited for whose report speaks of fewer: the reports of sub-tasks
can be lacking.
"""


class LoadLostError(Exception):
    """The load failed in Druid and nothing is left of it: a new one may be begun."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


async def ingest(run: Run, validation: Validation, loads: Loads, records: PipelineRecords) -> None:
    """To VERIFYING.

    Raises:
        LoadLostError: the load ended and was removed.
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
            message = f"Druid read only {last.rows_processed:,} of {run.task.rows_loadable:,} rows: the object store's answer broke off."
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
    # Once only: after the submit the segments in use may be the load's own.
    if run.task.load_mode != "APPEND" and run.task.interval_start_millis is None:
        await _record_replaced(run, loads, records, plan_request(run.task, report))
    answer = await to_its_end(loads.submit(submit_request(run.task, report, run.remaining_s)))
    await run.record(
        druid_task_id=answer.druid_task_id,
        interval_start_millis=answer.interval.start_millis,
        interval_end_millis=answer.interval.end_millis,
    )


async def _record_replaced(
    run: Run, loads: Loads, records: PipelineRecords, request: PlanIngestionRequest
) -> None:
    """Keeps what the load will replace: what undoing it has to bring back."""
    plan = await loads.plan(request)
    await _as_planned(run, records, plan)
    await records.add(run.owner, "REPLACED", plan.replaced)
    await run.record(
        interval_start_millis=plan.interval.start_millis,
        interval_end_millis=plan.interval.end_millis,
    )


async def _as_planned(run: Run, records: PipelineRecords, now: PlanIngestionResponse) -> None:
    """Refuses a load that would replace other rows than the plan that was applied: loads that went
    first may have changed them.
    """
    kept = await records.plan(run.task.task_id)
    if kept is None:
        return
    planned = PlanIngestionResponse.FromString(kept.plan)
    if [each.id for each in planned.replaced] != [each.id for each in now.replaced]:
        message = f"{run.task.datasource_name} has changed since the plan was applied: nothing was replaced."
        action = "Retry the task, look at its plan as it is now, and apply it with its hash."
        raise errors.error(ErrorReason.ERROR_REASON_PLAN_STALE, message, action=action)


async def _follow(run: Run, loads: Loads) -> WatchLoadResponse:
    """The last thing that Druid says of the load."""
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
    return f"Druid is loading the rows; of its sub-tasks {step.sub_tasks_done} are done and {step.sub_tasks_running} run."


async def _loaded(run: Run) -> None:
    await run.move(Move(State.VERIFYING, "The rows are loaded and are being counted."))


def _cut_short(run: Run, last: WatchLoadResponse) -> bool:
    """Whether Druid, by its own report, read fewer rows than it was given: it takes the end of a
    broken connection for the end of a file, and calls that SUCCESS (ADR 0003).
    """
    return last.HasField("rows_processed") and last.rows_processed < (run.task.rows_loadable or 0)


async def _reconcile(
    run: Run, loads: Loads, records: PipelineRecords, problem: Problem, wait_ms: int = 0
) -> None:
    """What counts is what a query counts: the load is there, or it is removed for another one."""
    seen = await loads.verify(verify_request(run.task, wait_ms))
    if seen.rows == run.task.rows_loadable:
        await _loaded(run)
        return
    await remove_all(run, loads, records)
    raise LoadLostError(problem)
