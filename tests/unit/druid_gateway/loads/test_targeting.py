"""Interval and segment granularity of a load, and what it replaces."""

from dataclasses import replace

import pytest

from services.common.errors import SluiceError
from services.druid_gateway.loads.granularity import Granularity, millis_of
from services.druid_gateway.loads.load import Column, ColumnType, Interval, Load, Mode, Part
from services.druid_gateway.loads.targeting import choose_target
from tests.unit.druid_gateway.fake_druid import FakeDruid


def millis(text: str) -> int:
    return millis_of(f"{text}+00:00")


def load(
    mode: Mode, first: str, last: str, given: tuple[str, str] | None = None, rows: int = 1000
) -> Load:
    return Load(
        task_id="t",
        attempt=1,
        datasource="sales",
        mode=mode,
        columns=[Column("n", ColumnType.LONG)],
        parts=[Part("s3://b/k", rows)],
        min_millis=millis(first),
        max_millis=millis(last),
        rows=rows,
        replace=Interval(millis(given[0]), millis(given[1])) if given else None,
    )


MARCH = ("2024-03-01T00:00:00", "2024-04-01T00:00:00")


@pytest.mark.parametrize(
    ("given", "granularity"),
    [
        (MARCH, Granularity.MONTH),
        (("2024-03-01T00:00:00", "2025-03-01T00:00:00"), Granularity.MONTH),
        (("2024-03-01T00:00:00", "2024-03-08T00:00:00"), Granularity.DAY),
        (("2024-01-01T00:00:00", "2034-01-01T00:00:00"), Granularity.YEAR),
        # Months are preferred, but it ends within one; the same for days.
        (("2024-03-01T00:00:00", "2024-04-16T00:00:00"), Granularity.DAY),
        (("2024-03-01T00:00:00", "2024-03-08T06:00:00"), Granularity.HOUR),
    ],
)
async def test_a_specified_interval_is_not_changed(
    given: tuple[str, str], granularity: Granularity
) -> None:
    asked = load(Mode.REPLACE_INTERVAL, "2024-03-05T01:00:00", "2024-03-06T01:00:00", given)
    found = await choose_target(FakeDruid(), asked)
    assert (found.interval, found.granularity) == (asked.replace, granularity)


@pytest.mark.parametrize(
    ("first", "last", "given", "code"),
    [
        ("2024-02-29T23:59:59", "2024-03-06T01:00:00", MARCH, "ROWS_OUTSIDE_INTERVAL"),
        ("2024-03-05T01:00:00", "2024-04-01T00:00:00", MARCH, "ROWS_OUTSIDE_INTERVAL"),
        (
            "2024-03-05T01:00:00",
            "2024-03-06T01:00:00",
            ("2020-01-01T01:00:00", "2024-04-01T00:00:00"),
            "REQUEST_INVALID",
        ),
        ("2024-03-05T01:00:00", "2024-03-06T01:00:00", None, "REQUEST_INVALID"),
    ],
)
async def test_invalid_intervals_are_rejected(
    first: str, last: str, given: tuple[str, str] | None, code: str
) -> None:
    with pytest.raises(SluiceError) as refused:
        await choose_target(FakeDruid(), load(Mode.REPLACE_INTERVAL, first, last, given))
    assert refused.value.code == code


async def test_replace_all_includes_existing_and_new_rows() -> None:
    segments = [
        "sales_2022-05-01T00:00:00.000Z_2022-06-01T00:00:00.000Z_v",
        "sales_2023-01-01T00:00:00.000Z_2023-01-02T00:00:00.000Z_v",
    ]
    asked = load(Mode.REPLACE_ALL, "2023-03-05T01:00:00", "2023-03-06T01:00:00")
    found = await choose_target(FakeDruid(used=dict.fromkeys(segments, True)), asked)
    assert (found.interval, found.granularity) == (
        Interval(millis("2022-05-01T00:00:00"), millis("2023-04-01T00:00:00")),
        Granularity.MONTH,
    )
    # The plan is carried out, even if other loads came in between.
    again = await choose_target(FakeDruid(), replace(asked, replace=found.interval))
    assert again == found
    assert (await choose_target(FakeDruid(), asked)).granularity is Granularity.DAY


@pytest.mark.parametrize(
    ("there", "interval", "granularity"),
    [
        ([], ("2024-03-05", "2024-03-07"), Granularity.DAY),
        ([("2024-03-05", "2024-03-06")], ("2024-03-05", "2024-03-07"), Granularity.DAY),
        ([("2024-03-01", "2024-04-01")], ("2024-03-01", "2024-04-01"), Granularity.DAY),
        # A week, as other programs use it.
        ([("2024-02-28", "2024-03-06")], ("2024-02-28", "2024-03-07"), Granularity.DAY),
        ([("2020-01-01", "2030-01-01")], ("2020-01-01", "2030-01-01"), Granularity.MONTH),
        ([("0001-01-01", "9998-01-01")], ("0001-01-01", "9998-01-01"), Granularity.YEAR),
    ],
)
async def test_an_append_locks_whole_existing_chunks(
    there: list[tuple[str, str]], interval: tuple[str, str], granularity: Granularity
) -> None:
    used = {f"sales_{start}T00:00:00.000Z_{end}T00:00:00.000Z_v": True for start, end in there}
    found = await choose_target(
        FakeDruid(used=used), load(Mode.APPEND, "2024-03-05T01:00:00", "2024-03-06T01:00:00")
    )
    start, end = (millis(f"{each}T00:00:00") for each in interval)
    assert (found.interval, found.granularity) == (Interval(start, end), granularity)
