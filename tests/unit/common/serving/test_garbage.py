"""Garbage collections are rare and exclude the objects of the setup."""

import gc
from collections.abc import Iterator

import pytest

from services.common.serving import garbage


@pytest.fixture
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("_as_before")
def test_present_objects_are_excluded_from_collections() -> None:
    kept = [[number] for number in range(100)]
    garbage.collect_rarely()
    assert gc.get_freeze_count() > len(kept)
    assert not any(each is kept for each in gc.get_objects(generation=2))
    assert gc.get_threshold() == garbage.THRESHOLDS
