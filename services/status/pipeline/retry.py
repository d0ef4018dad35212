"""Decides after a failed stage: wait, retry within the budget, or end the task. Pure except for the
jitter.
"""

from dataclasses import dataclass

from services.common import errors
from services.common.backoff import Backoff
from services.status.settings import Settings
from services.status.tasks.machine import LOADED, STAGE_OF, State
from services.status.tasks.task import Task
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

WAITED_FOR = frozenset(
    {
        ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
        ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE,
        ErrorReason.ERROR_REASON_DRUID_NO_CAPACITY,
        ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE,
        ErrorReason.ERROR_REASON_VALIDATION_DISK_FULL,
        ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
        # The called service was stopped during the call.
        ErrorReason.ERROR_REASON_CANCELLED,
    }
)
"""Something is unavailable: wait until the stage's deadline, without using up its attempts."""

AWAY = frozenset(
    {ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE}
)
"""Failures that the loads of other tasks would have as well."""

FINAL = frozenset(
    {
        ErrorReason.ERROR_REASON_OBJECT_LOST,
        ErrorReason.ERROR_REASON_DRUID_SPEC_REFUSED,
        ErrorReason.ERROR_REASON_REQUEST_INVALID,
        ErrorReason.ERROR_REASON_DATASOURCE_NAME_INVALID,
        ErrorReason.ERROR_REASON_STAGE_DEADLINE,
        ErrorReason.ERROR_REASON_LOAD_MISMATCH,
        ErrorReason.ERROR_REASON_LOAD_NOT_VISIBLE,
        ErrorReason.ERROR_REASON_PLAN_STALE,
    }
)
"""Failures that a retry cannot fix."""

STAGE_NAMES = {**STAGE_OF, State.UPLOADED: "validate", State.SUCCEEDED: "undo"}
"""The displayed name of a state's stage: in UPLOADED the next one, in SUCCEEDED the undo."""

NEEDS_DRUID = LOADED | {State.SUCCEEDED}
"""The states whose stage needs Druid; in SUCCEEDED it is the revert of the load."""

UNLIMITED = frozenset({State.CLEANING, State.SUCCEEDED})
"""The states whose stage, a removal or revert, is retried without limit: there is no other state to
go to.
"""

CLEAN_SLOWLY_S = 60.0
"""Seconds between the retries of a removal after its deadline."""


@dataclass(frozen=True)
class Retry:
    """Retries the stage."""

    delay_s: float
    failed: bool
    """Whether it counts against the stage's attempts."""
    message: str


@dataclass(frozen=True)
class End:
    """Ends the task."""

    target: State
    problem: Problem


def decide(task: Task, problem: Problem, settings: Settings) -> Retry | End:
    """Decides what follows from a failure of the task's stage."""
    waits = problem.code in WAITED_FOR
    if task.status in UNLIMITED:
        late = task.stage_seconds > settings.clean_deadline_s
        retries = task.stage_waits + task.stage_attempts
        delay = CLEAN_SLOWLY_S if late else _delay_s(retries, settings)
        hint = "an administrator should check Druid; " if late else ""
        return _retry(problem, delay, failed=not waits, hint=hint)
    if problem.code == ErrorReason.ERROR_REASON_STAGE_DEADLINE:
        return End(State.TIMEOUT, problem)
    if problem.code in FINAL:
        return End(State.FAILED, problem)
    if waits:
        # A stopped service has a replica or is back soon: the first waits are a quarter and a half of
        # those after a failure.
        return _retry(problem, _delay_s(task.stage_waits - 2, settings), failed=False)
    failures = task.stage_attempts + 1
    if failures >= settings.stage_attempts:
        return End(
            State.FAILED,
            _exhausted(task, f"failed {failures} times; the last time: {problem.message}"),
        )
    return _retry(problem, _delay_s(task.stage_attempts, settings), failed=True)


def taken_over_too_often(task: Task, settings: Settings) -> End | None:
    """Ends a task whose workers died too often in the same stage. None: continue."""
    if task.status in UNLIMITED or task.stage_takeovers <= settings.stage_takeovers:
        return None
    return End(
        State.FAILED,
        _exhausted(
            task, f"was started {task.stage_takeovers + 1} times and its worker died each time."
        ),
    )


def deadline_s(task: Task, settings: Settings) -> float | None:
    """Returns the deadline of the task's stage in seconds since its start; None: unlimited."""
    match task.status:
        case State.VALIDATING:
            return settings.validate_deadline_s
        case State.INGESTING:
            return (
                settings.ingest_deadline_s
                + settings.ingest_deadline_s_per_mib * (task.file_size or 0) / 2**20
            )
        case State.VERIFYING:
            return settings.verify_deadline_s
        case _:
            return None


def over_deadline(task: Task, seconds: float) -> Problem:
    """Returns the problem of a stage that exceeded its deadline."""
    return errors.problem(
        ErrorReason.ERROR_REASON_STAGE_DEADLINE,
        f"The stage `{STAGE_NAMES[task.status]}` did not end within {seconds:.0f} s.",
    )


def _delay_s(retries: int, settings: Settings) -> float:
    return Backoff(settings.retry_first_s, settings.retry_max_s).pause_s(retries + 1)


def _retry(problem: Problem, delay_s: float, *, failed: bool, hint: str = "") -> Retry:
    cause, seconds = problem.message.rstrip("."), max(1, round(delay_s))
    return Retry(delay_s, failed, f"{cause}; {hint}trying again in {seconds} s.")


def _exhausted(task: Task, how: str) -> Problem:
    return errors.problem(
        ErrorReason.ERROR_REASON_ATTEMPTS_EXHAUSTED, f"The stage `{STAGE_NAMES[task.status]}` {how}"
    )
