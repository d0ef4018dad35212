"""Load modes, plans and reverts on the real Druid, through the gateway."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from time import monotonic

import pytest

from tests.e2e.gateway import Gateway
from tests.e2e.test_undo import undone

START = datetime(2024, 1, 1, tzinfo=UTC)


def days(first: int, last: int, of_each: int, amount: int = 1) -> bytes:
    """Return a CSV with `of_each` rows on each day from `first` to `last`, counted from START."""
    lines = ["order_date,region,product,quantity,amount"]
    for day in range(first, last + 1):
        for row in range(of_each):
            at = START + timedelta(days=day, minutes=row)
            lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},north,p{row % 3},{row},{amount}")
    return "\n".join(lines).encode()


async def by_day(gateway: Gateway, datasource: str) -> dict[str, int]:
    """Return the number of rows per day."""
    found = await gateway.query(
        f"SELECT TIME_FLOOR(__time, 'P1D'), COUNT(*) FROM \"{datasource}\" GROUP BY 1 ORDER BY 1"
    )
    return {str(day)[:10]: int(rows) for day, rows in found}


async def gets(
    gateway: Gateway, datasource: str, expected: dict[str, int], seconds: float = 20
) -> None:
    """Wait until a query counts these rows. A replaced chunk without new rows disappears with a
    delay.
    """
    deadline = monotonic() + seconds
    while (found := await by_day(gateway, datasource)) != expected:
        assert monotonic() < deadline, (found, expected)
        await asyncio.sleep(0.1)


async def test_an_interval_is_replaced_including_days_without_new_rows(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("interval")
    first = await gateway.upload("first.csv", days(0, 3, 10), datasource)
    await gateway.succeeded(first)
    fields = {"mode": "replace_interval", "interval": "2024-01-02/2024-01-04"}
    second = await gateway.upload("second.csv", days(1, 1, 4), datasource, **fields)
    task = await gateway.succeeded(second)
    # Without waiting: SUCCEEDED also means that the replaced rows are gone.
    assert await by_day(gateway, datasource) == {
        "2024-01-01": 10,
        "2024-01-02": 4,
        "2024-01-04": 10,
    }
    assert (task["mode"], task["replaced_interval"]) == (
        "replace_interval",
        "2024-01-02T00:00:00.000Z/2024-01-04T00:00:00.000Z",
    )
    assert (await gateway.task(first))["load_state"] == "PARTLY_REPLACED"

    await undone(gateway, second)
    await gets(
        gateway,
        datasource,
        {"2024-01-01": 10, "2024-01-02": 10, "2024-01-03": 10, "2024-01-04": 10},
    )
    assert (await gateway.task(first))["load_state"] == "LIVE"

    outside = await gateway.upload(
        "outside.csv",
        days(1, 2, 4, amount=2),
        datasource,
        mode="replace_interval",
        interval="2024-01-02/2024-01-03",
    )
    refused = await gateway.until(outside, {"REJECTED"})
    assert refused["error"]["code"] == "ROWS_OUTSIDE_INTERVAL"
    assert len(await by_day(gateway, datasource)) == 4


async def test_everything_is_replaced_and_restored(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("everything")
    loads = [
        await gateway.upload(f"{day}.csv", days(day, day + 1, 5), datasource) for day in (0, 100)
    ]
    for load in loads:
        await gateway.succeeded(load)
    replace = await gateway.upload("all.csv", days(50, 50, 7), datasource, mode="replace_all")
    await gateway.succeeded(replace)
    assert await by_day(gateway, datasource) == {"2024-02-20": 7}
    assert [(await gateway.task(load))["load_state"] for load in loads] == ["REPLACED", "REPLACED"]
    receipt = (await gateway.http.get(f"/api/ingest/tasks/{replace}/receipt")).json()
    assert receipt["rows_counted"] == 7
    assert len(receipt["segment_ids"]) > 1

    await undone(gateway, replace)
    await gets(
        gateway, datasource, {"2024-01-01": 5, "2024-01-02": 5, "2024-04-10": 5, "2024-04-11": 5}
    )
    assert [(await gateway.task(load))["load_state"] for load in loads] == ["LIVE", "LIVE"]


async def test_a_day_is_appended_to_what_was_loaded_in_months(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("months")
    await gateway.succeeded(await gateway.upload("months.csv", days(0, 59, 2), datasource))
    # January is emptied, and then the day comes into a chunk without rows.
    fields = {"mode": "replace_interval", "interval": "2024-01-01/2024-02-01"}
    await gateway.succeeded(
        await gateway.upload("january.csv", days(0, 0, 1), datasource, **fields)
    )
    for day in (16, 45):
        await gateway.succeeded(await gateway.upload(f"{day}.csv", days(day, day, 3), datasource))
    counted = await by_day(gateway, datasource)
    assert (counted["2024-01-01"], counted["2024-01-17"], counted["2024-02-15"], len(counted)) == (
        1,
        3,
        5,
        31,
    )
    # The reverse: months into days.
    datasource = new_datasource("days")
    await gateway.succeeded(await gateway.upload("day.csv", days(16, 16, 3), datasource))
    await gateway.succeeded(await gateway.upload("months.csv", days(0, 59, 2), datasource))
    assert sum((await by_day(gateway, datasource)).values()) == 123


async def test_a_plan_is_read_and_applied(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("planned")
    await gateway.succeeded(await gateway.upload("first.csv", days(0, 1, 10), datasource))
    content = days(1, 2, 6, amount=3)
    planned = await gateway.upload("second.csv", content, datasource, mode="replace", apply="false")
    await gateway.until(planned, {"PLANNED"})
    assert await by_day(gateway, datasource) == {"2024-01-01": 10, "2024-01-02": 10}
    plan = (await gateway.http.get(f"/api/ingest/tasks/{planned}/plan")).json()
    assert (plan["rows_added"], plan["rows_replaced"], plan["parts"]) == (12, 10, 1)
    assert [
        (chunk["interval"][:10], chunk["rows_added"], chunk["rows_replaced"])
        for chunk in plan["chunks"]
    ] == [
        ("2024-01-02", 6, 10),
        ("2024-01-03", 6, 0),
    ]
    assert {column["change"] for column in plan["columns"]} == {"SAME"}

    # Another load appends to a replaced chunk: the plan is stale.
    await gateway.succeeded(
        await gateway.upload("between.csv", days(1, 1, 2, amount=9), datasource)
    )
    path = f"/api/ingest/tasks/{planned}/apply"
    stale = await gateway.http.post(path, json={"plan_hash": plan["plan_hash"]})
    assert (stale.status_code, stale.json()["code"]) == (409, "PLAN_STALE")
    plan = (await gateway.http.get(f"/api/ingest/tasks/{planned}/plan")).json()
    assert plan["rows_replaced"] == 12
    for _ in range(2):
        assert (
            await gateway.http.post(path, json={"plan_hash": plan["plan_hash"]})
        ).status_code == 202
    await gateway.succeeded(planned)
    assert await by_day(gateway, datasource) == {"2024-01-01": 10, "2024-01-02": 6, "2024-01-03": 6}

    answer = await gateway.http.get(f"/api/ingest/tasks/{planned}/receipt")
    receipt = answer.json()
    assert receipt["sha256"] == sha256(content).hexdigest()
    assert (receipt["rows_read"], receipt["rows_loaded"], receipt["rows_counted"]) == (12, 12, 12)
    assert {each["column"]: each["counted"] for each in receipt["sums"]}["amount"] == pytest.approx(
        36
    )


async def test_changed_columns_are_reported(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("differing")
    await gateway.succeeded(await gateway.upload("first.csv", days(0, 0, 10), datasource))
    other = (
        days(0, 0, 10).decode().replace("quantity,", "pieces,").replace(",1\n", ",1.5\n").encode()
    )
    planned = await gateway.upload("second.csv", other, datasource, apply="false")
    await gateway.until(planned, {"PLANNED"})
    plan = (await gateway.http.get(f"/api/ingest/tasks/{planned}/plan")).json()
    changes = {column["name"]: column["change"] for column in plan["columns"]}
    assert (changes["pieces"], changes["quantity"], changes["amount"], changes["region"]) == (
        "NEW",
        "MISSING",
        "CHANGED",
        "SAME",
    )
    assert (await gateway.http.post(f"/api/ingest/tasks/{planned}/cancel")).json()[
        "status"
    ] == "CANCELLED"
