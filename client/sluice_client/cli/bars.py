"""Progress bars on standard error, one per uploaded file or followed task."""

from types import TracebackType
from typing import Self

from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import EventKind, TaskEvent
from sluice_client.cli import show
from sluice_client.client import TERMINAL


class _Amount(ProgressColumn):
    """Amount done, total and rate, in the unit of the bar."""

    def render(self, task: Task) -> Text:
        unit = str(task.fields["unit"])
        if not unit:
            return Text()
        of = f" of {_amount(task.total, unit)}" if task.total else ""
        rate = f" at {_amount(task.speed, unit)}/s" if task.speed and not task.finished else ""
        return Text(f"{_amount(task.completed, unit)}{of}{rate}")


def _amount(number: float, unit: str) -> str:
    return decimal(int(number)) if unit == "bytes" else f"{int(number):,} {unit}"


class Bars:
    """The bars of one command. Hidden if `quiet`, or if standard error is not a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        console = show.console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            _Amount(),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=quiet or not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def sending(self, name: str, size: int) -> "Bar":
        """Add a bar for an upload of `size` bytes."""
        return Bar(self._progress, name, "sending", size, "bytes")

    def following(self, name: str) -> "Bar":
        """Add a bar for a task."""
        return Bar(self._progress, name, "waiting", None, "")


class Bar:
    """The bar of one file or task."""

    def __init__(
        self, progress: Progress, name: str, activity: str, total: int | None, unit: str
    ) -> None:
        self._progress = progress
        self._name = show.plain(name).plain
        self._id: TaskID = progress.add_task(f"{self._name} {activity}", total=total, unit=unit)

    def sent(self, size: int) -> None:
        """Show that `size` bytes are sent or stored."""
        self._progress.update(self._id, completed=size)

    def show_event(self, event: TaskEvent) -> None:
        """Show the progress of the event, or its state with a pulsing bar."""
        description = f"{self._name} {show.state_name(event.state)}"
        if event.kind == EventKind.EVENT_KIND_PROGRESS:
            self._progress.start_task(self._id)
            self._progress.update(
                self._id,
                description=description,
                completed=event.done,
                total=event.total,
                unit=event.unit,
            )
        elif event.state in TERMINAL:
            done = int(event.state == TaskState.TASK_STATE_SUCCEEDED)
            self._progress.reset(
                self._id, description=description, completed=done, total=1, unit=""
            )
        else:
            self._progress.reset(self._id, description=description, start=False, total=0, unit="")

    def close(self) -> None:
        """Remove the bar."""
        self._progress.remove_task(self._id)
