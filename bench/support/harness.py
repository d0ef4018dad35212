"""Measuring and reporting: wall time, CPU seconds, peak memory, tables and one line of JSON."""

import asyncio
import json
import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import psutil
from rich.console import Console
from rich.table import Table

MIB = 1024 * 1024
PEAK_INTERVAL_S = 0.05


@dataclass
class Sample:
    """One run of one contender."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    """CPU seconds, user and system, of the watched processes."""
    peak_rss_mib: dict[str, float] = field(default_factory=dict)
    """Highest resident memory during the run, per watched process."""


def _family(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds of the processes and their children, including ended children."""
    total = 0.0
    for pid in pids:
        for process in _family(pid):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_mib(pid: int) -> float:
    """Return the resident memory of the process, in MiB."""
    return psutil.Process(pid).memory_info().rss / MIB


def reset_peak(pid: int) -> None:
    """Reset the kernel's high-water mark of the process's resident memory to the current value."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    """Return the high-water mark of resident memory since the start or `reset_peak`, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmHWM")


async def peak_of_children(pid: int) -> float:
    """Return the peak of the children's private memory (without mapped files) in MiB, sampled until
    cancelled.
    """
    peak = 0
    with suppress(asyncio.CancelledError):
        while True:
            private = 0
            for child in psutil.Process(pid).children():
                with suppress(psutil.NoSuchProcess):
                    memory = child.memory_info()
                    private += memory.rss - memory.shared
            peak = max(peak, private)
            await asyncio.sleep(PEAK_INTERVAL_S)
    return peak / MIB


@contextmanager
def measured(processes: dict[str, int]) -> Iterator[Sample]:
    """Measure wall time of the block, and CPU and peak memory of the named processes."""
    sample = Sample()
    for pid in processes.values():
        reset_peak(pid)
    cpu, began = cpu_seconds(processes.values()), perf_counter()
    yield sample
    sample.wall_s = perf_counter() - began
    sample.cpu_s = cpu_seconds(processes.values()) - cpu
    sample.peak_rss_mib = {name: peak_mib(pid) for name, pid in processes.items()}


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return statistics.median(values)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, floats with three decimals."""
    output = Table(title=title)
    for column in columns:
        output.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        output.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=140).print(output)


def conclude(**figures: object) -> None:
    """Print the last line: one JSON object."""
    rounded = {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in figures.items()
    }
    print(json.dumps({**rounded, "cpus": os.cpu_count()}), flush=True)
