"""Problems as PostgreSQL keeps them, in the shape that users see: code, message, line, column,
value, action, actor.
"""

from typing import Any

from services.common import errors
from sluice.common.v1.errors_pb2 import Actor, Problem

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
