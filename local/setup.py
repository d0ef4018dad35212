"""Fills the shared caches: Druid's jars and the archive of their classes."""

from __future__ import annotations

import os

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from local.druid import classes, fetch
from local.druid.jars import DRUID_VERSION, Jar, read_lock
from local.filelock import exclusive
from local.paths import CachePaths


def fill_caches(cache: CachePaths, console: Console) -> None:
    """Download the missing jars and create the missing archive.

    Raises:
        LocalStackError: a download or the archiving failed.

    """
    jars = read_lock()
    with exclusive(cache.lock):
        missing = fetch.missing(jars, cache.jars)
        if missing:
            _download(missing, cache, console)
        recording = classes.RECORD_VARIABLE in os.environ
        if not recording and not classes.archive(jars, cache).exists():
            with console.status("Archiving Druid's classes for faster starts (once)"):
                classes.create_archive(jars, cache)
            console.print("Archived Druid's classes")


def _download(jars: list[Jar], cache: CachePaths, console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(
            f"Druid {DRUID_VERSION}, {len(jars)} jars", total=sum(jar.size for jar in jars)
        )
        fetch.fetch(jars, cache.jars, cache.incoming, lambda count: progress.advance(task, count))
