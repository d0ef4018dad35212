"""Page tokens of ListTasks: the place of the last task of a page in the order newest first."""

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
"""Most events that one read gives."""


@dataclass(frozen=True)
class Filter:
    """Which tasks to list. None and empty do not narrow."""

    datasource: str = ""
    states: Sequence[State] = ()
    idle_s: int = 0
    stage_older_s: float = 0
    """Only tasks that have been in their state for so many seconds."""
    text: str = ""
    """In any case; in file name, datasource, message or client, or a task id."""
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, str] | None = None
    """Only tasks after this one in the order newest first: (created_at, task_id)."""
    skip: int = 0


def token_after(task: Task) -> str:
    """Token of the page that begins after `task`."""
    return base64.urlsafe_b64encode(
        f"{task.created_at.isoformat()} {task.task_id}".encode()
    ).decode()


def place_of(token: str) -> tuple[datetime, str]:
    """The place that a token stands for, as (created_at, task_id).

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
        message = "The page token was not made by this server."
        raise errors.error(
            ErrorReason.ERROR_REASON_PAGE_TOKEN_INVALID, message, column="page_token", value=token
        ) from failure
