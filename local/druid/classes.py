"""An archive of the Java classes that the roles load (AppCDS), created once per machine.

All six Java processes map the same file, so they start with a fraction of the CPU and share
memory. The class names are committed in `classes.lst`; a wrong or missing name only costs some
startup time.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from local.druid.jars import Jar
from local.druid.java import COMMON, OPENED, class_path, java
from local.errors import LocalStackError
from local.paths import CachePaths

CLASS_LIST = Path(__file__).with_name("classes.lst")

RECORD_VARIABLE = "SLUICE_RECORD_CLASSES"
"""For maintainers: the folder into which each role writes its loaded classes (see `record.py`)."""


def archive(jars: Sequence[Jar], cache: CachePaths) -> Path:
    """Return the path of the archive for this Java, these jars and this list of classes."""
    identity = hashlib.sha256()
    for part in (str(java()), str(java().stat().st_mtime_ns), class_path(jars, cache.jars)):
        identity.update(part.encode() + b"\0")
    identity.update(CLASS_LIST.read_bytes())
    return cache.classes / f"druid-{identity.hexdigest()[:16]}.jsa"


def arguments(role: str, jars: Sequence[Jar], cache: CachePaths) -> list[str]:
    """Return the JVM's class sharing arguments for `role`."""
    recording = os.environ.get(RECORD_VARIABLE)
    if recording:
        return [f"-XX:DumpLoadedClassList={Path(recording) / role}.lst", "-Xshare:off"]
    # "auto": the process also starts without an archive, or with one that does not fit.
    return [f"-XX:SharedArchiveFile={archive(jars, cache)}", "-Xshare:auto", "-Xlog:cds=off"]


def create_archive(jars: Sequence[Jar], cache: CachePaths) -> None:
    """Create the archive and delete the ones it replaces.

    Raises:
        LocalStackError: Java could not create it.

    """
    target = archive(jars, cache)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    answer = subprocess.run(
        [
            str(java()),
            "-Xshare:dump",
            f"-XX:SharedClassListFile={CLASS_LIST}",
            f"-XX:SharedArchiveFile={partial}",
            "-Xlog:cds=off,cds+verification=off,cds+heap=off",
            "-Xmx1g",
            *OPENED,
            *(text for text in COMMON if not text.startswith("-D")),
            "-cp",
            class_path(jars, cache.jars),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0 or not partial.exists():
        raise LocalStackError(
            f"Java could not archive Druid's classes (exit code {answer.returncode}):\n{(answer.stdout + answer.stderr).strip()[-2000:]}"
        )
    partial.replace(target)
    for old in target.parent.glob("*.jsa"):
        if old != target:
            old.unlink()
