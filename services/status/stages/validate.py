"""VALIDATING: has the file judged, and begins the load of what passed."""

from contextlib import aclosing

from services.common import errors
from services.status import problems
from services.status.loads import load_id
from services.status.machine import Move, State
from services.status.ports import Validation
from services.status.run import FencedError, Run
from services.status.tasks import Progress
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.validation.v1.validation_pb2 import LoadType, ReadOptions, Report, ValidateObjectRequest, ValidationProgress, Verdict

EXPECTED_SUMS = 5
"""Numeric columns whose sums Druid must show."""

_PHASES = {"fetch": "The file is being fetched.", "scan": "The rows are being read.", "parts": "The rows are being written for Druid."}
_NUMERIC = {LoadType.LOAD_TYPE_LONG, LoadType.LOAD_TYPE_DOUBLE}


async def validate(run: Run, validation: Validation) -> None:
    """To INGESTING, or to REJECTED for what the file is or for being there already."""
    report = await _report(run, validation)
    found = _columns(run, report)
    if report.rejects_of and (elsewhere := await _of_another_datasource(run, report.rejects_of)):
        await run.move(Move(State.REJECTED, elsewhere.message, elsewhere, found))
        return
    match report.verdict:
        case Verdict.VERDICT_REJECTED:
            await run.move(_rejected(report, found))
        case Verdict.VERDICT_PASSED:
            await _begin_load(run, report, found)
        case _:
            raise errors.error(ErrorReason.ERROR_REASON_INTERNAL, "The validation service gave a report without a verdict.")


async def _report(run: Run, validation: Validation) -> Report:
    task = run.task
    request = ValidateObjectRequest(
        task_id=task.task_id,
        attempt=run.owner.attempt,
        file_uri=task.file_uri,
        filename=task.original_filename,
        file_size=task.file_size or 0,
        sha256=task.sha256,
        options=ReadOptions.FromString(task.options) if task.options else None,
    )
    async with aclosing(validation.validate(request, run.remaining_s)) as answers:
        async for answer in answers:
            if answer.WhichOneof("step") == "report":
                return answer.report
            await run.progress(_progress(answer.progress))
    raise errors.error(ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE, "The validation service ended without a report.")


async def _of_another_datasource(run: Run, rejects_of: str) -> Problem | None:
    """Why the refused rows of that task cannot be loaded by this one; None where they can."""
    origin = await run.store.get(rejects_of)
    if origin is not None and origin.datasource_name == run.task.datasource_name:
        return None
    where = "a task that is not known" if origin is None else f"a task of the datasource {origin.datasource_name}"
    message = f"The file holds the refused rows of {where}, {rejects_of}."
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
        "validation_errors": [problems.to_json(problem) for problem in report.problems[: problems.MAX_KEPT]],
    }


def _rejected(report: Report, found: dict[str, object]) -> Move:
    if not report.problems:
        raise errors.error(ErrorReason.ERROR_REASON_INTERNAL, "The validation service rejected the file without saying why.")
    problem = report.problems[0]
    return Move(State.REJECTED, problem.message, problem, found)


async def _begin_load(run: Run, report: Report, found: dict[str, object]) -> None:
    task = run.task
    sums = {problems.clean(column.name): column.sum for column in report.columns if column.load_type in _NUMERIC and column.HasField("sum")}
    columns = {
        **found,
        "rows_loadable": report.rows_loadable,
        "expected_sums": dict(list(sums.items())[:EXPECTED_SUMS]),
        "load_attempt": run.owner.attempt,
        "druid_task_ids": [*task.druid_task_ids, load_id(task.task_id, run.owner.attempt)],
    }
    move = Move(State.INGESTING, f"{report.rows_loadable:,} rows are being loaded into {task.datasource_name}.", columns=columns)
    if task.allow_duplicate:
        await run.move(move)
        return
    duplicate = await run.store.move_unless_duplicate(task, move, run.owner)
    if duplicate is None:
        raise FencedError
    if duplicate:
        message = f"The same bytes are in {task.datasource_name} already, or on their way, as task {duplicate}."
        problem = errors.problem(ErrorReason.ERROR_REASON_DUPLICATE_CONTENT, message, value=duplicate)
        await run.move(Move(State.REJECTED, message, problem, {**found, "duplicate_of": duplicate}))
