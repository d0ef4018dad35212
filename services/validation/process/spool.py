"""Folders on the local disk in which files are read and parts are made, each with a bound on its
size.
"""

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
    """A folder of this process's own within SPOOL_DIR. What a process left there that was killed
    goes when the next one starts.
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
        """A folder for one file, which is gone afterwards.

        Raises:
            SluiceError: VALIDATION_DISK_FULL.
        """
        with _told():
            folder = Path(tempfile.mkdtemp(prefix="job-", dir=self._own))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_all(file: IO[bytes], data: bytes) -> None:
    """Writes all of it to an unbuffered file. A single write takes what a full disk still has room
    for, and calls that a success.

    Raises:
        SluiceError: VALIDATION_DISK_FULL.
    """
    view = memoryview(data)
    with _told():
        while view:
            view = view[file.write(view) :]


def is_disk_full(failure: Exception) -> bool:
    """Whether a write failed for want of room. Polars tells it in the text alone."""
    return isinstance(failure, OSError) and (
        failure.errno in _FULL or any(os.strerror(number) in str(failure) for number in _FULL)
    )


def disk_full() -> errors.SluiceError:
    """The same as users are told it."""
    return errors.error(
        ErrorReason.ERROR_REASON_VALIDATION_DISK_FULL, "The disk on which files are read is full."
    )


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        if not is_disk_full(failure):
            raise
        raise disk_full() from failure


def used_bytes(folder: Path) -> int:
    """Bytes in all files below `folder`. A file that goes meanwhile counts nothing."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def _remove_abandoned(folder: Path) -> None:
    """Removes the folders whose process no longer holds its lock."""
    for left in folder.glob(f"{_PREFIX}*"):
        try:
            with (left / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError):
            continue
