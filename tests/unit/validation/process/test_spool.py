"""A full disk, simulated by /dev/full: every write fails with ENOSPC."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import SluiceError
from services.validation.process.child import Job
from services.validation.process.children import Children
from services.validation.process.spool import Spool, is_disk_full, write_all
from sluice.validation.v1.validation_pb2 import ValidateObjectRequest
from tests.unit.validation.examining import LENIENT, LIMITS, TASK_ID

CODE = "VALIDATION_DISK_FULL"


class Short:
    """An unbuffered file that accepts 3 bytes per write."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: memoryview) -> int:
        self.written += data[:3]
        return len(data[:3])


def test_a_partial_write_is_continued() -> None:
    file: Any = Short()
    write_all(file, b"12345678")
    assert file.written == b"12345678"


def test_a_full_disk_is_an_error() -> None:
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(SluiceError) as caught:
        write_all(file, b"1")
    assert caught.value.code == CODE


def test_no_space_for_a_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spool = Spool(tmp_path, 1)
    monkeypatch.setattr("tempfile.mkdtemp", full)
    with pytest.raises(SluiceError) as caught, spool.job():
        pass
    spool.close()
    assert caught.value.code == CODE


@pytest.mark.parametrize(
    ("failure", "full"),
    [
        (OSError(errno.EDQUOT, "of a user"), True),
        (OSError("No space left on device (os error 28)"), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (ValueError("No space left on device"), False),
    ],
)
def test_which_errors_mean_a_full_disk(failure: Exception, full: bool) -> None:
    assert is_disk_full(failure) is full


async def test_a_child_on_a_full_disk_fails_and_the_next_file_is_read(tmp_path: Path) -> None:
    source, full, roomy = tmp_path / "source", tmp_path / "full", tmp_path / "roomy"
    source.write_bytes(b"order date,units\n2024-01-02,3\n")
    full.mkdir()
    roomy.mkdir()
    (full / "rejects.csv").symlink_to("/dev/full")
    children = Children(1024**3)
    await children.start()

    async def examine(folder: Path) -> object:
        request = ValidateObjectRequest(
            task_id=TASK_ID, filename="a.csv", file_size=source.stat().st_size, policy=LENIENT
        )
        steps = [
            step
            async for step in children.examine(
                Job(request, source, folder, LIMITS, memory_bytes=1024**3, timeout_s=60)
            )
        ]
        return steps[-1]

    try:
        with pytest.raises(SluiceError) as caught:
            await examine(full)
        assert caught.value.code == CODE
        assert await examine(roomy)
    finally:
        await children.stop()
