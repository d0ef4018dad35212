"""How much memory the service has, and how much of it reading one file may take."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

MIB = 1024**2
BASE_BYTES = 768 * MIB
"""For the service itself, the child that waits for a file, temporary files in memory, and what
children take between two looks at them."""
LEAST_BYTES = 128 * MIB
"""Memory without which no file can be read."""
ROOMY_BYTES = 512 * MIB
"""Rather than less for each, fewer files are read at once."""

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUP = Path("/proc/self/cgroup")


class MemoryTooSmallError(ValueError):
    """No file could be read in it."""


@dataclass(frozen=True)
class Memory:
    """What was shared out: `children` of `child_bytes`, `inspections` of `inspection_bytes` and
    BASE_BYTES are no more than the total, and so are BASE_BYTES and `alone_bytes`."""

    children: int
    """Files that are read at once."""
    inspections: int
    """Files that are read at once while they are uploaded."""
    child_bytes: int
    """For a file that is read beside others."""
    inspection_bytes: int
    """For a file as long as it is being uploaded."""
    alone_bytes: int
    """For a file that is read while no other is."""


def share_out(
    total: int,
    children: int,
    inspections: int,
    child_bytes: int,
    inspection_bytes: int,
) -> Memory:
    """Shares `total` bytes out. The others are upper bounds; where there is too little for all,
    files get less of it, and then fewer are read at once: first of those that are being uploaded.

    Raises:
        MemoryTooSmallError: less than BASE_BYTES and LEAST_BYTES.
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
    """Bytes of memory of this container, by its control group; without one, of the machine."""
    return min([psutil.virtual_memory().total, *_limits(groups, own_group)])


def _limits(groups: Path, own_group: Path) -> Iterator[int]:
    """All limits that hold for this process: of its group and of those around it."""
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
        # In a container the path may be that of the host, whose groups cannot be seen here.
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
