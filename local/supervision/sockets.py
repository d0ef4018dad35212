"""The folder of an instance's Unix sockets, whose paths must be short."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from local.errors import LocalStackError

# The path of a socket is limited to 108 bytes on Linux and 104 elsewhere, including the final zero.
# The longest file name used here has 15 bytes.
_FOLDER_MAX_BYTES = 85


def folder(root: Path) -> Path:
    """Return `root` if its path is short enough, else a temporary folder for its sockets.

    Raises:
        LocalStackError: the paths of the temporary folders are too long.

    """
    identity = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    name = f"sluice-{os.getuid()}-{identity}"
    for candidate in (root, Path(tempfile.gettempdir(), name), Path("/tmp", name)):  # noqa: S108
        if len(os.fsencode(candidate)) <= _FOLDER_MAX_BYTES:
            return candidate
    raise LocalStackError("no folder with a path short enough for a socket: set TMPDIR to one")


def make_folder(root: Path) -> None:
    """Create the folder. A temporary folder must be private.

    Raises:
        LocalStackError: other users can access it.

    """
    path = folder(root)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    status = path.lstat()
    if path != root and (status.st_uid != os.getuid() or status.st_mode & 0o077):
        raise LocalStackError(f"another user can access {path}: delete it, or set TMPDIR")


def remove_folder(root: Path) -> None:
    """Delete a temporary folder with the sockets that killed programs left."""
    path = folder(root)
    if path == root or not path.exists():
        return
    for socket in path.iterdir():
        socket.unlink()
    path.rmdir()
