"""Folders on the local disk for reading files and writing parts."""

import errno
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason

_PREFIX = "validation-"
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Spool:
    """The folder of this process within SPOOL_DIR.

    Removes the folders of killed processes at start.
    """

    def __init__(self, folder: Path, bytes_per_job: int) -> None:
        self.bytes_per_job = bytes_per_job
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        self._own = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
        self._closing = ExitStack()
        lock = self._closing.enter_context((self._own / "lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)

    def close(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self._own, ignore_errors=True)
        self._closing.close()

    @contextmanager
    def job(self) -> Iterator[Path]:
        """A temporary folder for one file.

        Raises:
            SluiceError: VALIDATION_DISK_FULL.
        """
        with _translating_errors():
            folder = Path(tempfile.mkdtemp(prefix="job-", dir=self._own))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_all(file: IO[bytes], data: bytes) -> None:
    """Writes all data to an unbuffered file.

    On a nearly full disk, a single write succeeds with fewer bytes.

    Raises:
        SluiceError: VALIDATION_DISK_FULL.
    """
    view = memoryview(data)
    with _translating_errors():
        while view:
            view = view[file.write(view) :]


def is_disk_full(failure: Exception) -> bool:
    """Whether a write failed because the disk is full. Polars has no errno, only the text."""
    return isinstance(failure, OSError) and (
        failure.errno in _FULL or any(os.strerror(number) in str(failure) for number in _FULL)
    )


def disk_full() -> errors.SluiceError:
    """The error for users."""
    return errors.error(
        ErrorReason.ERROR_REASON_VALIDATION_DISK_FULL, "The disk of the validation service is full."
    )


@contextmanager
def _translating_errors() -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        if not is_disk_full(failure):
            raise
        raise disk_full() from failure


def used_bytes(folder: Path) -> int:
    """Bytes in all files below `folder`, without files that disappear meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _remove_abandoned(folder: Path) -> None:
    """Removes the folders whose processes no longer hold their locks."""
    for left in folder.glob(f"{_PREFIX}*"):
        try:
            with (left / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError):
            continue
