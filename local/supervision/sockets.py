"""Where the unix sockets of an instance lie: their paths must be short."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from local.errors import LocalStackError

# A socket's path may have 108 bytes on Linux and 104 elsewhere, with the final zero; the longest
# name used here has 15 letters.
_LONGEST_FOLDER = 85


def folder(root: Path) -> Path:
    """Return the folder for the sockets of the instance at `root`: itself, when short enough.

    Raises:
        LocalStackError: no temporary folder has a short path either.

    """
    identity = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    name = f"sluice-{os.getuid()}-{identity}"
    for candidate in (root, Path(tempfile.gettempdir(), name), Path("/tmp", name)):  # noqa: S108
        if len(os.fsencode(candidate)) <= _LONGEST_FOLDER:
            return candidate
    raise LocalStackError("no folder with a path short enough for a socket: set TMPDIR to one")


def make_folder(root: Path) -> None:
    """Make the folder; one outside the instance must be ours alone.

    Raises:
        LocalStackError: somebody else has made it.

    """
    made = folder(root)
    made.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = made.lstat()
    if made != root and (status.st_uid != os.getuid() or status.st_mode & 0o077):
        raise LocalStackError(f"{made} is open to another user: remove it, or set TMPDIR")


def remove_folder(root: Path) -> None:
    """Remove a folder outside the instance, with what killed programs left in it."""
    made = folder(root)
    if made == root or not made.exists():
        return
    for left in made.iterdir():
        left.unlink()
    made.rmdir()
