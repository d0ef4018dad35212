"""What is in a real Druid: listed, described, shown, and asked with the queries that are
proposed.
"""

import json

import grpc
import pytest

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode
from sluice.druid.v1 import druid_pb2 as pb
from tests.integration.druid_gateway.loading import DAY, FEBRUARY, JANUARY, Gateway, rows

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_datasource_is_listed_and_described(gateway: Gateway, datasource: str) -> None:
    first = await gateway.load(datasource, rows(300))
    second = await gateway.load(datasource, rows(200, start=JANUARY + 2 * DAY))
    listed = await gateway.stub.ListDatasources(pb.ListDatasourcesRequest())
    [found] = [each for each in listed.datasources if each.name == datasource]
    assert (found.rows, found.segments) == (500, 2)
    assert found.bytes > 0
    assert (found.interval.start_millis, found.interval.end_millis) == (JANUARY, JANUARY + 3 * DAY)

    described = await gateway.stub.DescribeDatasource(pb.DescribeDatasourceRequest(name=datasource))
    assert described.datasource == found
    assert {column.name: column.type for column in described.columns} == {
        "__time": "TIMESTAMP",
        "city": "VARCHAR",
        "n": "BIGINT",
        "v": "DOUBLE",
        "__load_id": "VARCHAR",
    }
    assert [(load.task_id, load.rows, load.times.start_millis) for load in described.loads] == [
        (first.task_id, 300, JANUARY),
        (second.task_id, 200, JANUARY + 2 * DAY),
    ]


async def test_rows_that_a_replace_hides_are_not_counted(gateway: Gateway, datasource: str) -> None:
    # A month of ten rows a day, more than a month wide so that its chunk is the month; then the
    # first twenty days again, five rows a day.
    month = [(JANUARY + day * DAY + i, "Wien", i, 1.0) for day in range(31) for i in range(10)]
    later = [(FEBRUARY + day * DAY, "Graz", 0, 1.0) for day in range(29)]
    await gateway.load(datasource, [*month, *later])
    days = [(JANUARY + day * DAY + i, "Linz", i, 2.0) for day in range(20) for i in range(5)]
    replaced = pb.Interval(start_millis=JANUARY, end_millis=JANUARY + 20 * DAY)
    await gateway.load(datasource, days, mode=LoadMode.LOAD_MODE_REPLACE_INTERVAL, replace=replaced)
    expected = await gateway.count(datasource)
    assert expected == 11 * 10 + 20 * 5 + 29

    listed = await gateway.stub.ListDatasources(pb.ListDatasourcesRequest())
    [found] = [each for each in listed.datasources if each.name == datasource]
    described = await gateway.stub.DescribeDatasource(pb.DescribeDatasourceRequest(name=datasource))
    assert found.rows == described.datasource.rows == expected
    assert sum(load.rows for load in described.loads) == expected
    # By the rows of whole segments there would be more.
    sql = "SELECT SUM(num_rows) FROM sys.segments WHERE is_active = 1 AND datasource = ?"
    parameters = [{"type": "VARCHAR", "value": datasource}]
    asked = {"query": sql, "resultFormat": "array", "parameters": parameters}
    told = (await gateway.http.post("/druid/v2/sql", json=asked)).raise_for_status().json()
    assert told[0][0] > expected


async def test_the_newest_rows_are_shown(gateway: Gateway, datasource: str) -> None:
    await gateway.load(datasource, rows(20))
    shown = await gateway.stub.PreviewRows(pb.PreviewRowsRequest(name=datasource, limit=3))
    assert [column.name for column in shown.columns] == ["__time", "city", "n", "v"]
    assert shown.count == 3
    assert [row[2] for row in json.loads(shown.json)] == [2**60 + 19, 2**60 + 18, 2**60 + 17]


async def test_the_proposed_queries_can_be_asked(gateway: Gateway, datasource: str) -> None:
    await gateway.load(datasource, rows(600))
    proposed = await gateway.stub.ProposeQueries(pb.ProposeQueriesRequest(name=datasource))
    assert [(each.title, each.chart) for each in proposed.queries] == [
        ("Rows per hour", "line"),
        ("Top 10 of city", "bar"),
        ("Sum of v per city", "bar"),
    ]
    counted, top, sums = [await gateway.query(each.sql) for each in proposed.queries]
    assert sum(row[1] for row in counted.rows) == 600
    assert sum(row[1] for row in top.rows) == 600
    assert sum(row[1] for row in sums.rows) == pytest.approx(sum(row[3] for row in rows(600)))


async def test_what_is_not_there_is_not_found(gateway: Gateway, datasource: str) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        await gateway.stub.DescribeDatasource(pb.DescribeDatasourceRequest(name=datasource))
    assert (
        errors.from_rpc(raised.value, "druid_gateway").reason
        == ErrorReason.ERROR_REASON_DATASOURCE_NOT_FOUND
    )


async def test_parameters_take_the_place_of_question_marks(
    gateway: Gateway, datasource: str
) -> None:
    await gateway.load(datasource, rows(12))
    parameters = [
        pb.QueryParameter(text='say "hi"'),
        pb.QueryParameter(long=2**60),
        pb.QueryParameter(double=100.0),
        pb.QueryParameter(boolean=True),
    ]
    sql = f'SELECT COUNT(*) FROM "{datasource}" WHERE city = ? AND n > ? AND v < ? AND ?'
    request = pb.QueryRequest(sql=sql, parameters=parameters)
    found = [
        json.loads(each.rows.json)
        async for each in gateway.stub.Query(request)
        if each.HasField("rows")
    ]
    assert found == [[[2]]]
