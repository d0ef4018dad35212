"""The commands of `sluice` and their options."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console

from sluice.common.v1.task_pb2 import LoadMode, TaskState
from sluice.status.v1.status_pb2 import EventKind, TaskEvent
from sluice_client.cli import documents, ending, show, show_loads
from sluice_client.cli.bars import Bars
from sluice_client.cli.ending import Exit
from sluice_client.cli.upload import Outcome, UploadOptions, send
from sluice_client.client import SluiceClient

Answer = TypeVar("Answer")

DEFAULT_ROWS = 1_000
"""Maximum rows of a query without --limit."""

app = typer.Typer(
    help="Load files into Apache Druid and query them. Calls the four services of Sluice over gRPC.",
    epilog="Exit status: 0 success, 1 Sluice or Druid failed, 2 wrong usage, 3 the file or request was rejected, "
    "4 a service does not answer, 5 the task was cancelled, 6 the query has more rows than are shown without --limit, 130 Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _state(name: str) -> str:
    """Parse the name of a task state, case-insensitively."""
    names = [show.state_name(each) for each in TaskState.values() if each]
    if name.upper() not in names:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(names)}.")
    return name.upper()


class Mode(StrEnum):
    """What a load does with the existing rows."""

    APPEND = "append"
    REPLACE = "replace"
    REPLACE_INTERVAL = "replace_interval"
    REPLACE_ALL = "replace_all"


TaskArgument = Annotated[
    str,
    typer.Argument(
        metavar="TASK", help="The task id, as shown by `sluice upload` and `sluice tasks`."
    ),
]
Target = Annotated[
    str, typer.Option("--datasource", "-d", help="The table to load into; created if missing.")
]
AllowDuplicate = Annotated[
    bool, typer.Option("--allow-duplicate", help="Load a file even if it was already loaded.")
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document per line; no progress bars.")
]


@dataclass(frozen=True)
class Addresses:
    """host:port of the four services."""

    upload: str
    validation: str
    druid_gateway: str
    status: str

    def client(self) -> SluiceClient:
        return SluiceClient(self.upload, self.status, self.validation, self.druid_gateway)


def _address(variable: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(envvar=variable, metavar="HOST:PORT")
    return option


@app.callback()
def connect(
    context: typer.Context,
    upload_addr: Annotated[str, _address("UPLOAD_ADDR")] = "127.0.0.1:50051",
    validation_addr: Annotated[str, _address("VALIDATION_ADDR")] = "127.0.0.1:50052",
    druid_gateway_addr: Annotated[str, _address("DRUID_GATEWAY_ADDR")] = "127.0.0.1:50053",
    status_addr: Annotated[str, _address("STATUS_ADDR")] = "127.0.0.1:50054",
) -> None:
    """Read the addresses of the services."""
    context.obj = Addresses(upload_addr, validation_addr, druid_gateway_addr, status_addr)


@app.command()
def upload(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, readable=True, help="CSV or Excel files."
        ),
    ],
    datasource: Target,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow each task until it ends.")
    ] = False,
    mode: Annotated[
        Mode, typer.Option("--mode", "-m", help="What to do with existing rows.")
    ] = Mode.APPEND,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Short for --mode replace: replace the time chunks of the new rows."
        ),
    ] = False,
    interval: Annotated[
        str,
        typer.Option(
            "--interval",
            metavar="START/END",
            help="What replace_interval replaces: full hours, UTC; END is exclusive.",
        ),
    ] = "",
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Stop before the load; see `sluice plan` and `sluice apply`."),
    ] = False,
    allow_duplicate: AllowDuplicate = False,
    as_json: AsJson = False,
) -> None:
    """Upload files. Each file becomes a task."""
    out = show.console()

    def print_outcome(outcome: Outcome) -> None:
        if as_json:
            typer.echo(documents.line(outcome.document()))
        elif outcome.error is not None:
            ending.print_error(outcome.error, as_json=False, subject=str(outcome.file))
        elif outcome.task is not None:
            show.task_end(outcome.task, out)
        else:
            out.print(outcome.task_id, show.plain(str(outcome.file)))

    if replace and mode is Mode.APPEND:
        mode = Mode.REPLACE
    options = UploadOptions(
        context.obj.upload,
        datasource,
        LoadMode.Value(f"LOAD_MODE_{mode.upper()}"),
        _interval(interval, mode),
        plan,
        allow_duplicate,
        watch,
    )

    async def command() -> Exit:
        async with context.obj.client() as client:
            with Bars(quiet=as_json) as bars:
                return await send(client, files, options, bars, print_outcome)

    interrupted = (
        "Interrupted. Created tasks continue. Repeat the command to resume an unfinished upload."
    )
    ending.run(command(), as_json=as_json, interrupted=interrupted)


def _interval(text: str, mode: Mode) -> tuple[datetime, datetime] | None:
    if bool(text) != (mode is Mode.REPLACE_INTERVAL):
        raise typer.BadParameter("--interval and --mode replace_interval require each other.")
    if not text:
        return None
    start, _, end = text.partition("/")
    try:
        return datetime.fromisoformat(start), datetime.fromisoformat(end)
    except ValueError:
        raise typer.BadParameter(
            "--interval must be two ISO 8601 times, such as 2024-01-01/2024-02-01."
        ) from None


@app.command("import")
def import_object(
    context: typer.Context,
    uri: Annotated[
        str,
        typer.Argument(
            metavar="URI", help="s3://bucket/key, in a location that the server allows."
        ),
    ],
    datasource: Target,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Follow the task until it ends.")
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace", help="Replace the time chunks of the new rows instead of appending."
        ),
    ] = False,
    allow_duplicate: AllowDuplicate = False,
    as_json: AsJson = False,
) -> None:
    """Load a file from a bucket."""

    async def command() -> Exit:
        async with context.obj.client() as client:
            task_id = await client.import_object(
                uri, datasource, replace=replace, allow_duplicate=allow_duplicate
            )
            task = await client.wait(task_id) if watch else None
        if as_json:
            typer.echo(
                documents.line(
                    documents.task(task) if task else {"task_id": task_id, "status": "ACCEPTED"}
                )
            )
        elif task:
            show.task_end(task, show.console())
        else:
            show.console().print(task_id)
        return ending.of_state(task.state) if task else Exit.OK

    ending.run(
        command(),
        as_json=as_json,
        interrupted="Interrupted. If the task was created, it continues: sluice tasks",
    )


@app.command()
def tasks(
    context: typer.Context,
    datasource: Annotated[
        str, typer.Option("--datasource", "-d", help="Only this datasource.")
    ] = "",
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status", "-s", parser=_state, metavar="STATE", help="Only this state. Repeatable."
        ),
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, help="Maximum number of tasks.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """List tasks, newest first."""

    async def command() -> Exit:
        states = [TaskState.Value(f"TASK_STATE_{name}") for name in status or ()]
        found = []
        async with context.obj.client() as client:
            async for task in client.tasks(
                datasource=datasource, states=states, page_size=min(limit, 500)
            ):
                found.append(task)
                if len(found) == limit:
                    break
        if as_json:
            for task in found:
                typer.echo(documents.line(documents.task(task)))
        else:
            show.console().print(show.task_table(found))
        return Exit.OK

    ending.run(command(), as_json=as_json, interrupted="Interrupted.")


@app.command()
def watch(
    context: typer.Context,
    task_id: TaskArgument,
    from_sequence: Annotated[
        int, typer.Option("--from", min=1, help="Number of the first event to show.")
    ] = 1,
    as_json: AsJson = False,
) -> None:
    """Follow a task until it ends. The exit status tells how it ended."""
    out = show.console()

    def print_event(event: TaskEvent) -> None:
        if as_json:
            typer.echo(documents.line(documents.event(event)))
        elif event.kind != EventKind.EVENT_KIND_PROGRESS:
            out.print(
                f"{event.time.ToDatetime():%H:%M:%S}Z",
                show.state(event.state),
                show.plain(event.message),
            )

    async def command() -> Exit:
        async with context.obj.client() as client:
            with Bars(quiet=as_json) as bars:
                bar = bars.following(task_id)
                async for answer in client.watch(task_id, from_sequence):
                    bar.show_event(answer.event)
                    print_event(answer.event)
                bar.close()
            task = await client.task(task_id)
        if not as_json:
            show.task_end(task, out)
        return ending.of_state(task.state)

    ending.run(
        command(),
        as_json=as_json,
        interrupted=f"Interrupted. The task continues: sluice watch {task_id}",
    )


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="One SELECT, WITH or EXPLAIN PLAN FOR statement.")
    ],
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            "-n",
            min=1,
            max=1_000_000,
            help=f"Maximum number of rows. Default: {DEFAULT_ROWS:,}, with exit status 6 if there are more.",
        ),
    ] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=0.001, max=300, help="Timeout in seconds.")
    ] = 30,
    as_json: AsJson = False,
) -> None:
    """Query Druid in SQL."""

    async def command() -> Exit:
        async with context.obj.client() as client:
            result = await client.query(sql, limit or DEFAULT_ROWS, timeout_s=timeout_s)
        if as_json:
            typer.echo(documents.line(documents.query_result(result)))
        else:
            show.query_result(result, show.console())
        if result.truncated:
            show.truncated(result)
        return Exit.TRUNCATED if result.truncated and limit is None else Exit.OK

    ending.run(command(), as_json=as_json, interrupted="Interrupted. The query was cancelled.")


@app.command()
def report(context: typer.Context, task_id: TaskArgument, as_json: AsJson = False) -> None:
    """Show what validation found in a task's file."""
    _print_answer(
        context, as_json, lambda client: client.report(task_id), documents.message, show.report
    )


@app.command()
def plan(context: typer.Context, task_id: TaskArgument, as_json: AsJson = False) -> None:
    """Show what the load of a task uploaded with --plan would do."""
    _print_answer(
        context, as_json, lambda client: client.plan(task_id), documents.message, show_loads.plan
    )


@app.command()
def apply(
    context: typer.Context,
    task_id: TaskArgument,
    plan_hash: Annotated[
        str, typer.Argument(metavar="HASH", help="The hash shown by `sluice plan`.")
    ],
    as_json: AsJson = False,
) -> None:
    """Start the load of a planned task, if its plan still applies."""
    interrupted = f"Interrupted. To see whether the load started: sluice watch {task_id}"
    _print_answer(
        context,
        as_json,
        lambda client: client.apply(task_id, plan_hash),
        documents.task,
        show.task_message,
        interrupted,
    )


@app.command()
def receipt(context: typer.Context, task_id: TaskArgument, as_json: AsJson = False) -> None:
    """Show the ledger of a task's rows and the evidence that they are loaded."""
    _print_answer(
        context,
        as_json,
        lambda client: client.receipt(task_id),
        documents.message,
        show_loads.receipt,
    )


@app.command()
def undo(context: typer.Context, task_id: TaskArgument, as_json: AsJson = False) -> None:
    """Remove a load from Druid and restore what it replaced."""
    interrupted = "Interrupted. If the undo started, it continues."
    _print_answer(
        context,
        as_json,
        lambda client: client.revert(task_id),
        documents.task,
        show.task_message,
        interrupted,
    )


def _print_answer(
    context: typer.Context,
    as_json: bool,
    ask: Callable[[SluiceClient], Awaitable[Answer]],
    document: Callable[[Answer], dict[str, Any]],
    print_text: Callable[[Answer, Console], None],
    interrupted: str = "Interrupted.",
) -> None:
    """Make one call and print its answer, as JSON or as text."""

    async def command() -> Exit:
        async with context.obj.client() as client:
            answer = await ask(client)
        if as_json:
            typer.echo(documents.line(document(answer)))
        else:
            print_text(answer, show.console())
        return Exit.OK

    ending.run(command(), as_json=as_json, interrupted=interrupted)
