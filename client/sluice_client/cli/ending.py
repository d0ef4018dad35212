"""How a command ends: its exit status, and what it says of an error."""

import asyncio
import sys
from collections.abc import Coroutine, Iterable
from enum import IntEnum

from sluice.common.v1.task_pb2 import TaskState
from sluice_client.cli import documents, show
from sluice_client.errors import SluiceClientError


class Exit(IntEnum):
    """Exit statuses. 2 is typer's own: the command was not understood."""

    OK = 0
    FAILED = 1
    """Sluice or Druid failed; an administrator has to look."""
    REFUSED = 3
    """The file or the request was refused; the message says what to change."""
    UNREACHABLE = 4
    """A service does not answer; the same command may work in a moment."""
    CANCELLED = 5
    """The task was cancelled."""
    TRUNCATED = 6
    """A query has more rows than were asked for by default; those that were answered are shown."""
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
    """For a task that was seen in `state`."""
    return _OF_STATE.get(state, Exit.OK)


def of_error(failure: SluiceClientError) -> Exit:
    """For a call that failed."""
    if failure.actor == "you":
        return Exit.REFUSED
    return (
        Exit.UNREACHABLE
        if failure.actor == "nobody" or failure.code in _UNREACHABLE
        else Exit.FAILED
    )


def worst(statuses: Iterable[Exit]) -> Exit:
    """The one that matters most; OK for none."""
    found = set(statuses)
    return next((status for status in _WORST_FIRST if status in found), Exit.OK)


def say(failure: SluiceClientError, as_json: bool, about: str = "") -> None:
    """The error on standard error, after what it is about."""
    if as_json:
        print(documents.line(documents.error(failure)), file=sys.stderr)
    else:
        show.error(failure, about)


def run(command: Coroutine[None, None, Exit], *, as_json: bool, interrupted: str) -> None:
    """Runs a command to its end and leaves with its exit status; `interrupted` is what Ctrl-C
    says.
    """
    try:
        status = asyncio.run(command)
    except SluiceClientError as failure:
        say(failure, as_json)
        status = of_error(failure)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        status = Exit.INTERRUPTED
    raise SystemExit(status)
