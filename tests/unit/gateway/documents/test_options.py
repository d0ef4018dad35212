"""Read options and settings: JSON objects to protobuf messages."""

import json

import httpx
import pytest

from gateway.documents.options import read_options
from services.common.errors import SluiceError
from sluice.validation.v1.validation_pb2 import (
    ColumnOptions,
    ColumnType,
    Header,
    OnMisfit,
    ReadOptions,
    Rule,
    Severity,
)
from tests.unit.gateway.edge_fakes import application

WHOLE = {
    "delimiter": "\t",
    "header": "no",
    "header_row": 3,
    "dayFirst": True,
    "null_tokens": ["-", ""],
    "columns": [
        {"name": "a,b", "type": "Identifier", "on_misfit": "null_value"},
        {"name": "t", "timeFormat": "%d/%m/%Y"},
    ],
    "rules": [{"name": "max_null_share", "severity": "warn", "limit": 1}],
    "sheet": None,
}


@pytest.mark.parametrize("given", [WHOLE, json.dumps(WHOLE)])
def test_every_type_of_field_is_accepted(given: object) -> None:
    assert read_options(given) == ReadOptions(
        delimiter="\t",
        header=Header.HEADER_NO,
        header_row=3,
        day_first=True,
        null_tokens=["-", ""],
        columns=[
            ColumnOptions(
                name="a,b",
                type=ColumnType.COLUMN_TYPE_IDENTIFIER,
                on_misfit=OnMisfit.ON_MISFIT_NULL_VALUE,
            ),
            ColumnOptions(name="t", time_format="%d/%m/%Y"),
        ],
        rules=[Rule(name="max_null_share", severity=Severity.SEVERITY_WARN, limit=1)],
    )


@pytest.mark.parametrize("given", [None, ""])
def test_missing_options_are_none(given: object) -> None:
    assert read_options(given) is None


@pytest.mark.parametrize(
    ("given", "column"),
    [
        ("{", "options"),
        ("[" * 100_000, "options"),
        ([], "options"),
        ({"delimeter": ";"}, "options.delimeter"),
        ({"delimiter": 5}, "options.delimiter"),
        ({"delimiter": "||||"}, "options.delimiter"),
        ({"day_first": 1}, "options.day_first"),
        ({"header_row": 1.5}, "options.header_row"),
        ({"header_row": True}, "options.header_row"),
        ({"header_row": 1 << 63}, "options.header_row"),
        ({"header_row": -1}, "options.header_row"),
        ({"header": "maybe"}, "options.header"),
        ({"header": "unspecified"}, "options.header"),
        ({"columns": {}}, "options.columns"),
        ({"columns": [{"name": "a"}, {"nam": "b"}]}, "options.columns[1].nam"),
        ({"rules": [{"name": "max_nulls"}]}, "options.rules.name"),
        ({"null_tokens": [None]}, "options.null_tokens[0]"),
    ],
)
def test_errors_name_the_field(given: object, column: str) -> None:
    with pytest.raises(SluiceError) as failure:
        read_options(given)
    assert (failure.value.code, failure.value.problem.column) == ("REQUEST_INVALID", column)


async def test_datasource_settings_over_rest_and_graphql() -> None:
    settings = {
        "policy": {
            "contract": {"mode": "freeze"},
            "rules": [{"name": "min_columns", "severity": "warn"}],
        }
    }
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(application()), base_url="http://localhost"
    ) as client:
        kept = (await client.put("/api/datasources/sales/settings", json=settings)).json()
        assert (
            kept["policy"]["contract"]["mode"],
            kept["policy"]["rules"][0]["severity"],
            kept["options"],
        ) == ("FREEZE", "WARN", None)
        assert (await client.get("/api/datasources/sales/settings")).json() == kept
        wrong = await client.put(
            "/api/datasources/sales/settings", json={"policy": {"contract": {"mode": "thaw"}}}
        )
        assert (wrong.status_code, wrong.json()["column"]) == (400, "settings.policy.contract.mode")
        assert (await client.get("/api/datasources/sales/quality?limit=7")).json()[0]["quality"][
            "rows_read"
        ] == 7
        document = """mutation ($s: JSON!) { updateDatasourceSettings(name: "b", settings: $s) }"""
        await client.post("/graphql", json={"query": document, "variables": {"s": settings}})
        asked = {
            "query": """{ datasourceSettings(name: "b") datasourceQuality(name: "b", limit: 3) }"""
        }
        told = (await client.post("/graphql", json=asked)).json()["data"]
        assert (
            told["datasourceSettings"],
            told["datasourceQuality"][0]["quality"]["rows_read"],
        ) == (kept, 3)
