"""`python -m bench NAME`: one measurement. Starts its own stack unless the named instance is up
already.
"""

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

Pairs = Annotated[int, typer.Option(help="Runs of each contender, in turn.", min=1)]
InstanceName = Annotated[
    str, typer.Option("--instance", help="The stack to measure: bench, default or test.")
]


@app.command("memory")
def memory_command(pairs: Pairs = 3, big_mib: int = 300, instance: InstanceName = "bench") -> None:
    """Peak memory of gateway and upload: a big upload against one of 5 MiB."""
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
        int, typer.Option(help="Small files of each contender, in turn.", min=1)
    ] = 20,
    month: bool = False,
    only: Annotated[
        list[str] | None, typer.Option(help="These parts alone: seed, small, beside. Repeatable.")
    ] = None,
    instance: InstanceName = "bench",
) -> None:
    """Loading 2.3 M rows against the seed's spec on the raw file, and 1,000 against a bare
    client.
    """
    ingest.main(pairs, rows, rounds, only or ["small", "beside", "seed"], instance, month)


@app.command("false_done")
def false_done_command(loads: int = 1000, seed: int = 1, instance: InstanceName = "bench") -> None:
    """Small files, 8 at a time: every SUCCEEDED one is counted at once by a foreign client."""
    false_done.main(loads, seed, instance)


@app.command("query")
def query_command(rows: int = 1_000_000, instance: InstanceName = "bench") -> None:
    """Memory of the edge and druid_gateway while a query of a million rows goes through them."""
    query.main(rows, instance)


@app.command("page")
def page_command(
    runs: Annotated[
        int, typer.Option(help="First loads, each by a browser that was never here.", min=1)
    ] = 5,
    rows: Annotated[
        int,
        typer.Option(
            help="Rows of the answer that is scrolled: 1000, 10000 or 100000, as the page offers."
        ),
    ] = 100_000,
    size_mib: int = 466,
    only: Annotated[
        list[str] | None, typer.Option(help="These parts alone: first, scroll, drop. Repeatable.")
    ] = None,
    instance: InstanceName = "bench",
) -> None:
    """The page in a Chromium: the first load, scrolling a long answer, memory of the tab that a
    large file is dropped into.
    """
    page.main(runs, rows, size_mib, only or list(page.PARTS), instance)


@app.command("status")
def status_command(
    pairs: Pairs = 5, rounds: int = 10, size_mib: int = 466, instance: InstanceName = "bench"
) -> None:
    """Live events to 500 watchers, a reconnect storm of 2,000, and polling while a file is
    uploaded.
    """
    status.main(pairs, rounds, size_mib, instance)


@app.command("drain")
def drain_command(
    tasks: int = 1000, away_s: float = 300, seed: int = 1, instance: InstanceName = "bench"
) -> None:
    """Small tasks that are queued while Druid is away, and how they get through afterwards."""
    drain.main(tasks, away_s, seed, instance)


@app.command("upload")
def upload_command(
    pairs: Pairs = 3,
    size_mib: int = 466,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="These parts alone: doors, memory, seed, paced, resume, slow. Repeatable."
        ),
    ] = None,
    instance: InstanceName = "bench",
) -> None:
    """Taking a file in by each door: throughput, CPU and memory against the object store itself,
    broken and slow lines.
    """
    upload.main(pairs, size_mib, instance, only or [])


@app.command("hard_files")
def hard_files_command(
    with_pollock: Annotated[
        bool, typer.Option("--pollock/--no-pollock", help="Score the polluted CSV files.")
    ] = True,
    with_hostile: Annotated[
        bool,
        typer.Option(
            "--hostile/--no-hostile", help="Make and read files that are meant to break a reader."
        ),
    ] = True,
) -> None:
    """How well real, polluted and hostile files are read; needs no stack."""
    hard_files.main(with_pollock, with_hostile)


@app.command("validate")
def validate_command(
    pairs: Pairs = 3,
    rows: int = 5_440_000,
    only: Annotated[
        list[str] | None,
        typer.Option(help="These parts alone: report, early, workbook, upload. Repeatable."),
    ] = None,
    instance: InstanceName = "bench",
) -> None:
    """A regular CSV of 466 MiB, its damaged twin and a small one beside DuckDB's SUMMARIZE, early
    verdicts, a workbook; a real upload's report, which alone needs a stack.
    """
    validate.main(pairs, rows, only or [], instance)


if __name__ == "__main__":
    app()
