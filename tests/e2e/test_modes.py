"""How loads meet the rows that are there, planned, applied and undone on the real Druid through the
doors of the edge.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import monotonic

import pytest

from tests.e2e.edge import Edge
from tests.e2e.test_undo import undone

START = datetime(2024, 1, 1, tzinfo=UTC)


def days(first: int, last: int, of_each: int, amount: int = 1) -> bytes:
    """`of_each` rows on each day from the first to the last of 2024, counted from 0."""
    lines = ["order_date,region,product,quantity,amount"]
    for day in range(first, last + 1):
        for row in range(of_each):
            at = START + timedelta(days=day, minutes=row)
            lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},north,p{row % 3},{row},{amount}")
    return "\n".join(lines).encode()


async def by_day(edge: Edge, datasource: str) -> dict[str, int]:
    """Rows that a query counts of each day."""
    found = await edge.query(
        f"SELECT TIME_FLOOR(__time, 'P1D'), COUNT(*) FROM \"{datasource}\" GROUP BY 1 ORDER BY 1"
    )
    return {str(day)[:10]: int(rows) for day, rows in found}


async def gets(edge: Edge, datasource: str, expected: dict[str, int], seconds: float = 20) -> None:
    """Fails unless a query soon finds these rows. What was replaced by nothing disappears a moment
    after its load has gone.
    """
    deadline = monotonic() + seconds
    while (found := await by_day(edge, datasource)) != expected:
        assert monotonic() < deadline, (found, expected)
        await asyncio.sleep(0.1)


async def test_a_given_interval_is_replaced_also_where_nothing_comes(
    edge: Edge, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("interval")
    first = await edge.upload("first.csv", days(0, 3, 10), datasource)
    await edge.succeeded(first)
    fields = {"mode": "replace_interval", "interval": "2024-01-02/2024-01-04"}
    second = await edge.upload("second.csv", days(1, 1, 4), datasource, **fields)
    task = await edge.succeeded(second)
    # At once: a load is done when what it replaced is gone, too.
    assert await by_day(edge, datasource) == {"2024-01-01": 10, "2024-01-02": 4, "2024-01-04": 10}
    assert (task["mode"], task["replaced_interval"]) == (
        "replace_interval",
        "2024-01-02T00:00:00.000Z/2024-01-04T00:00:00.000Z",
    )
    assert (await edge.task(first))["load_state"] == "PARTLY_REPLACED"

    await undone(edge, second)
    await gets(
        edge, datasource, {"2024-01-01": 10, "2024-01-02": 10, "2024-01-03": 10, "2024-01-04": 10}
    )
    assert (await edge.task(first))["load_state"] == "LIVE"

    outside = await edge.upload(
        "outside.csv",
        days(1, 2, 4, amount=2),
        datasource,
        mode="replace_interval",
        interval="2024-01-02/2024-01-03",
    )
    refused = await edge.until(outside, {"REJECTED"})
    assert refused["error"]["code"] == "ROWS_OUTSIDE_INTERVAL"
    assert len(await by_day(edge, datasource)) == 4


async def test_everything_is_replaced_and_comes_back(
    edge: Edge, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("everything")
    loads = [await edge.upload(f"{day}.csv", days(day, day + 1, 5), datasource) for day in (0, 100)]
    for load in loads:
        await edge.succeeded(load)
    replace = await edge.upload("all.csv", days(50, 50, 7), datasource, mode="replace_all")
    await edge.succeeded(replace)
    assert await by_day(edge, datasource) == {"2024-02-20": 7}
    assert [(await edge.task(load))["load_state"] for load in loads] == ["REPLACED", "REPLACED"]
    receipt = (await edge.http.get(f"/api/ingest/tasks/{replace}/receipt")).json()
    assert receipt["rows_counted"] == 7
    assert len(receipt["segment_ids"]) > 1

    await undone(edge, replace)
    await gets(
        edge, datasource, {"2024-01-01": 5, "2024-01-02": 5, "2024-04-10": 5, "2024-04-11": 5}
    )
    assert [(await edge.task(load))["load_state"] for load in loads] == ["LIVE", "LIVE"]


async def test_a_day_is_appended_to_what_was_loaded_in_months(
    edge: Edge, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("months")
    await edge.succeeded(await edge.upload("months.csv", days(0, 59, 2), datasource))
    # January is emptied, and then the day comes into a chunk without rows.
    fields = {"mode": "replace_interval", "interval": "2024-01-01/2024-02-01"}
    await edge.succeeded(await edge.upload("january.csv", days(0, 0, 1), datasource, **fields))
    for day in (16, 45):
        await edge.succeeded(await edge.upload(f"{day}.csv", days(day, day, 3), datasource))
    counted = await by_day(edge, datasource)
    assert (counted["2024-01-01"], counted["2024-01-17"], counted["2024-02-15"], len(counted)) == (
        1,
        3,
        5,
        31,
    )
    # And the other way round: months into days.
    datasource = new_datasource("days")
    await edge.succeeded(await edge.upload("day.csv", days(16, 16, 3), datasource))
    await edge.succeeded(await edge.upload("months.csv", days(0, 59, 2), datasource))
    assert sum((await by_day(edge, datasource)).values()) == 123


async def test_a_plan_is_looked_at_and_applied(
    edge: Edge, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("planned")
    await edge.succeeded(await edge.upload("first.csv", days(0, 1, 10), datasource))
    content = days(1, 2, 6, amount=3)
    planned = await edge.upload("second.csv", content, datasource, mode="replace", apply="false")
    await edge.until(planned, {"PLANNED"})
    assert await by_day(edge, datasource) == {"2024-01-01": 10, "2024-01-02": 10}
    plan = (await edge.http.get(f"/api/ingest/tasks/{planned}/plan")).json()
    assert (plan["rows_added"], plan["rows_replaced"], plan["parts"]) == (12, 10, 1)
    assert [
        (chunk["interval"][:10], chunk["rows_added"], chunk["rows_replaced"])
        for chunk in plan["chunks"]
    ] == [
        ("2024-01-02", 6, 10),
        ("2024-01-03", 6, 0),
    ]
    assert {column["change"] for column in plan["columns"]} == {"SAME"}

    # Others append to a chunk that it replaces: the plan no longer holds.
    await edge.succeeded(await edge.upload("between.csv", days(1, 1, 2, amount=9), datasource))
    path = f"/api/ingest/tasks/{planned}/apply"
    stale = await edge.http.post(path, json={"plan_hash": plan["plan_hash"]})
    assert (stale.status_code, stale.json()["code"]) == (409, "PLAN_STALE")
    plan = (await edge.http.get(f"/api/ingest/tasks/{planned}/plan")).json()
    assert plan["rows_replaced"] == 12
    for _ in range(2):
        assert (
            await edge.http.post(path, json={"plan_hash": plan["plan_hash"]})
        ).status_code == 202
    await edge.succeeded(planned)
    assert await by_day(edge, datasource) == {"2024-01-01": 10, "2024-01-02": 6, "2024-01-03": 6}

    answer = await edge.http.get(f"/api/ingest/tasks/{planned}/receipt")
    receipt = answer.json()
    assert receipt["sha256"] == sha256(content).hexdigest()
    assert (receipt["rows_read"], receipt["rows_loaded"], receipt["rows_counted"]) == (12, 12, 12)
    assert {each["column"]: each["counted"] for each in receipt["sums"]}["amount"] == pytest.approx(
        36
    )


async def test_columns_that_differ_are_told(
    edge: Edge, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("differing")
    await edge.succeeded(await edge.upload("first.csv", days(0, 0, 10), datasource))
    other = (
        days(0, 0, 10).decode().replace("quantity,", "pieces,").replace(",1\n", ",1.5\n").encode()
    )
    planned = await edge.upload("second.csv", other, datasource, apply="false")
    await edge.until(planned, {"PLANNED"})
    plan = (await edge.http.get(f"/api/ingest/tasks/{planned}/plan")).json()
    changes = {column["name"]: column["change"] for column in plan["columns"]}
    assert (changes["pieces"], changes["quantity"], changes["amount"], changes["region"]) == (
        "NEW",
        "MISSING",
        "CHANGED",
        "SAME",
    )
    assert (await edge.http.post(f"/api/ingest/tasks/{planned}/cancel")).json()[
        "status"
    ] == "CANCELLED"
