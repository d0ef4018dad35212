"""The files of the stack.

The instance `default` is in `.local/`, the others are in `.local/NAME/`. They share the caches
(Druid's jars and the archive of their classes) in `.local/cache/`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""The root folder of the project, which contains `local/`."""


@dataclass(frozen=True)
class InstancePaths:
    """The folders and files of one instance. Does not create them."""

    root: Path

    @classmethod
    def of(cls, instance: str, project: Path = PROJECT) -> InstancePaths:
        """Return the paths of the instance called `instance` below `project`."""
        base = project / ".local"
        return cls(base if instance == "default" else base / instance)

    @property
    def logs(self) -> Path:
        """One log file per program and one of the process manager."""
        return self.root / "logs"

    @property
    def data(self) -> Path:
        """Data that survives a stop: the database, the objects, Druid's segments and metadata."""
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
        """Passwords and keys, generated once, mode 0600."""
        return self.root / "credentials.json"

    @property
    def stack(self) -> Path:
        """Addresses and settings of the running stack, mode 0600; absent when stopped."""
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
        """Downloaded jars that are not verified yet."""
        return self.root / "incoming"

    @property
    def classes(self) -> Path:
        """Archives of loaded Java classes, one per Java runtime and class path."""
        return self.root / "classes"

    @property
    def lock(self) -> Path:
        """Held while the caches are filled."""
        return self.root / "cache.lock"


def write_private(path: Path, text: str) -> None:
    """Replace the file at `path` atomically with `text`, readable only by its owner."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    partial.replace(path)
