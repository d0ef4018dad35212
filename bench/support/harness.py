"""How every measurement is made and told: medians, CPU seconds and peak memory beside the wall, a
table, one line of JSON.
"""

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
    """CPU seconds that the processes, their children and their ended children have used so far."""
    total = 0.0
    for pid in pids:
        for process in _family(pid):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def rss_mib(pid: int) -> float:
    """Resident memory of the process, in MiB."""
    return psutil.Process(pid).memory_info().rss / MIB


def reset_peak(pid: int) -> None:
    """Sets the kernel's high-water mark of the process's resident memory to what is resident
    now.
    """
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_mib(pid: int) -> float:
    """High-water mark of the process's resident memory since it started or since `reset_peak`, in
    MiB.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"/proc/{pid}/status has no VmHWM")


async def peak_of_children(pid: int) -> float:
    """The most memory in MiB that the running children of a process had for their own (without the
    pages of files that are mapped), until it is cancelled.
    """
    peak = 0
    with suppress(asyncio.CancelledError):
        while True:
            own = 0
            for child in psutil.Process(pid).children():
                with suppress(psutil.NoSuchProcess):
                    memory = child.memory_info()
                    own += memory.rss - memory.shared
            peak = max(peak, own)
            await asyncio.sleep(PEAK_INTERVAL_S)
    return peak / MIB


@contextmanager
def measured(processes: dict[str, int]) -> Iterator[Sample]:
    """Measures the block: its wall time, and CPU and peak memory of the named processes."""
    sample = Sample()
    for pid in processes.values():
        reset_peak(pid)
    cpu, began = cpu_seconds(processes.values()), perf_counter()
    yield sample
    sample.wall_s = perf_counter() - began
    sample.cpu_s = cpu_seconds(processes.values()) - cpu
    sample.peak_rss_mib = {name: peak_mib(pid) for name, pid in processes.items()}


def median(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(values)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; floats with three digits after the point."""
    made = Table(title=title)
    for column in columns:
        made.add_column(column, justify="left" if column == columns[0] else "right")
    for row in rows:
        made.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=140).print(made)


def conclude(**figures: object) -> None:
    """Prints the last line: one JSON object."""
    rounded = {
        key: round(value, 4) if isinstance(value, float) else value
        for key, value in figures.items()
    }
    print(json.dumps({**rounded, "cpus": os.cpu_count()}), flush=True)
