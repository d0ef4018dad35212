"""Memory of the service, and its shares for reading files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 1024**2
BASE_BYTES = 768 * MIB
"""For the service itself, the idle child, temporary files in memory, and what children allocate
between two checks.
"""
LEAST_BYTES = 128 * MIB
"""Memory that reading a file needs at least."""
ROOMY_BYTES = 512 * MIB
"""Below this memory per file, fewer files are read concurrently."""

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


class MemoryTooSmallError(ValueError):
    """The memory is too small to read a file."""


@dataclass(frozen=True)
class Memory:
    """Shares of the memory.

    BASE_BYTES + children * child_bytes + inspections * inspection_bytes is at most the total, as is
    BASE_BYTES + alone_bytes.
    """

    children: int
    """Files that are read concurrently."""
    inspections: int
    """Files that are read concurrently during their upload."""
    child_bytes: int
    """For a file that is read while others are."""
    inspection_bytes: int
    """For a file during its upload."""
    alone_bytes: int
    """For a file that is read alone."""


def share_out(
    total: int,
    children: int,
    inspections: int,
    child_bytes: int,
    inspection_bytes: int,
) -> Memory:
    """Shares out `total` bytes. The other arguments are upper limits.

    If the memory is too small for them, first each file gets less, then fewer files are read during
    their upload, then fewer files are read at all.

    Raises:
        MemoryTooSmallError: `total` is less than BASE_BYTES + LEAST_BYTES.
    """
    free = total - BASE_BYTES
    if free < LEAST_BYTES:
        least = (BASE_BYTES + LEAST_BYTES) // MIB
        message = f"MEMORY_MAX_BYTES, or the container's limit, is {total // MIB:,} MiB; "
        raise MemoryTooSmallError(f"{message}at least {least:,} MiB are required to read a file.")
    roomy = min(ROOMY_BYTES, child_bytes)
    inspection_bytes = min(inspection_bytes, child_bytes)
    while inspections and (free - inspections * inspection_bytes) // children < roomy:
        inspections -= 1
    while children > 1 and free // children < roomy:
        children -= 1
    share = (free - inspections * inspection_bytes) // children
    return Memory(
        children,
        inspections,
        min(child_bytes, share),
        inspection_bytes,
        min(child_bytes, free),
    )


def available(groups: Path = _GROUPS, own_group: Path = _OWN_GROUP) -> int:
    """Memory limit of this container by its control group, or the memory of the machine."""
    return min([psutil.virtual_memory().total, *_limits(groups, own_group)])


def _limits(groups: Path, own_group: Path) -> Iterator[int]:
    """All memory limits of this process: of its control group and the parents of that."""
    try:
        lines = own_group.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base = groups / "memory" if controllers else groups
        name = "memory.limit_in_bytes" if controllers else "memory.max"
        # In a container, the path may be of the host, whose groups are not visible.
        folder = base / path.lstrip("/")
        for each in [folder, *folder.parents]:
            if each.is_relative_to(base):
                yield from _limit(each / name)


def _limit(path: Path) -> Iterator[int]:
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return
    if text.isdigit():
        yield int(text)
