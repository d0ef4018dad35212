"""The processes of one instance, found by an environment variable."""

from __future__ import annotations

import signal
from pathlib import Path

import psutil

from local.supervision.supervisor import MARKER


def of_instance(root: Path) -> list[psutil.Process]:
    """Return all running processes of the instance at `root`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARKER) == str(root) and _alive(process):
                found.append(process)
        except (psutil.Error, OSError):
            # It ended, or belongs to another user.
            continue
    return found


def end_all(root: Path, seconds: float) -> list[str]:
    """End the remaining processes, with SIGKILL after `seconds`; return their names."""
    remaining = of_instance(root)
    names = [_name(process) for process in remaining]
    for process in remaining:
        _send(process, signal.SIGTERM)
    _, remaining = psutil.wait_procs(remaining, timeout=seconds)
    for process in remaining:
        _send(process, signal.SIGKILL)
    psutil.wait_procs(remaining, timeout=seconds)
    return names


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of process `pid` and its descendants; 0 if it has ended.

    Shared memory counts for each process.
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
        return
