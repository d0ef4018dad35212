"""Latency of events, a reconnect storm of 2,000 watchers, and polling during uploads."""

import asyncio

import uvloop

from bench.parts import events, polling
from bench.support import harness
from bench.support.stack import running

PROGRAMS = ("postgres", "s3", "status", "upload", "validation")
"""Without the stack's gateway, which is healthy only with Druid; the parts start their own."""


def main(pairs: int, rounds: int, size_mib: int, instance: str) -> None:
    """Print the tables, and the JSON line with event_latency_p99_ms, watchers_held,
    storm_missed_terminal, status_p99_ms and ratio_bare.
    """
    with (
        running(instance, *PROGRAMS) as stack,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):

        async def measure() -> tuple[dict[str, object], ...]:
            async with events.target(stack) as target:
                live = await events.latency(target, rounds)
            async with events.target(stack) as target:
                storm = await events.storm(target)
            return live, storm, await polling.figures(stack, pairs, size_mib)

        found = runner.run(measure())
    for title, figures in zip(
        ("Events", "2,000 watchers", "Polling during uploads"), found, strict=True
    ):
        harness.table(title, ["figure", "value"], figures.items())
    harness.conclude(
        bench="status", **{name: value for figures in found for name, value in figures.items()}
    )
