"""Downloads Druid's jars into the cache with jgo, in parallel, and verifies each by its SHA-256."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests
from jgo.maven import MavenContext, PythonResolver

from local.druid.jars import Jar, sha256_of
from local.errors import LocalStackError

PARALLEL = 16
"""Concurrent downloads. Most jars are small, so a single stream would mostly wait."""

ROUNDS = 4
"""Download attempts per jar."""

Advance = Callable[[int], None]
"""Receives the number of downloaded bytes; negative if a broken download is discarded."""


def missing(jars: Sequence[Jar], repository: Path) -> list[Jar]:
    """Return the jars that are not in `repository` in full size.

    Jars are verified before they get there. Checking the size finds files that were truncated
    later, without reading 180 MB at each start.
    """
    return [jar for jar in jars if not _has_size(jar.path_in(repository), jar.size)]


def fetch(jars: Sequence[Jar], repository: Path, incoming: Path, advance: Advance) -> None:
    """Download `jars` into `repository`, through the scratch folder `incoming`.

    Raises:
        LocalStackError: a jar cannot be downloaded, or does not match the lock file.

    """
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True)
    waiting = list(jars)
    problems: dict[str, str] = {}
    for _ in range(ROUNDS):
        with ThreadPoolExecutor(PARALLEL) as pool:
            answers = pool.map(lambda jar: _fetch_one(jar, repository, incoming, advance), waiting)
            problems = {
                jar.coordinate: problem
                for jar, problem in zip(waiting, answers, strict=True)
                if problem is not None
            }
        waiting = [jar for jar in waiting if jar.coordinate in problems]
        if not waiting:
            break
    shutil.rmtree(incoming)
    if problems:
        coordinate, problem = next(iter(problems.items()))
        raise LocalStackError(
            f"{len(problems)} of Druid's jars could not be downloaded; the first is {coordinate}: "
            f"{problem}. Check the network and repeat the command; complete downloads are kept."
        )


def _fetch_one(jar: Jar, repository: Path, incoming: Path, advance: Advance) -> str | None:
    """Download one jar; return what went wrong, or None."""
    received = 0

    @contextmanager
    def track(_name: str, _total: int) -> Iterator[Advance]:
        def add(count: int) -> None:
            nonlocal received
            received += count
            advance(count)

        yield add

    partial = jar.path_in(incoming)
    # jgo treats any existing file as complete, even one that a broken download left.
    partial.unlink(missing_ok=True)
    context = MavenContext(
        resolver=PythonResolver(progress_callback=track), repo_cache=incoming, timeout=30
    )
    group, artifact, version, *classifier = jar.coordinate.split(":")
    component = context.project(group, artifact).at_version(version).artifact(*classifier)
    try:
        path = component.resolve()
    except (requests.RequestException, RuntimeError, OSError) as error:
        advance(-received)
        return f"{type(error).__name__}: {error}"
    found = sha256_of(path)
    if found != jar.sha256:
        advance(-received)
        return f"its sha256 is {found}, not {jar.sha256} as in the lock file"
    target = jar.path_in(repository)
    target.parent.mkdir(parents=True, exist_ok=True)
    path.replace(target)
    advance(jar.size - received)
    return None


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
