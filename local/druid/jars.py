"""The lock file of Druid's jars: coordinate, sha256 and size of each, in class path order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LOCK_FILE = Path(__file__).with_name("jars.lock")
DRUID_VERSION = "33.0.0"


@dataclass(frozen=True)
class Jar:
    """One jar: `group:artifact:version[:classifier]`, its sha256 (hex) and its size in bytes."""

    coordinate: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """The jar's name as Maven has it: `artifact-version[-classifier].jar`."""
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"

    def path_in(self, repository: Path) -> Path:
        """Return where the jar lies in a Maven repository whose root is `repository`."""
        group, artifact, version, *_ = self.coordinate.split(":")
        return repository.joinpath(*group.split("."), artifact, version, self.file_name)


def read_lock(path: Path = LOCK_FILE) -> list[Jar]:
    """Read the lock file at `path`."""
    jars = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            coordinate, sha256, size = line.split()
            jars.append(Jar(coordinate, sha256, int(size)))
    return jars


def write_lock(jars: Sequence[Jar], path: Path = LOCK_FILE) -> None:
    """Write `jars` to `path`, one a line, in their order."""
    head = "# Made by `python -m local.druid.lock`: coordinate sha256 bytes, in class path order.\n"
    lines = [f"{jar.coordinate} {jar.sha256} {jar.size}\n" for jar in jars]
    path.write_text(head + "".join(lines), encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Return the sha256 of the file at `path`, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
