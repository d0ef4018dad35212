"""Text output. Names, messages and values are untrusted: control characters are escaped."""

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

_COLORS = {
    "SUCCEEDED": "green",
    "REJECTED": "red",
    "FAILED": "red",
    "TIMEOUT": "red",
    "CANCELLED": "yellow",
}
_UNLIMITED = 100_000
_REJECTS_SHOWN = 10


def console(*, stderr: bool = False) -> Console:
    """Return a console that wraps lines only on a terminal."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, highlight=False, width=None if terminal else _UNLIMITED)


def plain(text: str, style: str = "") -> Text:
    """Return the text with control and format characters and surrogates escaped."""
    return Text("".join(_visible(each) for each in text), style=style)


def _visible(character: str) -> str:
    if unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character
    number = ord(character)
    return f"\\x{number:02x}" if number < 256 else f"\\u{number:04x}"


def state_name(state: "TaskState.ValueType") -> str:
    """Return the short name of a state: SUCCEEDED for TASK_STATE_SUCCEEDED."""
    return short_name(TaskState.DESCRIPTOR, state)


def state(value: "TaskState.ValueType") -> Text:
    """Return the state in its color."""
    name = state_name(value)
    return Text(name, style=_COLORS.get(name, "cyan"))


def error(failure: SluiceClientError, subject: str = "") -> None:
    """Print an error with its location and action to standard error, after its subject."""
    prefix = plain(f"{subject}: ") if subject else ""
    console(stderr=True).print(Text.assemble(prefix, _error(failure)))


def _error(failure: SluiceClientError) -> Text:
    location = ", ".join(
        part
        for part in (
            f"line {failure.line}" if failure.line else "",
            failure.column,
            repr(failure.value) if failure.value else "",
        )
        if part
    )
    text = Text.assemble((failure.code, "bold red"), " ", plain(failure.message))
    if location:
        text.append(" (").append_text(plain(location)).append(")")
    if failure.action:
        text.append(" ").append_text(plain(failure.action))
    return text


def task_message(task: Task, out: Console) -> None:
    """Print the current message of a task."""
    out.print(plain(task.message))


def task_end(task: Task, out: Console) -> None:
    """Print how a task ended, with its problems."""
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
        out.print(Text("  ").append_text(_problem(task.problem)))
    for problem in task.validation_errors:
        out.print(Text("  ").append_text(_problem(problem)))


def _problem(problem: Problem) -> Text:
    return _error(SluiceClientError.of_problem(problem))


def task_table(tasks: Iterable[Task]) -> Table:
    """Return a table with one task per line."""
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


def query_result(result: QueryResult, out: Console) -> None:
    """Print the rows of a query as a table, and their number to standard error."""
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
    """Print to standard error that the query has more rows."""
    console(stderr=True).print(
        f"TRUNCATED: showing only the first {result.row_count:,} rows. "
        "Raise --limit, or download all rows from POST /api/query (text/csv).",
        style="bold red",
    )


def _cell(value: Any) -> Text:
    return Text("NULL", style="dim") if value is None else plain(str(value))


def report(found: Report, out: Console) -> None:
    """Print a report: verdict, counts, columns, problems and the first rejected rows."""
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
    counts = f"{found.rows_loadable:,} loadable + {found.rows_rejected:,} rejected + {found.rows_skipped:,} skipped"
    out.print(f"{found.rows_read:,} rows read = {counts}")
    table = Table(
        "column", "type", "in Druid", "valid", "invalid", "null", "evidence", box=box.SIMPLE
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
            f"... and {found.rows_rejected - _REJECTS_SHOWN:,} more rejected rows. The page and REST have all of them as a file."
        )


def _type(kind: EnumDescriptor, value: int) -> str:
    return short_name(kind, value).lower() if value else ""
