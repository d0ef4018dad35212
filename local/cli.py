"""The commands of `python -m local`."""

from __future__ import annotations

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from local import sample, services
from local.errors import LocalStackError
from local.instance import HEALTHY_SECONDS, Instance
from local.stack import Stack
from local.supervision import processes

app = typer.Typer(
    help="The one-machine stack: real PostgreSQL, S3 and Druid, and Sluice's own processes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(stderr=True, soft_wrap=True)

InstanceName = Annotated[
    str, typer.Option("--instance", help="default, test or bench; each has its own ports and data.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only", help="Start only these: program names, or druid, stores, services. Repeatable."
    ),
]
Timeout = Annotated[
    float, typer.Option("--timeout", help="Seconds within which everything must be healthy.")
]

MIB = 1024 * 1024


@app.command()
def setup(instance: InstanceName = "default") -> None:
    """Download and prepare everything without starting it."""
    with _plain_errors():
        Instance(instance, console=console).set_up()
        console.print("Everything is prepared; start it with `make up` or `make run`.")


@app.command()
def up(
    instance: InstanceName = "default",
    only: Only = None,
    timeout: Timeout = HEALTHY_SECONDS,
) -> None:
    """Start the stack in the background; return when everything is healthy."""
    with _plain_errors():
        stack = Instance(instance, only or (), console)
        state = "is running" if stack.start(timeout) else "was already running and is healthy"
        console.print(
            f"The stack {state}: {stack.stack.gateway_url} ({_resident(stack) // MIB} MiB resident)"
        )


@app.command()
def down(instance: InstanceName = "default") -> None:
    """Stop the stack; keep its data."""
    with _plain_errors():
        stopped = Instance(instance, console=console).stop()
        console.print("The stack is stopped." if stopped else "The stack was not running.")


@app.command()
def run(
    instance: InstanceName = "default",
    only: Only = None,
    timeout: Timeout = HEALTHY_SECONDS,
) -> None:
    """Start the stack, load the sample, and stay until Ctrl-C."""
    with _plain_errors(), _stopped_by_signal() as stopped:
        stack = Instance(instance, only or (), console)
        if stack.supervisor.running():
            raise LocalStackError(
                "the stack is already running: use it, or stop it first with `make down`"
            )
        try:
            stack.start(timeout)
            if services.GATEWAY in stack.stack.programs:
                sample.load_if_new(stack.stack.gateway_url, console)
            _greet(stack.stack)
            _watch(stack, stopped)
        except _StopRequestedError:
            console.print("Stopping.")
        finally:
            if stack.stop():
                console.print("The stack is stopped; its data is kept.")


@app.command()
def status(instance: InstanceName = "default") -> None:
    """Show the state, memory and health of each process."""
    with _plain_errors():
        stack = Instance(instance, console=console)
        if not stack.supervisor.running():
            raise LocalStackError("the stack is not running: start it with `make up`")
        problems = stack.problems()
        table = Table("program", "state", "pid", "MiB", "health")
        for state in stack.states():
            memory = processes.resident_bytes(state.pid) if state.pid else 0
            health = problems[state.name] or "healthy"
            table.add_row(state.name, state.state, str(state.pid or ""), str(memory // MIB), health)
        table.add_section()
        table.add_row("all", "", "", str(_resident(stack) // MIB), "")
        Console().print(table)
        if any(problems.values()):
            raise typer.Exit(1)


@app.command()
def env(instance: InstanceName = "default") -> None:
    """Print the environment that connects a service or a test to the running stack."""
    with _plain_errors():
        stack = Instance(instance, console=console)
        for name, value in services.everything(stack.stack, stack.paths.spool).items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")


class _StopRequestedError(Exception):
    """A signal asks the foreground stack to stop."""


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except LocalStackError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        raise typer.Exit(1) from None


@contextmanager
def _stopped_by_signal() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C, SIGTERM or SIGHUP into `_StopRequestedError`; ignore further ones."""
    stopped = threading.Event()

    def stop(_number: int, _frame: FrameType | None) -> None:
        if not stopped.is_set():
            stopped.set()
            raise _StopRequestedError

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _watch(stack: Instance, stopped: threading.Event) -> None:
    """Report restarts of programs until `_StopRequestedError` is raised."""
    known = {state.name: state.pid for state in stack.states()}
    while not stopped.wait(1.0):
        if not stack.supervisor.running():
            raise LocalStackError(f"the process manager has ended: see {stack.supervisor.log}")
        for state in stack.states():
            if state.pid not in (0, known[state.name]):
                console.print(f"{state.name} exited and was restarted: {stack.log(state.name)}")
                known[state.name] = state.pid


def _greet(stack: Stack) -> None:
    url = stack.gateway_url
    console.print(
        f"\nOpen {url}\n\nTry:\n"
        f"  curl -F datasource_name=mine -F file=@your.csv {url}/api/ingest/upload\n"
        f"  .venv/bin/grpcurl -plaintext {stack.addresses['status']} list\n"
        f"  curl -H 'Content-Type: application/json' -d "
        f'\'{{"sql": "{sample.COUNT}"}}\' {url}/api/query\n\n'
        "Ctrl-C stops everything and keeps the data.",
        markup=False,
        highlight=False,
    )


def _resident(stack: Instance) -> int:
    return sum(processes.resident_bytes(state.pid) for state in stack.states() if state.pid)
