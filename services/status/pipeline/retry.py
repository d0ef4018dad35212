"""What a failed stage means: wait and try again, try again a few times, or end the task. Pure but
for the jitter.
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
        # The called service was stopped in the middle of the call.
        ErrorReason.ERROR_REASON_CANCELLED,
    }
)
"""Something is away. It is waited for until the stage's deadline, without using up its attempts."""

AWAY = frozenset(
    {ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE}
)
"""What the load of any other task would meet as well."""

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
"""Trying again cannot help."""

STAGE_NAMES = {**STAGE_OF, State.UPLOADED: "validate", State.SUCCEEDED: "undo"}
"""The stage that a person sees: in UPLOADED the one that comes next, in SUCCEEDED the undo."""

NEEDS_DRUID = LOADED | {State.SUCCEEDED}
"""The states whose stage is work in Druid; in SUCCEEDED it is the undo of the load."""

NEVER_GIVEN_UP = frozenset({State.CLEANING, State.SUCCEEDED})
"""What is being removed, after a failure or to be undone, is removed in the end: there is no other
state to go to.
"""

CLEAN_SLOWLY_S = 60.0
"""Seconds between tries of a CLEANING that is over its deadline."""


@dataclass(frozen=True)
class Again:
    """The stage is tried again."""

    delay_s: float
    failed: bool
    """Whether it counts as one of the stage's failures."""
    message: str


@dataclass(frozen=True)
class End:
    """The task ends badly."""

    target: State
    problem: Problem


def decide(task: Task, problem: Problem, settings: Settings) -> Again | End:
    """What follows from the failure of the task's stage. Removing never gives up: rows may still be
    in Druid.
    """
    waits = problem.code in WAITED_FOR
    if task.status in NEVER_GIVEN_UP:
        late = task.stage_seconds > settings.clean_deadline_s
        delay = (
            CLEAN_SLOWLY_S if late else _delay_s(task.stage_waits + task.stage_attempts, settings)
        )
        return Again(
            delay,
            not waits,
            _again(problem, delay, "an administrator should look at Druid; " if late else ""),
        )
    if problem.code == ErrorReason.ERROR_REASON_STAGE_DEADLINE:
        return End(State.TIMEOUT, problem)
    if problem.code in FINAL:
        return End(State.FAILED, problem)
    if waits:
        # A neighbour that was stopped has a replica, or is back at once: the first waits are a
        # quarter and a half of those after a failure.
        delay = _delay_s(task.stage_waits - 2, settings)
        return Again(delay, False, _again(problem, delay))
    failures = task.stage_attempts + 1
    if failures >= settings.stage_attempts:
        return End(
            State.FAILED,
            _exhausted(task, f"failed {failures} times; the last time: {problem.message}"),
        )
    delay = _delay_s(task.stage_attempts, settings)
    return Again(delay, True, _again(problem, delay))


def taken_over_too_often(task: Task, settings: Settings) -> End | None:
    """The end of a task whose workers die again and again in the same stage; removing goes on all
    the same.
    """
    if task.status in NEVER_GIVEN_UP or task.stage_takeovers <= settings.stage_takeovers:
        return None
    return End(
        State.FAILED,
        _exhausted(
            task, f"was begun {task.stage_takeovers + 1} times and its worker died each time."
        ),
    )


def deadline_s(task: Task, settings: Settings) -> float | None:
    """Seconds that the task's stage may take in all; None where it has no end."""
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
    """The problem of a stage that took longer than it may."""
    stage = STAGE_NAMES[task.status]
    return errors.problem(
        ErrorReason.ERROR_REASON_STAGE_DEADLINE,
        f"The stage `{stage}` did not end within {seconds:.0f} s.",
    )


def _delay_s(before: int, settings: Settings) -> float:
    return Backoff(settings.retry_first_s, settings.retry_max_s).pause_s(before + 1)


def _again(problem: Problem, delay_s: float, who: str = "") -> str:
    return f"{problem.message.rstrip('.')}; {who}trying again in {max(1, round(delay_s))} s."


def _exhausted(task: Task, how: str) -> Problem:
    return errors.problem(
        ErrorReason.ERROR_REASON_ATTEMPTS_EXHAUSTED, f"The stage `{STAGE_NAMES[task.status]}` {how}"
    )
