"""Datasources and starter queries."""

import asyncio
from collections.abc import Sequence

import pytest

from services.common import errors
from services.common.errors import SluiceError
from services.druid_gateway.loads import proposing
from services.druid_gateway.loads.granularity import EARLIEST_MILLIS, LATEST_MILLIS
from services.druid_gateway.ports import Value
from services.druid_gateway.queries import catalog, datasource_sizes
from services.druid_gateway.queries.datasource_sizes import DatasourceSizes
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


def segments(
    name: str,
    start: str,
    end: str,
    *,
    version: str = "v1",
    tombstone: bool = False,
    rows: int = 1,
    size: int = 10,
    segments: int = 1,
    unsure: int = 0,
) -> list[Value]:
    """A row of Druid's segment metadata."""
    return [name, start, end, version, int(tombstone), rows, size, segments, unsure]


def druid(columns: list[list[Value]] = COLUMNS, days: tuple[str, str] = DAY) -> FakeDruid:
    def answer(sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        if "sys.segments" in sql:
            chunks = [segments("sales", *days, rows=100, size=5000, segments=2)]
            return chunks if list(parameters) in ([], ["sales"]) else []
        if "INFORMATION_SCHEMA" in sql:
            return columns if list(parameters) == ["sales"] else []
        if "APPROX_COUNT_DISTINCT" in sql:
            return [
                [
                    DISTINCT[str(name)]
                    for name, kind in columns
                    if kind == "VARCHAR" and name != "__load_id"
                ]
            ]
        return [["load", 100, 0, 86_399_999]]

    return FakeDruid(answers=answer)


async def propose(fake: FakeDruid) -> list[proposing.Proposal]:
    return await proposing.propose(fake, DatasourceSizes(fake), "sales")


class Counting:
    """A Druid with the given segments, where a query counts `counted` rows of each datasource."""

    def __init__(self, *rows: list[Value], **counted: int) -> None:
        self.rows, self.counted = list(rows), counted
        self.queries: list[str] = []
        self.sizes = DatasourceSizes(FakeDruid(answers=self._answer))

    def _answer(self, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
        if "sys.segments" in sql:
            return [row for row in self.rows if list(parameters) in ([], [row[0]])]
        self.queries.append(sql)
        name = sql.removeprefix('SELECT COUNT(*) FROM "').removesuffix('"')
        if name not in self.counted:
            raise errors.error(
                ErrorReason.ERROR_REASON_QUERY_INVALID, f"Object '{name}' not found."
            )
        return [[self.counted[name]]]

    async def found(self) -> dict[str, int]:
        return {name: each.rows for name, each in (await self.sizes.all()).items()}


JANUARY = ("2024-01-01T00:00:00.000Z", "2024-02-01T00:00:00.000Z")
FEBRUARY = ("2024-02-01T00:00:00.000Z", "2024-03-01T00:00:00.000Z")
TENTH = ("2024-01-10T00:00:00.000Z", "2024-01-11T00:00:00.000Z")


async def test_datasources() -> None:
    found = await catalog.datasources(DatasourceSizes(druid()), 10)
    assert [
        (each.name, each.rows, each.size, each.segments, each.interval.end_millis) for each in found
    ] == [("sales", 100, 5000, 2, 86_400_000)]


async def test_known_row_counts_are_not_queried() -> None:
    asked = Counting(
        segments("a", *JANUARY, rows=310),
        segments("a", *FEBRUARY, rows=290, version="v2"),
        segments("b", *JANUARY, rows=5),
    )
    assert await asked.found() == {"a": 600, "b": 5}
    assert asked.queries == []


@pytest.mark.parametrize(
    "hiding",
    [
        # Days of a month were replaced, by rows or by nothing.
        [segments("a", *TENTH, version="v2", rows=100)],
        [segments("a", *TENTH, version="v2", rows=0, tombstone=True)],
        # The whole chunk was replaced, and the coordinator does not know it yet.
        [segments("a", *JANUARY, version="v2", rows=100)],
        # Rows that are uncounted, unpublished or not loaded.
        [segments("a", *FEBRUARY, rows=40, segments=2, unsure=1)],
        [segments("a", *FEBRUARY, rows=0, unsure=1)],
    ],
)
async def test_uncertain_row_counts_are_queried(hiding: list[list[Value]]) -> None:
    asked = Counting(
        segments("a", *JANUARY, rows=310), *hiding, segments("b", *JANUARY, rows=5), a=210
    )
    assert await asked.found() == {"a": 210, "b": 5}
    assert asked.queries == ['SELECT COUNT(*) FROM "a"']
    described = await asked.sizes.get("a")
    assert described is not None
    assert described.rows == 210


async def test_a_count_is_cached_until_its_segments_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = Counting(
        segments("a", *JANUARY, rows=310), segments("a", *TENTH, version="v2", rows=100), a=210
    )
    await asyncio.gather(asked.found(), asked.found(), asked.sizes.get("a"))
    assert len(asked.queries) == 1
    asked.rows.append(segments("a", *FEBRUARY, rows=7))
    asked.counted["a"] = 217
    assert await asked.found() == {"a": 217}
    assert len(asked.queries) == 2
    monkeypatch.setattr(datasource_sizes, "COUNT_S", 0)
    assert await asked.found() == {"a": 217}
    assert len(asked.queries) == 3


async def test_a_datasource_that_has_no_rows_is_not_listed() -> None:
    asked = Counting(
        segments("gone", *JANUARY, rows=0, unsure=1),
        segments("emptied", *JANUARY, rows=9),
        segments("emptied", *JANUARY, version="v2", tombstone=True, rows=0),
        segments("hidden", *JANUARY, tombstone=True, rows=0),
        emptied=0,
    )
    assert await asked.found() == {}
    assert sorted(asked.queries) == [
        'SELECT COUNT(*) FROM "emptied"',
        'SELECT COUNT(*) FROM "gone"',
    ]


async def test_not_all_datasources_are_counted_at_once() -> None:
    names = [f"d{number}" for number in range(40)]
    rows = [segments(name, *JANUARY, rows=1, unsure=1) for name in names]
    running = most = 0

    class Slow(FakeDruid):
        async def sql(self, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
            nonlocal running, most
            if "sys.segments" in sql:
                return rows
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1
            return [[3]]

    found = await DatasourceSizes(Slow()).all()
    assert {name: each.rows for name, each in found.items()} == dict.fromkeys(names, 3)
    assert most == datasource_sizes.MAX_CONCURRENT_COUNTS


async def test_segments_of_all_time_are_clipped() -> None:
    all_time = ("-146136543-09-08T08:23:32.096Z", "146140482-04-24T15:36:27.903Z")
    [found] = await catalog.datasources(DatasourceSizes(druid(days=all_time)), 10)
    assert (found.interval.start_millis, found.interval.end_millis) == (
        EARLIEST_MILLIS,
        LATEST_MILLIS + 1,
    )


async def test_a_datasource_is_described() -> None:
    found = await catalog.describe(fake := druid(), DatasourceSizes(fake), "sales")
    assert found.columns[0] == ("__time", "TIMESTAMP")
    assert [(load.task_id, load.rows, load.times.end_millis) for load in found.loads] == [
        ("load", 100, 86_399_999)
    ]


@pytest.mark.parametrize(
    ("name", "code"), [("nothing", "DATASOURCE_NOT_FOUND"), ('x" --', "DATASOURCE_NAME_INVALID")]
)
async def test_missing_datasources(name: str, code: str) -> None:
    with pytest.raises(SluiceError) as raised:
        await catalog.describe(fake := druid(), DatasourceSizes(fake), name)
    assert raised.value.code == code


async def test_three_starter_queries() -> None:
    proposals = await propose(druid())
    assert [(each.title, each.chart) for each in proposals] == [
        ("Rows per hour", "line"),
        ("Top 10 of region", "bar"),
        ('Sum of re"venue per region', "bar"),
    ]
    assert 'SUM("re""venue")' in proposals[2].sql


@pytest.mark.parametrize(
    ("end", "unit"),
    [
        ("1970-02-01T00:00:00.000Z", "day"),
        ("1972-01-01T00:00:00.000Z", "month"),
        ("1999-01-01T00:00:00.000Z", "year"),
    ],
)
async def test_the_period_fits_the_span(end: str, unit: str) -> None:
    proposals = await propose(druid(days=(DAY[0], end)))
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
async def test_the_summed_column_is_useful(numbers: list[str], summed: str) -> None:
    columns: list[list[Value]] = [["__time", "TIMESTAMP"]]
    columns.extend([*each.rsplit(" ", 1)] for each in numbers)
    assert (await propose(druid(columns)))[-1].title == f"Sum of {summed} per hour"


async def test_missing_columns_are_not_queried() -> None:
    assert len(await propose(druid([["__time", "TIMESTAMP"]]))) == 1
    proposals = await propose(druid([["__time", "TIMESTAMP"], ["n", "BIGINT"]]))
    assert [each.chart for each in proposals] == ["line", "line"]


async def test_a_preview_omits_the_column_of_sluice() -> None:
    fake = druid()
    fake.lines = [
        b'["__time","n"]',
        b'["LONG","LONG"]',
        b'["TIMESTAMP","BIGINT"]',
        b'["1970-01-01T00:00:00.000Z",1]',
    ]
    found = await catalog.preview(fake, "sales", 5)
    assert (found.count, found.json) == (1, b'[["1970-01-01T00:00:00.000Z",1]]')
    assert "__load_id" not in fake.queries[0][0]
