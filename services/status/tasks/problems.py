"""Problems as PostgreSQL keeps them, in the shape that users see: code, message, line, column,
value, action, actor.
"""

from typing import Any

from services.common import errors
from services.status.tasks.task import Task
from sluice.common.v1.errors_pb2 import Actor, ErrorReason, Problem

MAX_KEPT = 100
"""Findings of validation that a task keeps; the report has the rest."""

_ACTORS = {errors.actor_name(actor): actor for actor in Actor.values()}


def clean(text: str) -> str:
    """The text without NUL, which PostgreSQL refuses and a hostile file may hold."""
    return text.replace("\x00", "�")


def to_json(problem: Problem) -> dict[str, Any]:
    """As a JSON object; `line` is null where no line is meant."""
    return {
        "code": errors.code_of(problem.code),
        "message": clean(problem.message),
        "line": problem.line if problem.HasField("line") else None,
        "column": clean(problem.column),
        "value": clean(problem.value),
        "action": clean(problem.action),
        "actor": errors.actor_name(problem.actor),
    }


def from_json(kept: dict[str, Any]) -> Problem:
    """Back from the table."""
    return Problem(
        code=errors.reason_of(kept["code"]),
        message=kept["message"],
        line=kept["line"],
        column=kept["column"],
        value=kept["value"],
        action=kept["action"],
        actor=_ACTORS.get(kept["actor"], Actor.ACTOR_UNSPECIFIED),
    )


def task_not_found(task_id: str) -> errors.SluiceError:
    """TASK_NOT_FOUND."""
    message = f"There is no task {task_id}."
    return errors.error(ErrorReason.ERROR_REASON_TASK_NOT_FOUND, message, value=task_id)


def conflict(task: Task, what: str) -> errors.SluiceError:
    """STATE_CONFLICT: what the task cannot do in its state."""
    message = f"The task {what}: it is {task.status}."
    return errors.error(
        ErrorReason.ERROR_REASON_STATE_CONFLICT, message, metadata={"state": str(task.status)}
    )
