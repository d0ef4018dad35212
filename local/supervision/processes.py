"""The processes of one instance, found by the variable that all of them carry."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

from local.supervision.supervisor import MARKER


def of_instance(root: Path) -> list[psutil.Process]:
    """Return every living process that was started for the instance at `root`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(root) and _alive(process):
                found.append(process)
        except (psutil.Error, OSError):
            # It ended meanwhile, or belongs to somebody else: not ours to look at or to end.
            continue
    return found


def end_all(root: Path, seconds: float) -> list[str]:
    """End what is left of the instance: asked first, killed after `seconds`; return the names."""
    left = of_instance(root)
    names = [_name(process) for process in left]
    for process in left:
        _send(process, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(left, timeout=seconds)
    for process in stubborn:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=seconds)
    return names


def resident_bytes(pid: int) -> int:
    """Return the resident memory of process `pid` and its children, in bytes; 0 when it is gone.

    Memory that several processes share is counted for each of them.
    """
    total = 0
    try:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for process in family:
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def _alive(process: psutil.Process) -> bool:
    return bool(process.status() != psutil.STATUS_ZOMBIE)


def _name(process: psutil.Process) -> str:
    try:
        return f"{process.name()} ({process.pid})"
    except psutil.NoSuchProcess:
        return str(process.pid)


def _send(process: psutil.Process, signal_number: int) -> None:
    try:
        process.send_signal(signal_number)
    except psutil.NoSuchProcess:
        # It ended by itself, which is what was wanted.
        return
