"""Problems as JSON, in the database and in the API: code, message, line, column, value, action,
actor. And the problems that several modules report.
"""

from typing import Any

from services.common import errors
from services.status.tasks.task import Task
from sluice.common.v1.errors_pb2 import Actor, ErrorReason, Problem

MAX_KEPT = 100
"""Maximum number of findings of validation in a task; the report has all of them."""

_ACTORS = {errors.actor_name(actor): actor for actor in Actor.values()}


def clean(text: str) -> str:
    """Replaces NUL, which a hostile file may have and PostgreSQL does not store."""
    return text.replace("\x00", "�")


def to_json(problem: Problem) -> dict[str, Any]:
    """Returns a problem as a JSON object; `line` may be null."""
    return {
        "code": errors.code_of(problem.code),
        "message": clean(problem.message),
        "line": problem.line if problem.HasField("line") else None,
        "column": clean(problem.column),
        "value": clean(problem.value),
        "action": clean(problem.action),
        "actor": errors.actor_name(problem.actor),
    }


def from_json(stored: dict[str, Any]) -> Problem:
    """Returns the problem of a JSON object."""
    return Problem(
        code=errors.reason_of(stored["code"]),
        message=stored["message"],
        line=stored["line"],
        column=stored["column"],
        value=stored["value"],
        action=stored["action"],
        actor=_ACTORS.get(stored["actor"], Actor.ACTOR_UNSPECIFIED),
    )


def task_not_found(task_id: str) -> errors.SluiceError:
    """TASK_NOT_FOUND."""
    return errors.error(
        ErrorReason.ERROR_REASON_TASK_NOT_FOUND, f"There is no task {task_id}.", value=task_id
    )


def conflict(task: Task, what: str) -> errors.SluiceError:
    """STATE_CONFLICT. `what` follows "The task": what it cannot do in its state."""
    return errors.error(
        ErrorReason.ERROR_REASON_STATE_CONFLICT,
        f"The task {what}: it is {task.status}.",
        metadata={"state": str(task.status)},
    )


def duplicate(task: Task, other: str) -> Problem:
    """DUPLICATE_CONTENT: the task `other` has loaded, or is loading, the same bytes."""
    return errors.problem(
        ErrorReason.ERROR_REASON_DUPLICATE_CONTENT,
        f"The file was already loaded into {task.datasource_name}, or is being loaded, by task {other}.",
        value=other,
    )
