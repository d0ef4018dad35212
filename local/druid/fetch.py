"""Fills the cache of Druid's jars: parallel download with jgo, each jar checked by sha256."""

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
"""Downloads at once: most jars are small, so waiting for answers bounds one stream."""

ROUNDS = 4
"""How often a jar is asked for before the set-up gives up."""

Advance = Callable[[int], None]
"""Is told the number of bytes that arrived; negative when a broken download is thrown away."""


def missing(jars: Sequence[Jar], repository: Path) -> list[Jar]:
    """Return the jars that `repository` does not hold in full size.

    A jar only gets there after its sha256 was checked, so the size alone is looked at here: it
    finds a file that was cut off later, without reading 180 MB at each start.
    """
    return [jar for jar in jars if not _has_size(jar.path_in(repository), jar.size)]


def fetch(jars: Sequence[Jar], repository: Path, incoming: Path, advance: Advance) -> None:
    """Download `jars` into `repository`, by way of the scratch folder `incoming`.

    Raises:
        LocalStackError: a jar cannot be had, or is not the one of the lock file.

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
            f"{problem}. Check the network and run the same command again: what arrived is kept."
        )


def _fetch_one(jar: Jar, repository: Path, incoming: Path, advance: Advance) -> str | None:
    """Download one jar; return what went wrong, or None."""
    received = 0

    @contextmanager
    def watch(_name: str, _total: int) -> Iterator[Advance]:
        def arrived(count: int) -> None:
            nonlocal received
            received += count
            advance(count)

        yield arrived

    partial = jar.path_in(incoming)
    # jgo takes a file that is there for a finished one, also what a broken download left.
    partial.unlink(missing_ok=True)
    context = MavenContext(
        resolver=PythonResolver(progress_callback=watch), repo_cache=incoming, timeout=30
    )
    group, artifact, version, *classifier = jar.coordinate.split(":")
    wanted = context.project(group, artifact).at_version(version).artifact(*classifier)
    try:
        path = wanted.resolve()
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
