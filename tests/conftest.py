"""Fixtures of all rings: the running stack and the hard files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from local.instance import Instance
from local.stack import Stack

ROOT = Path(__file__).parent.parent

# The duration of an example depends on the machine's load; bench/ measures speed.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    """The healthy stack of the instance `test` (or $SLUICE_INSTANCE); stopped at the end unless it
    was already running.
    """
    running = Instance(os.environ.get("SLUICE_INSTANCE", "test"))
    fresh = running.start()
    yield running
    if fresh:
        running.stop()


@pytest.fixture(scope="session")
def stack(instance: Instance) -> Stack:
    """Addresses and keys of the running stack."""
    return instance.stack


@pytest.fixture(scope="session")
def hard_files() -> Path:
    """The folder of real, polluted and hostile files; tests are skipped if it does not exist."""
    folder = Path(os.environ.get("HARD_FILES", ROOT.parent / "shared" / "hard-files"))
    if not folder.is_dir():
        pytest.skip(f"no hard files at {folder}: set HARD_FILES")
    return folder
