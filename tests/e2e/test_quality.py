"""Drift, contracts and settings of a datasource."""

from collections.abc import Callable

from tests.e2e.gateway import Gateway

DAYS = [f"2024-01-{number % 28 + 1:02}" for number in range(400)]
FIRST = "\n".join(
    [
        "date,units,price,region,shop",
        *(f"{day},{n % 9},{n}.5,North,s{n % 3}" for n, day in enumerate(DAYS)),
    ]
).encode()
CHANGED = "\n".join(
    [
        "date,units,price,region,note",
        *(f"{day},{n % 9},{n + 5000}.5,North,x" for n, day in enumerate(DAYS)),
    ]
).encode()
NARROW = b"date,units,price\n2024-02-01,1,1.5\n2024-02-02,2,2.5\n"


async def test_drift_contract_and_settings(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("quality")
    settings, quality = (
        f"/api/datasources/{datasource}/settings",
        f"/api/datasources/{datasource}/quality",
    )

    async def set_contract(mode: str) -> None:
        answer = await gateway.http.put(settings, json={"policy": {"contract": {"mode": mode}}})
        assert answer.status_code == 200, answer.text

    first = await gateway.upload("first.csv", FIRST, datasource)
    await gateway.succeeded(first)

    await set_contract("freeze")
    refused = await gateway.until(
        await gateway.upload("changed.csv", CHANGED, datasource), {"REJECTED"}
    )
    assert (refused["status"], refused["validation_errors"][0]["code"]) == (
        "REJECTED",
        "CONTRACT_BROKEN",
    )
    assert refused["validation_errors"][0]["column"] == "shop"

    await set_contract("discard")
    narrowed = await gateway.upload("changed.csv", CHANGED, datasource)
    await gateway.succeeded(narrowed)
    report = (await gateway.http.get(f"/api/ingest/tasks/{narrowed}/report")).json()
    assert [(drift["kind"], drift["column"]) for drift in report["drift"]] == [
        ("MISSING", "shop"),
        ("SHIFTED", "price"),
    ]
    assert report["compared_with"] == first
    left_out = next(
        problem for problem in report["problems"] if problem["code"] == "COLUMN_LEFT_OUT"
    )
    assert left_out["column"] == "note"
    answer = await gateway.http.post(
        "/api/query", json={"sql": f'SELECT * FROM "{datasource}" LIMIT 1'}
    )
    assert "note" not in [column["name"] for column in answer.json()["columns"]]

    history = (await gateway.http.get(quality)).json()
    assert [
        (each["filename"], each["state"], len(each["quality"]["drift"])) for each in history
    ] == [
        ("changed.csv", "SUCCEEDED", 2),
        ("changed.csv", "REJECTED", 3),
        ("first.csv", "SUCCEEDED", 0),
    ]


async def test_the_limit_of_a_rule_takes_effect(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("settings")
    narrow = await gateway.until(
        await gateway.upload("narrow.csv", NARROW, datasource), {"REJECTED"}
    )
    assert (narrow["status"], narrow["validation_errors"][0]["code"]) == (
        "REJECTED",
        "TOO_FEW_COLUMNS",
    )
    mutation = "mutation($name: String!, $settings: JSON!) { updateDatasourceSettings(name: $name, settings: $settings) }"
    values = {
        "name": datasource,
        "settings": {"policy": {"rules": [{"name": "min_columns", "limit": 3}]}},
    }
    answer = (
        await gateway.http.post("/graphql", json={"query": mutation, "variables": values})
    ).json()
    assert answer["data"]["updateDatasourceSettings"]["policy"]["rules"][0]["limit"] == 3
    await gateway.succeeded(await gateway.upload("narrow.csv", NARROW, datasource))
