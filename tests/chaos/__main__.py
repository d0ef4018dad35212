"""`python -m tests.chaos`: whatever is killed or cut, every accepted upload ends in one true state.
The last line is JSON.

`calls` fails each call of each stage between fakes; `cells` disrupts the queue on a real
PostgreSQL; `runs` disrupts the whole stack.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated

import typer

from bench.support.harness import conclude, table
from local.instance import Instance
from tests.chaos import plan
from tests.chaos.cells import CELLS, run_cells
from tests.chaos.runs import Run, figures, run, site
from tests.unit.calls.stages import run_all

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__
)

InstanceName = Annotated[
    str, typer.Option("--instance", help="The stack to use: test, default or bench.")
]


@app.command("calls")
def calls_command() -> None:
    """Fail every call of every stage once, in five ways."""
    outcomes = asyncio.run(run_all())
    untruthful = [each for outcome in outcomes.values() for each in outcome.untruthful]
    table(
        "Failed calls",
        ["stage", "cases", "untruthful"],
        [(n, o.cases, len(o.untruthful)) for n, o in outcomes.items()],
    )
    for each in untruthful:
        print(f"UNTRUTHFUL {each}")
    conclude(
        cases=sum(outcome.cases for outcome in outcomes.values()),
        untruthful=len(untruthful),
        stages=len(outcomes),
    )
    sys.exit(bool(untruthful))


@app.command("cells")
def cells_command(jobs: int = 900, instance: InstanceName = "test") -> None:
    """Run the five cells of a published comparison of queue libraries."""
    results = asyncio.run(run_cells(instance, jobs))
    columns = ["cell", "jobs", "lost", "doubled", "recovery_s", "rate_before", "rate_after"]
    rows = [
        (r.name, r.jobs, r.lost, r.doubled, r.recovery_s, r.rate_before, r.rate_after)
        for r in results
    ]
    table("Cells", columns, rows)
    recovered = [result for result in results if result.recovered]
    conclude(
        cells_recovered=len(recovered),
        lost=sum(result.lost for result in results),
        doubled=sum(result.doubled for result in results),
        rate_ratio=sum(result.rate_after for result in results)
        / sum(result.rate_before for result in results),
        recovery_max_s=max(result.recovery_s for result in results),
        jobs=sum(result.jobs for result in results),
    )
    sys.exit(len(recovered) != len(CELLS))


@app.command("runs")
def runs_command(
    runs: int = 5, seed: int | None = None, instance: InstanceName = "test", short: bool = False
) -> None:
    """Kill, freeze, cut and restart everything during uploads. Run n uses seed + n - 1, so that a
    failing run can be repeated alone.
    """
    first = seed if seed is not None else int(time.time())
    print(f"seed {first}", flush=True)
    done: list[Run] = []
    # An early stop still prints the figures of the complete runs and ends all processes.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        asyncio.run(_run_all(instance, range(first, first + runs), short, done))
    conclude(**figures(done))
    sys.exit(any(each.verdict.findings for each in done))


async def _run_all(instance_name: str, seeds: Iterable[int], short: bool, done: list[Run]) -> None:
    instance = Instance(instance_name, only=["stores"])
    fresh = await asyncio.to_thread(instance.start)
    try:
        async with site(instance) as place:
            for seed in seeds:
                print("\n".join(plan.make(seed, short).lines()), flush=True)
                done.append(await run(place, seed, short))
                _print(done[-1])
    finally:
        if fresh:
            await asyncio.to_thread(instance.stop)


def _print(done: Run) -> None:
    for each in done.sent if done.verdict.findings else ():
        print(
            f"  upload {each.upload.number}: accepted {each.accepted}, rejected {each.rejection!r}"
        )
    for finding in done.verdict.findings:
        print(f"  FOUND {finding}")
    hit = done.recovery
    print(
        f"seed {done.plan.seed}: {len(done.plan.faults)} faults, {dict(done.verdict.ends)}; {hit.fault.action} of {hit.fault.target}: "
        f"answers after {hit.service_s:.2f} s, its {hit.tasks} tasks resume after {hit.task_s:.2f} s",
        flush=True,
    )


if __name__ == "__main__":
    app()
