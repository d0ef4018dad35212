"""`python -m bench NAME`: one measurement. Starts its own stack unless the named instance is up already."""

from typing import Annotated

import typer

from bench import drain, ingest, memory, status, upload

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)

Pairs = Annotated[int, typer.Option(help="Runs of each contender, in turn.", min=1)]
InstanceName = Annotated[str, typer.Option("--instance", help="The stack to measure: bench, default or test.")]


@app.command("memory")
def memory_command(pairs: Pairs = 3, big_mib: int = 300, instance: InstanceName = "bench") -> None:
    """Peak memory of gateway and upload: a big upload against one of 5 MiB."""
    memory.main(pairs, big_mib, instance)


@app.command("ingest")
def ingest_command(pairs: Pairs = 3, rows: int = 2_300_000, month: bool = False, instance: InstanceName = "bench") -> None:
    """Loading 2.3 M rows: Sluice against the seed's spec on the raw file."""
    ingest.main(pairs, rows, instance, month)


@app.command("status")
def status_command(pairs: Pairs = 5, rounds: int = 10, size_mib: int = 466, instance: InstanceName = "bench") -> None:
    """Live events to 500 watchers, a reconnect storm of 2,000, and polling while a file is uploaded."""
    status.main(pairs, rounds, size_mib, instance)


@app.command("drain")
def drain_command(tasks: int = 1000, away_s: float = 300, seed: int = 1, instance: InstanceName = "bench") -> None:
    """Small tasks that are queued while Druid is away, and how they get through afterwards."""
    drain.main(tasks, away_s, seed, instance)


@app.command("upload")
def upload_command(
    pairs: Pairs = 3,
    size_mib: int = 466,
    only: Annotated[list[str] | None, typer.Option(help="These parts alone: doors, memory, paced, resume, slow. Repeatable.")] = None,
    instance: InstanceName = "bench",
) -> None:
    """Taking a file in by each door: throughput, CPU and memory against the object store itself, broken and slow lines."""
    upload.main(pairs, size_mib, instance, only or [])


if __name__ == "__main__":
    app()
