"""Pages of tasks and events: sizes, filters and page tokens."""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from services.common import errors
from services.status.tasks.machine import State
from services.status.tasks.task import Task
from sluice.common.v1.errors_pb2 import ErrorReason

EVENTS_PAGE = 200
"""Maximum number of events per read."""


@dataclass(frozen=True)
class Filter:
    """The tasks to list. None and empty values match all tasks."""

    datasource: str = ""
    states: Sequence[State] = ()
    idle_s: int = 0
    stage_older_s: float = 0
    """Minimum seconds in the current state."""
    text: str = ""
    """Part of the file name, datasource, message or client, ignoring case; or a task id."""
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, str] | None = None
    """Only tasks older than (created_at, task_id)."""
    skip: int = 0


def token_after(task: Task) -> str:
    """Returns the token of the page after `task`."""
    return base64.urlsafe_b64encode(
        f"{task.created_at.isoformat()} {task.task_id}".encode()
    ).decode()


def position_of(token: str) -> tuple[datetime, str]:
    """Returns (created_at, task_id) of a token, for Filter.before.

    Raises:
        SluiceError: PAGE_TOKEN_INVALID.
    """
    try:
        time, task_id = (
            base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii").split(" ")
        )
        created_at = datetime.fromisoformat(time)
        if created_at.tzinfo is None:
            raise ValueError("no time zone")
        return created_at.astimezone(UTC), str(UUID(task_id))
    except (ValueError, OverflowError, binascii.Error) as failure:
        raise errors.error(
            ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID,
            "The page token is not from this server.",
            column="page_token",
            value=token,
        ) from failure
