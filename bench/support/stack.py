"""The measured stack: started for the run unless it is already running."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.instance import Instance

FILES = Path(__file__).parents[2] / ".local" / "bench-files"
"""Folder of generated files, kept between runs."""


@contextmanager
def running(name: str, *only: str) -> Iterator[Instance]:
    """Yield the healthy stack of the instance `name`, or only its programs `only`; stop it
    afterwards unless it was already running.
    """
    instance = Instance(name, only)
    fresh = instance.start()
    FILES.mkdir(parents=True, exist_ok=True)
    try:
        yield instance
    finally:
        if fresh:
            instance.stop()
