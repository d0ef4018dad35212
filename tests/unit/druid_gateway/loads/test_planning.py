"""What a load would do."""

from collections.abc import Sequence
from dataclasses import replace

from services.druid_gateway.loads import planning
from services.druid_gateway.loads.load import Column, ColumnType, Interval, Mode
from services.druid_gateway.loads.planning import Change, PlannedChunk, PlannedColumn
from services.druid_gateway.ports import Value
from tests.unit.druid_gateway.fake_druid import FakeDruid
from tests.unit.druid_gateway.loads.test_targeting import load, millis

DAY = 86_400_000
FIRST, SECOND, THIRD = (millis(f"2024-03-0{day}T00:00:00") for day in (1, 2, 3))
ONE_DAY = "sales_2024-03-01T00:00:00.000Z_2024-03-02T00:00:00.000Z_v"
FOUR_DAYS = "sales_2024-03-01T00:00:00.000Z_2024-03-05T00:00:00.000Z_u"


def druid() -> FakeDruid:
    def answer(sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        if "INFORMATION_SCHEMA" in sql:
            return [
                ["__time", "TIMESTAMP"],
                ["n", "BIGINT"],
                ["v", "BIGINT"],
                ["old", "VARCHAR"],
                ["__load_id", "VARCHAR"],
            ]
        days = [[FIRST, 35], [SECOND, 20], [THIRD, 30]]
        return [
            [start, rows]
            for start, rows in days
            if int(parameters[0] or 0) <= start < int(parameters[1] or 0)
        ]

    return FakeDruid(answers=answer, used={ONE_DAY: True, FOUR_DAYS: True})


async def test_columns_are_compared() -> None:
    columns = [
        Column("n", ColumnType.LONG),
        Column("v", ColumnType.DOUBLE),
        Column("city", ColumnType.STRING),
    ]
    asked = replace(
        load(Mode.APPEND, "2024-03-01T01:00:00", "2024-03-03T01:00:00"), columns=columns
    )
    made = await planning.plan(druid(), asked, [(FIRST, 400), (THIRD, 600)])
    assert made.columns == [
        PlannedColumn("n", Change.SAME, "BIGINT", "BIGINT"),
        PlannedColumn("v", Change.CHANGED, "DOUBLE", "BIGINT"),
        PlannedColumn("city", Change.NEW, "VARCHAR", ""),
        PlannedColumn("old", Change.MISSING, "", "VARCHAR"),
    ]
    assert (made.replaced, made.rows_replaced, made.sub_tasks) == ([], 0, 1)
    assert made.chunks == [
        PlannedChunk(Interval(FIRST, SECOND), 400, 0),
        PlannedChunk(Interval(THIRD, THIRD + DAY), 600, 0),
    ]


async def test_a_replace_replaces_the_rows_of_its_chunks() -> None:
    made = await planning.plan(
        druid(),
        load(Mode.REPLACE, "2024-03-01T01:00:00", "2024-03-03T01:00:00"),
        [(FIRST, 400), (THIRD, 600)],
    )
    assert made.replaced == [ONE_DAY, FOUR_DAYS]
    assert made.chunks == [
        PlannedChunk(Interval(FIRST, SECOND), 400, 35),
        PlannedChunk(Interval(THIRD, THIRD + DAY), 600, 30),
    ]
    assert made.rows_replaced == 65


async def test_a_replaced_interval_loses_rows_in_all_chunks() -> None:
    given = ("2024-03-01T00:00:00", "2024-03-04T00:00:00")
    made = await planning.plan(
        druid(),
        load(Mode.REPLACE_INTERVAL, "2024-03-01T01:00:00", "2024-03-01T02:00:00", given),
        [(FIRST, 1000)],
    )
    assert [(chunk.rows_added, chunk.rows_replaced) for chunk in made.chunks] == [
        (1000, 35),
        (0, 20),
        (0, 30),
    ]
    assert made.rows_replaced == 85


async def test_sub_tasks_and_estimated_time() -> None:
    big = replace(load(Mode.APPEND, "2024-03-01T01:00:00", "2024-03-03T01:00:00", rows=2_000_000))
    big = replace(big, parts=[*big.parts, *big.parts])
    made = await planning.plan(FakeDruid(slots=4), big, [])
    assert (made.sub_tasks, made.estimated_s) == (2, planning.MIN_S + 40)
    assert made.chunks == []


async def test_the_time_is_estimated_from_earlier_loads() -> None:
    asked = load(Mode.APPEND, "2024-03-01T01:00:00", "2024-03-03T01:00:00")
    guessed = await planning.plan(druid(), asked, [])
    assert guessed.estimated_s == planning.MIN_S + asked.rows / planning.ROWS_PER_SECOND
    known = await planning.plan(druid(), asked, [], rows_per_second=500)
    assert known.estimated_s == planning.MIN_S + asked.rows / 500
