"""What is in Druid, and what to ask first."""

from collections.abc import Sequence

import pytest

from services.common import errors
from services.common.errors import SluiceError
from services.druid_gateway import catalog, proposing
from services.druid_gateway.granularity import EARLIEST_MILLIS, LATEST_MILLIS
from services.druid_gateway.ports import Value
from sluice.common.v1.errors_pb2 import ErrorReason
from tests.unit.druid_gateway.fake_druid import FakeDruid

DAY = ("1970-01-01T00:00:00.000Z", "1970-01-02T00:00:00.000Z")
COLUMNS: list[list[Value]] = [
    ["__time", "TIMESTAMP"],
    ["order", "VARCHAR"],
    ["region", "VARCHAR"],
    ["n", "BIGINT"],
    ['re"venue', "DOUBLE"],
    ["__load_id", "VARCHAR"],
]
DISTINCT = {"order": 100, "region": 4}


def druid(columns: list[list[Value]] = COLUMNS, days: tuple[str, str] = DAY) -> FakeDruid:
    def answer(sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        if "sys.segments" in sql:
            chunks: list[list[Value]] = [
                ["sales", *days, 60, 3000, 1, 60],
                ["sales", *days, 40, 2000, 1, 40],
            ]
            return chunks if list(parameters) in ([], ["sales"]) else []
        if "INFORMATION_SCHEMA" in sql:
            return columns if list(parameters) == ["sales"] else []
        if "APPROX_COUNT_DISTINCT" in sql:
            return [[DISTINCT[str(name)] for name, kind in columns if kind == "VARCHAR" and name != "__load_id"]]
        return [["load", 100, 0, 86_399_999]]

    return FakeDruid(answers=answer)


async def test_datasources() -> None:
    found = await catalog.datasources(druid(), 10)
    assert [(each.name, each.rows, each.size, each.segments, each.interval.end_millis) for each in found] == [
        ("sales", 100, 5000, 2, 86_400_000)
    ]


async def test_segments_whose_rows_druid_has_not_told_yet_are_counted() -> None:
    def answer(sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        if "sys.segments" in sql:
            return [["counted", *DAY, 60, 300, 1, 60], ["new", *DAY, 40, 200, 2, 0], ["unknown", *DAY, 0, 100, 1, 0]]
        if '"unknown"' in sql:
            raise errors.error(ErrorReason.ERROR_REASON_QUERY_INVALID, "Object 'unknown' not found.")
        assert sql == 'SELECT COUNT(*) FROM "new"'
        return [[47]]

    assert [(each.name, each.rows) for each in await catalog.datasources(FakeDruid(answers=answer), 10)] == [("counted", 60), ("new", 47)]


async def test_segments_of_all_time_are_clipped() -> None:
    [found] = await catalog.datasources(druid(days=("-146136543-09-08T08:23:32.096Z", "146140482-04-24T15:36:27.903Z")), 10)
    assert (found.interval.start_millis, found.interval.end_millis) == (EARLIEST_MILLIS, LATEST_MILLIS + 1)


async def test_a_datasource_is_described() -> None:
    found = await catalog.describe(druid(), "sales")
    assert found.columns[0] == ("__time", "TIMESTAMP")
    assert [(load.task_id, load.rows, load.times.end_millis) for load in found.loads] == [("load", 100, 86_399_999)]


@pytest.mark.parametrize(("name", "code"), [("nothing", "DATASOURCE_NOT_FOUND"), ('x" --', "DATASOURCE_NAME_INVALID")])
async def test_what_is_not_there(name: str, code: str) -> None:
    with pytest.raises(SluiceError) as raised:
        await catalog.describe(druid(), name)
    assert raised.value.code == code


async def test_three_queries_to_begin_with() -> None:
    proposals = await proposing.propose(druid(), "sales")
    assert [(each.title, each.chart) for each in proposals] == [
        ("Rows per hour", "line"),
        ("Top 10 of region", "bar"),
        ('Sum of re"venue per region', "bar"),
    ]
    assert 'SUM("re""venue")' in proposals[2].sql


@pytest.mark.parametrize(
    ("end", "unit"), [("1970-02-01T00:00:00.000Z", "day"), ("1972-01-01T00:00:00.000Z", "month"), ("1999-01-01T00:00:00.000Z", "year")]
)
async def test_the_period_fits_the_span(end: str, unit: str) -> None:
    proposals = await proposing.propose(druid(days=(DAY[0], end)), "sales")
    assert proposals[0].title == f"Rows per {unit}"


@pytest.mark.parametrize(
    ("numbers", "summed"),
    [
        (["unit_price DOUBLE", "revenue DOUBLE"], "revenue"),
        (["Discount DOUBLE", "Sub-Category ID BIGINT", "weight DOUBLE"], "weight"),
        (["ratio DOUBLE", "quantity BIGINT"], "quantity"),
        (["unit price DOUBLE"], "unit price"),
    ],
)
async def test_what_is_summed_says_something(numbers: list[str], summed: str) -> None:
    columns: list[list[Value]] = [["__time", "TIMESTAMP"]]
    columns.extend([*each.rsplit(" ", 1)] for each in numbers)
    assert (await proposing.propose(druid(columns), "sales"))[-1].title == f"Sum of {summed} per hour"


async def test_columns_that_are_not_there_are_not_asked_for() -> None:
    assert len(await proposing.propose(druid([["__time", "TIMESTAMP"]]), "sales")) == 1
    proposals = await proposing.propose(druid([["__time", "TIMESTAMP"], ["n", "BIGINT"]]), "sales")
    assert [each.chart for each in proposals] == ["line", "line"]


async def test_a_preview_leaves_out_what_is_sluice_s_own() -> None:
    fake = druid()
    fake.lines = [b'["__time","n"]', b'["LONG","LONG"]', b'["TIMESTAMP","BIGINT"]', b'["1970-01-01T00:00:00.000Z",1]']
    found = await catalog.preview(fake, "sales", 5)
    assert (found.count, found.json) == (1, b'[["1970-01-01T00:00:00.000Z",1]]')
    assert "__load_id" not in fake.queries[0][0]
