"""Where the stack keeps its files.

`default` lives directly in `.local/`, every other instance in `.local/NAME/`; the caches (the
jars of Druid and the archive of their classes) exist once, in `.local/cache/`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""The root of the project: the folder that holds `local/`."""


@dataclass(frozen=True)
class InstancePaths:
    """The folders and files of one instance; nothing is created by asking for them."""

    root: Path

    @classmethod
    def of(cls, instance: str, project: Path = PROJECT) -> InstancePaths:
        """Return the paths of the instance called `instance` below `project`."""
        base = project / ".local"
        return cls(base if instance == "default" else base / instance)

    @property
    def logs(self) -> Path:
        """One file per program, and the process manager's own."""
        return self.root / "logs"

    @property
    def data(self) -> Path:
        """What survives a stop: the database, the objects, Druid's segments and metadata."""
        return self.root / "data"

    @property
    def config(self) -> Path:
        """Files generated at each start."""
        return self.root / "config"

    @property
    def spool(self) -> Path:
        """Bounded scratch space of the validation service."""
        return self.root / "spool"

    @property
    def credentials(self) -> Path:
        """Generated passwords and keys, mode 0600, made once."""
        return self.root / "credentials.json"

    @property
    def stack(self) -> Path:
        """Addresses and settings of the running stack, mode 0600; absent when it is down."""
        return self.root / "stack.json"

    @property
    def lock(self) -> Path:
        """Held while the instance is set up, started or stopped."""
        return self.root / "instance.lock"


@dataclass(frozen=True)
class CachePaths:
    """Files shared by all instances."""

    root: Path

    @classmethod
    def of(cls, project: Path = PROJECT) -> CachePaths:
        """Return the paths of the caches below `project`."""
        return cls(project / ".local" / "cache")

    @property
    def jars(self) -> Path:
        """Druid's jars, laid out as a Maven repository."""
        return self.root / "druid-jars"

    @property
    def incoming(self) -> Path:
        """Jars that are being downloaded and were not checked yet."""
        return self.root / "incoming"

    @property
    def classes(self) -> Path:
        """Archives of loaded Java classes, one per Java runtime and class path."""
        return self.root / "classes"

    @property
    def lock(self) -> Path:
        """Held while a cache is filled."""
        return self.root / "cache.lock"


def write_private(path: Path, text: str) -> None:
    """Write `text` to `path`, readable by its owner alone, replacing the file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
