"""Verifying a load: when it matches, and when to wait."""

import math
import random
from collections.abc import Sequence
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import errors
from services.common.errors import SluiceError
from services.druid_gateway.loads.load import Interval
from services.druid_gateway.ports import Value
from services.druid_gateway.watching.verifying import (
    RELATIVE_TOLERANCE,
    Expected,
    Sum,
    count,
    matches,
    verify,
)
from sluice.common.v1.errors_pb2 import ErrorReason
from tests.unit.druid_gateway.fake_druid import FakeDruid

INTERVAL = Interval(0, 86_400_000)


async def seen(druid: FakeDruid, expected: Expected, wait_s: float = 5.0) -> tuple[bool, int]:
    found = await verify(druid, "sales", "load", INTERVAL, expected, wait_s)
    return found.verified, found.rows


async def test_values_are_parameters_and_names_are_quoted() -> None:
    asked: list[tuple[str, Sequence[Value]]] = []

    def answer(sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        asked.append((sql, parameters))
        return [[3, 1.5, 2.5]]

    assert await count(FakeDruid(answers=answer), 'x"; DROP', "load'--", INTERVAL, ['a"b']) == (
        3,
        [Sum(1.5, 2.5)],
    )
    [(sql, parameters)] = asked
    assert sql == (
        'SELECT COUNT(*), SUM(CAST("a""b" AS DOUBLE)), SUM(ABS(CAST("a""b" AS DOUBLE))) FROM "x""; DROP" '
        'WHERE "__load_id" = ? AND "__time" >= MILLIS_TO_TIMESTAMP(?) AND "__time" < MILLIS_TO_TIMESTAMP(?)'
    )
    assert parameters == ["load'--", 0, 86_400_000]


async def test_waits_for_rows_that_appear_one_by_one() -> None:
    counts = [1, 2, 3]
    druid = FakeDruid(
        answers=lambda sql, parameters: [[counts.pop(0) if len(counts) > 1 else counts[0]]]
    )
    assert await seen(druid, Expected(3, [])) == (True, 3)


async def test_a_count_is_not_enough_while_segments_are_missing() -> None:
    druid = FakeDruid(answers=lambda sql, parameters: [[3]], percents=[0.0, 50.0, 50.0, 100.0])
    assert await seen(druid, Expected(3, [])) == (True, 3)
    druid = FakeDruid(answers=lambda sql, parameters: [[3]], percents=[50.0])
    assert await seen(druid, Expected(3, []), wait_s=0.1) == (False, 3)


async def test_the_time_limit_is_kept() -> None:
    druid = FakeDruid(answers=lambda sql, parameters: [[2]])
    started = monotonic()
    assert await seen(druid, Expected(3, []), wait_s=0.2) == (False, 2)
    assert monotonic() - started < 1
    assert await seen(druid, Expected(3, []), wait_s=0) == (False, 2)


async def test_segments_are_counted_if_not_verified() -> None:
    druid = FakeDruid(
        answers=lambda sql, parameters: [[2]],
        used={"one": True, "two": False, "three": True},
        percents=[66.6],
    )
    found = await verify(druid, "sales", "id", Interval(0, 10), Expected(3, []), 0)
    assert (found.verified, found.published, found.available) == (False, 3, 2)


async def test_sums_must_match() -> None:
    druid = FakeDruid(answers=lambda sql, parameters: [[3, 10.0, 10.0]])
    assert await seen(druid, Expected(3, [("v", 10.0 * (1 + 5e-10))])) == (True, 3)
    assert await seen(druid, Expected(3, [("v", 10.0 * (1 + 5e-9))]), wait_s=0) == (False, 3)


@pytest.mark.parametrize(
    "message",
    ["Object 'sales' not found (line [1], column [3])", "Column 'v' not found in any table"],
)
async def test_an_unknown_table_or_column_has_no_rows(message: str) -> None:
    def answer(sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        raise errors.error(ErrorReason.ERROR_REASON_QUERY_INVALID, message)

    assert await seen(FakeDruid(answers=answer), Expected(3, [("v", 1.0)]), wait_s=0) == (False, 0)
    assert await seen(FakeDruid(answers=answer, percents=[None]), Expected(0, [])) == (True, 0)


async def test_another_error_is_an_error() -> None:
    def answer(sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        raise errors.error(ErrorReason.ERROR_REASON_QUERY_INVALID, "Cannot apply SUM")

    with pytest.raises(SluiceError):
        await seen(FakeDruid(answers=answer), Expected(3, []))


async def test_sums_over_nothing_and_over_nan() -> None:
    druid = FakeDruid(
        answers=lambda sql, parameters: [[1, None, None, "NaN", "NaN", "Infinity", "Infinity"]]
    )
    expected = Expected(1, [("a", 0.0), ("b", math.nan), ("c", math.inf)])
    assert await seen(druid, expected) == (True, 1)


values = st.floats(-1e15, 1e15, allow_subnormal=False)


@given(st.lists(values, max_size=50), st.randoms())
def test_the_order_of_adding_does_not_matter(numbers: list[float], order: random.Random) -> None:
    expected = sum(numbers)
    order.shuffle(numbers)
    assert matches(Sum(sum(numbers), sum(map(abs, numbers))), expected)


@given(st.floats(1e-300, 1e300), st.floats(2, 1e6))
def test_a_lost_value_shows(value: float, others: float) -> None:
    whole = value * others
    assert not matches(Sum(whole - value, whole - value), whole)
    assert matches(Sum(whole, whole), whole * (1 + RELATIVE_TOLERANCE / 2))


async def test_more_rows_than_expected_are_no_success() -> None:
    druid = FakeDruid(answers=lambda sql, parameters: [[4]])
    assert await seen(druid, Expected(3, []), wait_s=0.1) == (False, 4)


@pytest.mark.parametrize("available", [0, 1])
async def test_replaced_rows_are_gone_once_the_broker_knows_every_tombstone(available: int) -> None:
    def answer(sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        if "sys.segments" in sql:
            return [["known", 1], ["tombstone", available]]
        return [[3]]

    druid = FakeDruid(answers=answer)
    found = await verify(druid, "sales", "load", INTERVAL, Expected(3, []), 0.1, drops=True)
    assert found.verified is bool(available)
    assert list(found.tombstones) == ["known", "tombstone"]
