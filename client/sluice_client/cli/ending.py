"""Exit statuses and error output of the commands."""

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from enum import IntEnum

from sluice.common.v1.task_pb2 import TaskState
from sluice_client.cli import documents, show
from sluice_client.errors import SluiceClientError


class Exit(IntEnum):
    """Exit statuses. Typer itself uses 2 for wrong usage."""

    OK = 0
    FAILED = 1
    """Sluice or Druid failed; an administrator has to act."""
    REFUSED = 3
    """The file or the request was rejected; the message says what to change."""
    UNREACHABLE = 4
    """A service does not answer; a retry may succeed."""
    CANCELLED = 5
    """The task was cancelled."""
    TRUNCATED = 6
    """The query has more rows than the default limit, and only those up to the limit were shown."""
    INTERRUPTED = 130
    """Ctrl-C."""


_WORST_FIRST = (Exit.FAILED, Exit.UNREACHABLE, Exit.REFUSED, Exit.CANCELLED)
_OF_STATE = {
    TaskState.TASK_STATE_REJECTED: Exit.REFUSED,
    TaskState.TASK_STATE_FAILED: Exit.FAILED,
    TaskState.TASK_STATE_TIMEOUT: Exit.FAILED,
    TaskState.TASK_STATE_CANCELLED: Exit.CANCELLED,
}
_UNREACHABLE = frozenset({"SERVICE_UNAVAILABLE", "DEADLINE_EXCEEDED"})


def of_state(state: "TaskState.ValueType") -> Exit:
    """Return the status for a task in `state`."""
    return _OF_STATE.get(state, Exit.OK)


def of_error(failure: SluiceClientError) -> Exit:
    """Return the status for a failed call."""
    if failure.actor == "you":
        return Exit.REFUSED
    return (
        Exit.UNREACHABLE
        if failure.actor == "nobody" or failure.code in _UNREACHABLE
        else Exit.FAILED
    )


def worst(statuses: Iterable[Exit]) -> Exit:
    """Return the most severe status; OK if there is none."""
    found = set(statuses)
    return next((status for status in _WORST_FIRST if status in found), Exit.OK)


def print_error(failure: SluiceClientError, as_json: bool, subject: str = "") -> None:
    """Print the error to standard error, after its subject."""
    if as_json:
        print(documents.line(documents.error(failure)), file=sys.stderr)
    else:
        show.error(failure, subject)


def run(command: Coroutine[None, None, Exit], *, as_json: bool, interrupted: str) -> None:
    """Run a command and exit with its status; Ctrl-C prints `interrupted`."""
    try:
        status = asyncio.run(command)
    except SluiceClientError as failure:
        print_error(failure, as_json)
        status = of_error(failure)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        status = Exit.INTERRUPTED
    raise SystemExit(status)
