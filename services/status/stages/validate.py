"""VALIDATING: calls validation, and starts or plans the load of a file that passed."""

from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from services.common import errors
from services.common.druid_task_ids import druid_task_id
from services.status.pipeline.recount import Away, rows_of
from services.status.pipeline.run import FencedError, Run
from services.status.ports import Loads, PipelineRecords, QualityRecords, Validation
from services.status.tasks import plans, problems
from services.status.tasks.load_states import Counted, OtherLoad, Recount
from services.status.tasks.machine import Move, State
from services.status.tasks.quality import quality_of
from services.status.tasks.task import Progress
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import (
    LoadType,
    Report,
    ValidateObjectRequest,
    ValidationProgress,
    Verdict,
)

EXPECTED_SUMS = 5
"""Maximum number of numeric columns whose sums are verified."""

_PHASES = {
    "fetch": "The file is being fetched.",
    "scan": "The rows are being read.",
    "parts": "The rows are being written for Druid.",
}
_NUMERIC = {LoadType.LOAD_TYPE_LONG, LoadType.LOAD_TYPE_DOUBLE}


async def validate(
    run: Run,
    validation: Validation,
    quality: QualityRecords,
    loads: Loads,
    records: PipelineRecords,
) -> None:
    """Moves the task to INGESTING, to PLANNED if it waits for approval, or to REJECTED if the file is
    invalid or a duplicate.
    """
    report = await _report(run, validation, quality)
    await quality.keep(run.task, run.owner, quality_of(report))
    found = _columns(run, report)
    if report.rejects_of and (elsewhere := await _rejects_elsewhere(run, report.rejects_of)):
        await run.move(Move(State.REJECTED, elsewhere.message, elsewhere, found))
        return
    match report.verdict:
        case Verdict.VERDICT_REJECTED:
            await run.move(_rejected(report, found))
        case Verdict.VERDICT_PASSED if outside := _outside(run, report):
            await run.move(Move(State.REJECTED, outside.message, outside, found))
        case Verdict.VERDICT_PASSED:
            await _passed(run, report, found, loads, records)
        case _:
            raise errors.error(
                ErrorReason.ERROR_REASON_INTERNAL,
                "The validation service gave a report without a verdict.",
            )


async def _report(run: Run, validation: Validation, quality: QualityRecords) -> Report:
    task = run.task
    policy, options = await quality.expected(task)
    request = ValidateObjectRequest(
        task_id=task.task_id,
        attempt=run.owner.attempt,
        file_uri=task.file_uri,
        filename=task.original_filename,
        file_size=task.file_size or 0,
        sha256=task.sha256,
        policy=policy,
        options=options,
    )
    async with aclosing(validation.validate(request, run.remaining_s)) as answers:
        async for answer in answers:
            if answer.WhichOneof("step") == "report":
                return answer.report
            await run.progress(_progress(answer.progress))
    raise errors.error(
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        "The validation service ended without a report.",
    )


async def _rejects_elsewhere(run: Run, rejects_of: str) -> Problem | None:
    """Returns a problem if the file has rejects of a task of another datasource."""
    origin = await run.store.get(rejects_of)
    if origin is not None and origin.datasource_name == run.task.datasource_name:
        return None
    where = f"a task of the datasource {origin.datasource_name}" if origin else "an unknown task"
    message = f"The file has the rejected rows of {where}, {rejects_of}."
    return errors.problem(ErrorReason.ERROR_REASON_REJECTS_ELSEWHERE, message, value=rejects_of)


def _progress(step: ValidationProgress) -> Progress:
    message = _PHASES.get(step.phase, "The file is being checked.")
    return Progress(message, step.done, step.total or None, step.unit)


def _columns(run: Run, report: Report) -> dict[str, object]:
    return {
        "report_attempt": run.owner.attempt,
        "repair_of": report.rejects_of,
        "sha256": report.sha256 or run.task.sha256,
        "rows_read": report.rows_read,
        "rows_rejected": report.rows_rejected,
        "rows_skipped": report.rows_skipped,
        "validation_errors": [
            problems.to_json(problem) for problem in report.problems[: problems.MAX_KEPT]
        ],
    }


def _rejected(report: Report, found: dict[str, object]) -> Move:
    if not report.problems:
        raise errors.error(
            ErrorReason.ERROR_REASON_INTERNAL,
            "The validation service rejected the file without saying why.",
        )
    problem = report.problems[0]
    return Move(State.REJECTED, problem.message, problem, found)


def _outside(run: Run, report: Report) -> Problem | None:
    """Returns a problem if rows are outside the interval that the load replaces."""
    start, end = run.task.replace_start_millis, run.task.replace_end_millis
    if (
        start is None
        or end is None
        or start <= report.time.min_millis <= report.time.max_millis < end
    ):
        return None
    first, last = report.time.min_millis, report.time.max_millis
    outside = first if first < start else last
    return errors.problem(
        ErrorReason.ERROR_REASON_ROWS_OUTSIDE_INTERVAL,
        f"The file has rows from {_iso(first)} to {_iso(last)}, but the interval to replace starts at "
        f"{_iso(start)} and ends before {_iso(end)}.",
        column=report.time.source_name,
        value=_iso(outside),
    )


def _iso(millis: int) -> str:
    return (
        (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=millis))
        .isoformat()
        .replace("+00:00", "Z")
    )


async def _passed(
    run: Run, report: Report, found: dict[str, object], loads: Loads, records: PipelineRecords
) -> None:
    task = run.task
    sums = {
        problems.clean(column.name): column.sum
        for column in report.columns
        if column.load_type in _NUMERIC and column.HasField("sum")
    }
    columns: dict[str, object] = {
        **found,
        "rows_loadable": report.rows_loadable,
        "expected_sums": dict(list(sums.items())[:EXPECTED_SUMS]),
    }
    if task.plan_first:
        await records.keep_plan(run.owner, await plans.make(task, report, loads, records))
        move = Move(State.PLANNED, "The plan of the load waits to be applied.", columns=columns)
    else:
        columns["load_attempt"] = run.owner.attempt
        columns["druid_task_ids"] = [
            *task.druid_task_ids,
            druid_task_id(task.task_id, run.owner.attempt),
        ]
        move = replace(plans.begin(task, report.rows_loadable), columns=columns)
    if task.allow_duplicate:
        await run.move(move)
        return
    duplicate = await run.store.move_unless_duplicate(task, move, run.owner)
    if duplicate and await _is_gone(run, duplicate, loads, records):
        duplicate = await run.store.move_unless_duplicate(task, move, run.owner)
    if duplicate is None:
        raise FencedError
    if duplicate:
        problem = problems.duplicate(task, duplicate)
        columns = {**found, "duplicate_of": duplicate}
        await run.move(Move(State.REJECTED, problem.message, problem, columns))


async def _is_gone(run: Run, task_id: str, loads: Loads, records: PipelineRecords) -> bool:
    """Returns whether a load's rows were dropped in Druid. If so, records it as REPLACED."""
    other = await run.store.get(task_id)
    if other is None or other.status is not State.SUCCEEDED:
        return False
    load = OtherLoad.of(other)
    found = await rows_of([load], other.datasource_name, loads)
    # Unavailable rows still exist.
    if isinstance(found, Away) or found:
        return False
    # So do rows that a running replace hides; then nothing is recorded.
    return await records.record_counts(run.task, Recount(other.now, [Counted(load, 0)]))
