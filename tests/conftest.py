"""What all rings share: the stack of real parts, and where the hard files are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from local.instance import Instance
from local.stack import Stack

ROOT = Path(__file__).parent.parent

# How long an example takes says more about what else the machine does than about the code: that is
# for bench/.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def instance() -> Iterator[Instance]:
    """The stack of the instance `test` (or $SLUICE_INSTANCE), healthy. Stopped at the end only if
    it was not up before.
    """
    made = Instance(os.environ.get("SLUICE_INSTANCE", "test"))
    fresh = made.start()
    yield made
    if fresh:
        made.stop()


@pytest.fixture(scope="session")
def stack(instance: Instance) -> Stack:
    """Addresses and keys of the running stack."""
    return instance.stack


@pytest.fixture(scope="session")
def hard_files() -> Path:
    """The folder of real, polluted and hostile files; what needs it is skipped where it is not
    there.
    """
    folder = Path(os.environ.get("HARD_FILES", ROOT.parent / "shared" / "hard-files"))
    if not folder.is_dir():
        pytest.skip(f"no hard files at {folder}: set HARD_FILES")
    return folder
