"""How live the status is: events to those who follow, 2,000 followers and their return, and polling
beside an upload.
"""

import asyncio

import uvloop

from bench.parts import events, polling
from bench.support import harness
from bench.support.stack import running

PROGRAMS = ("postgres", "s3", "status", "upload", "validation")
"""The gateway is one of ours, as the stack's is healthy only with Druid, which is not needed
here.
"""


def main(pairs: int, rounds: int, size_mib: int, instance: str) -> None:
    """Prints the tables and the line with event_latency_p99_ms, watchers_held,
    storm_missed_terminal, status_p99_ms and ratio_bare.
    """
    with (
        running(instance, *PROGRAMS) as stack,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):

        async def measure() -> tuple[dict[str, object], ...]:
            async with events.edge(stack) as edge:
                live = await events.latency(edge, rounds)
            async with events.edge(stack) as edge:
                storm = await events.storm(edge)
            return live, storm, await polling.figures(stack, pairs, size_mib)

        found = runner.run(measure())
    for title, figures in zip(
        ("Events", "2,000 watchers", "Polling beside an upload"), found, strict=True
    ):
        harness.table(title, ["figure", "value"], figures.items())
    harness.conclude(
        bench="status", **{name: value for figures in found for name, value in figures.items()}
    )
