"""Whichever call fails, and however: every stage ends in the truth."""

import pytest
import structlog

from tests.unit.calls.failing import every_call
from tests.unit.calls.stages import STAGES


@pytest.mark.parametrize("name", STAGES)
async def test_each_call_may_fail_in_every_way(name: str) -> None:
    with structlog.testing.capture_logs():
        outcome = await every_call(name, STAGES[name])
    assert outcome.untruthful == []
    assert outcome.cases >= 5
