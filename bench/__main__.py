"""`python -m bench NAME`: run one benchmark. Starts the stack unless it is already running."""

from typing import Annotated

import typer

from bench import (
    backlog,
    drain,
    false_done,
    hard_files,
    ingest,
    memory,
    page,
    query,
    status,
    upload,
    validate,
)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)

Pairs = Annotated[int, typer.Option(help="Runs of each contender, interleaved.", min=1)]
InstanceName = Annotated[
    str, typer.Option("--instance", help="The stack to measure: bench, default or test.")
]


@app.command("memory")
def memory_command(pairs: Pairs = 3, big_mib: int = 300, instance: InstanceName = "bench") -> None:
    """Peak memory of gateway and upload: a big upload compared with one of 5 MiB."""
    memory.main(pairs, big_mib, instance)


@app.command("backlog")
def backlog_command(
    pairs: Pairs = 9,
    claims: Annotated[int, typer.Option(help="Claims of each contender in a pair.", min=1)] = 200,
    instance: InstanceName = "bench",
) -> None:
    """A claim with 10,000 loads of one datasource waiting against one with 10."""
    backlog.main(pairs, claims, instance)


@app.command("ingest")
def ingest_command(
    pairs: Pairs = 3,
    rows: int = 2_300_000,
    rounds: Annotated[
        int, typer.Option(help="Small files of each contender, interleaved.", min=1)
    ] = 20,
    month: bool = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these parts: seed, small, beside. Repeatable.")
    ] = None,
    instance: InstanceName = "bench",
) -> None:
    """Load 2.3 M rows, compared with the seed's spec on the raw file; load 1,000 rows, compared
    with a bare client.
    """
    ingest.main(pairs, rows, rounds, only or ["small", "beside", "seed"], instance, month)


@app.command("false_done")
def false_done_command(loads: int = 1000, seed: int = 1, instance: InstanceName = "bench") -> None:
    """Load small files, 8 concurrently; an independent client counts each once it SUCCEEDED."""
    false_done.main(loads, seed, instance)


@app.command("query")
def query_command(rows: int = 1_000_000, instance: InstanceName = "bench") -> None:
    """Memory of gateway and druid_gateway while a query streams a million rows."""
    query.main(rows, instance)


@app.command("page")
def page_command(
    runs: Annotated[
        int, typer.Option(help="First loads, each in a fresh browser context.", min=1)
    ] = 5,
    rows: Annotated[
        int,
        typer.Option(
            help="Rows of the scrolled result: 1000, 10000 or 100000, as the page offers."
        ),
    ] = 100_000,
    size_mib: int = 466,
    only: Annotated[
        list[str] | None, typer.Option(help="Only these parts: first, scroll, drop. Repeatable.")
    ] = None,
    instance: InstanceName = "bench",
) -> None:
    """The page in Chromium: first load, scrolling a long result, memory of the tab during a large
    upload.
    """
    page.main(runs, rows, size_mib, only or list(page.PARTS), instance)


@app.command("status")
def status_command(
    pairs: Pairs = 5, rounds: int = 10, size_mib: int = 466, instance: InstanceName = "bench"
) -> None:
    """Latency of events to 500 watchers, a reconnect storm of 2,000, and polling during uploads."""
    status.main(pairs, rounds, size_mib, instance)


@app.command("drain")
def drain_command(
    tasks: int = 1000, away_s: float = 300, seed: int = 1, instance: InstanceName = "bench"
) -> None:
    """Queue small tasks during a Druid outage, and measure how they are processed afterwards."""
    drain.main(tasks, away_s, seed, instance)


@app.command("upload")
def upload_command(
    pairs: Pairs = 3,
    size_mib: int = 466,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these parts: interfaces, memory, seed, paced, tee, resume, slow. Repeatable."
        ),
    ] = None,
    instance: InstanceName = "bench",
) -> None:
    """Upload through each interface: throughput, CPU and memory compared with the object store
    itself; broken and slow connections.
    """
    upload.main(pairs, size_mib, instance, only or [])


@app.command("hard_files")
def hard_files_command(
    with_pollock: Annotated[
        bool, typer.Option("--pollock/--no-pollock", help="Score the Pollock CSV files.")
    ] = True,
    with_hostile: Annotated[
        bool,
        typer.Option(
            "--hostile/--no-hostile", help="Generate and read files meant to break a reader."
        ),
    ] = True,
) -> None:
    """Read real, polluted and hostile files. Needs no stack."""
    hard_files.main(with_pollock, with_hostile)


@app.command("validate")
def validate_command(
    pairs: Pairs = 3,
    rows: int = 5_440_000,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only these parts: report, early, workbook, upload. Repeatable."),
    ] = None,
    instance: InstanceName = "bench",
) -> None:
    """Validate a CSV of 466 MiB, a damaged copy and a small file, compared with DuckDB's SUMMARIZE;
    validate during the upload; a workbook; the report of a real upload, which needs a stack.
    """
    validate.main(pairs, rows, only or [], instance)


if __name__ == "__main__":
    app()
