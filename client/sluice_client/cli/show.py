"""What a person sees. Names, messages and values come from files and other people: they are shown
as text, never as terminal codes.
"""

import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import EnumDescriptor
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sluice.common.v1.errors_pb2 import Problem
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import Task
from sluice.validation.v1.validation_pb2 import ColumnType, FileFormat, LoadType, Report, Verdict
from sluice_client.client import QueryResult
from sluice_client.enums import short_name
from sluice_client.errors import SluiceClientError

_COLOURS = {
    "SUCCEEDED": "green",
    "REJECTED": "red",
    "FAILED": "red",
    "TIMEOUT": "red",
    "CANCELLED": "yellow",
}
_UNLIMITED = 100_000
_REJECTS_SHOWN = 10


def console(*, stderr: bool = False) -> Console:
    """A console that breaks lines for a terminal only."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, width=None if terminal else _UNLIMITED)


def plain(text: str, style: str = "") -> Text:
    """The text with control characters, marks that turn the direction of writing, and what is no
    Unicode made visible."""
    return Text("".join(_visible(each) for each in text), style=style)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def state_name(state: "TaskState.ValueType") -> str:
    """SUCCEEDED for TASK_STATE_SUCCEEDED."""
    return short_name(TaskState.DESCRIPTOR, state)


def state(of: "TaskState.ValueType") -> Text:
    """The state in its colour."""
    name = state_name(of)
    return Text(name, style=_COLOURS.get(name, "cyan"))


def error(failure: SluiceClientError, about: str = "") -> None:
    """An error with its place and what to do, on standard error, after what it is about."""
    console(stderr=True).print(Text.assemble(plain(f"{about}: ") if about else "", _fault(failure)))


def _fault(failure: SluiceClientError) -> Text:
    place = ", ".join(
        part
        for part in (
            f"line {failure.line}" if failure.line else "",
            failure.column,
            repr(failure.value) if failure.value else "",
        )
        if part
    )
    text = Text.assemble((failure.code, "bold red"), " ", plain(failure.message))
    if place:
        text.append(" (").append_text(plain(place)).append(")")
    if failure.action:
        text.append(" ").append_text(plain(failure.action))
    return text


def task_now(task: Task, out: Console) -> None:
    """What is said of a task now."""
    out.print(plain(task.message))


def task_end(task: Task, out: Console) -> None:
    """How a task ended, in full."""
    out.print(
        Text.assemble(
            task.task_id,
            " ",
            state(task.state),
            " ",
            plain(task.filename),
            " ",
            plain(task.message),
        )
    )
    if task.problem.code:
        out.print(Text("  ").append_text(_fault(SluiceClientError.of_problem(task.problem))))
    for problem in task.validation_errors:
        out.print(Text("  ").append_text(_problem(problem)))


def _problem(problem: Problem) -> Text:
    return _fault(SluiceClientError.of_problem(problem))


def task_table(tasks: Iterable[Task]) -> Table:
    """Tasks, one a line."""
    table = Table("task", "status", "datasource", "file", "rows", "created", box=box.SIMPLE)
    table.columns[0].no_wrap = True
    table.columns[4].justify = "right"
    for task in tasks:
        rows = f"{task.rows_loaded:,}" if task.HasField("rows_loaded") else ""
        created = f"{task.create_time.ToDatetime():%Y-%m-%d %H:%M:%S}Z"
        table.add_row(
            task.task_id,
            state(task.state),
            plain(task.datasource),
            plain(task.filename),
            rows,
            created,
        )
    return table


def answer(result: QueryResult, out: Console) -> None:
    """The rows of a query as a table, then how many there are."""
    table = Table(box=box.SIMPLE)
    for column in result.columns:
        numeric = column.type in {"BIGINT", "DOUBLE", "FLOAT", "INTEGER", "DECIMAL"}
        table.add_column(
            plain(column.name), justify="right" if numeric else "left", overflow="fold"
        )
    for row in result.rows:
        table.add_row(*(_cell(value) for value in row))
    out.print(table)
    console(stderr=True).print(f"{result.row_count:,} rows in {result.elapsed_ms} ms")


def truncated(result: QueryResult) -> None:
    """That there are more rows, on standard error."""
    text = (
        f"TRUNCATED: only the first {result.row_count:,} rows; there are more. "
        "Ask for them with --limit, or get all as a file from POST /api/query (text/csv)."
    )
    console(stderr=True).print(text, style="bold red")


def _cell(value: Any) -> Text:
    return Text("NULL", style="dim") if value is None else plain(str(value))


def report(found: Report, out: Console) -> None:
    """What validation found: verdict, counts, columns, problems and the first refused rows."""
    verdict = short_name(Verdict.DESCRIPTOR, found.verdict)
    style = "bold green" if found.verdict == Verdict.VERDICT_PASSED else "bold red"
    kind = short_name(FileFormat.DESCRIPTOR, found.format)
    out.print(
        Text.assemble(
            (verdict, style),
            " ",
            plain(found.filename),
            f" ({kind}, {found.file_size:,} bytes) ",
            plain(found.summary),
        )
    )
    counts = f"{found.rows_loadable:,} loadable + {found.rows_rejected:,} refused + {found.rows_skipped:,} skipped"
    out.print(f"{found.rows_read:,} rows read = {counts}")
    table = Table(
        "column", "type", "in Druid", "filled", "misfits", "empty", "evidence", box=box.SIMPLE
    )
    for index in (3, 4, 5):
        table.columns[index].justify = "right"
    for column in found.columns:
        load_type = _type(LoadType.DESCRIPTOR, column.load_type)
        table.add_row(
            plain(column.source_name),
            _type(ColumnType.DESCRIPTOR, column.type),
            Text.assemble(plain(column.name), " ", (load_type, "dim")),
            f"{column.fitting:,}",
            f"{column.misfits:,}",
            f"{column.nulls:,}",
            plain(column.evidence),
        )
    if found.columns:
        out.print(table)
    for problem in found.problems:
        out.print(_problem(problem))
    for reject in found.first_rejects[:_REJECTS_SHOWN]:
        for problem in reject.problems:
            out.print(_problem(problem))
    if found.rows_rejected > _REJECTS_SHOWN:
        out.print(
            f"... and {found.rows_rejected - _REJECTS_SHOWN:,} more refused rows; the page and REST give them as a file."
        )


def _type(kind: EnumDescriptor, value: int) -> str:
    return short_name(kind, value).lower() if value else ""
