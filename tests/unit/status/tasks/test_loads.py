"""What is asked of Druid for a validated file."""

import pytest

from services.status.tasks import loads
from sluice.validation.v1.validation_pb2 import Column, LoadType, Report
from tests.unit.status.fake_rows import new_task


def test_every_loaded_column_is_asked_for() -> None:
    columns = [
        Column(name="__time", load_type=LoadType.LOAD_TYPE_TIME),
        Column(name="skipped"),
        Column(name="sales", load_type=LoadType.LOAD_TYPE_DOUBLE),
    ]
    asked = loads.submit_request(new_task(), Report(columns=columns), 60)
    assert [column.name for column in asked.columns] == ["sales"]


def test_a_column_type_of_a_newer_release_is_not_left_out() -> None:
    columns = [Column(name="sales", load_type=9999)]  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        loads.submit_request(new_task(), Report(columns=columns), 60)
