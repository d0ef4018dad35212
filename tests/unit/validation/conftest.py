"""Fixtures of the validation tests."""

from pathlib import Path

import pytest

from services.validation.process.limits import Limits
from sluice.validation.v1.validation_pb2 import Policy, ReadOptions
from tests.unit.validation.examining import (
    LENIENT,
    LIMITS,
    Examine,
    Examined,
    examine_bytes,
    new_folder,
)


@pytest.fixture
def examine(tmp_path: Path) -> Examine:
    """Validates bytes, each time in a new folder."""

    def run(
        data: bytes,
        filename: str = "table.csv",
        *,
        policy: Policy = LENIENT,
        limits: Limits = LIMITS,
        options: ReadOptions | None = None,
    ) -> Examined:
        return examine_bytes(
            new_folder(tmp_path), data, filename, policy=policy, limits=limits, options=options
        )

    return run
