"""The stack that is measured: the instance `bench`, started for the run unless it is up already."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from local.instance import Instance

FILES = Path(__file__).parents[2] / ".local" / "bench-files"
"""Where generated files are kept between runs."""


@contextmanager
def running(name: str, *only: str) -> Iterator[Instance]:
    """The healthy stack of the instance `name`, or only the named programs of it; stopped
    afterwards only if it was not up before.
    """
    instance = Instance(name, only)
    fresh = instance.start()
    FILES.mkdir(parents=True, exist_ok=True)
    try:
        yield instance
    finally:
        if fresh:
            instance.stop()
