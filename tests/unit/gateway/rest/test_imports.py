"""Imports and limits, over REST and GraphQL."""

import httpx
import pytest

from sluice.common.v1.task_pb2 import LoadMode
from tests.unit.gateway.edge_fakes import LIMITS, TASK_ID, FakeTasks, FakeUploads, application

URI = "s3://lake/exports/a.csv"


def client(uploads: FakeUploads, tasks: FakeTasks | None = None) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(
        application(tasks, uploads, max_file_size_bytes=LIMITS.file_bytes), client=("10.0.0.1", 1)
    )
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_rest_passes_all_fields() -> None:
    uploads = FakeUploads()
    async with client(uploads) as http:
        body = {
            "uri": URI,
            "datasource_name": "sales",
            "mode": "replace",
            "allow_duplicate": True,
        }
        response = await http.post(
            "/api/ingest/import", json=body, headers={"Idempotency-Key": "mine"}
        )
    assert (response.status_code, response.json()) == (
        202,
        {"task_id": TASK_ID, "status": "ACCEPTED"},
    )
    assert response.headers["location"] == f"/api/ingest/tasks/{TASK_ID}"
    (asked,) = uploads.imports
    assert (asked.uri, asked.datasource, asked.load_mode, asked.allow_duplicate) == (
        URI,
        "sales",
        LoadMode.LOAD_MODE_REPLACE,
        True,
    )
    assert (asked.request_id, asked.client) == ("mine", "10.0.0.1")


@pytest.mark.parametrize(
    ("body", "column"),
    [
        ({"datasource_name": "sales"}, "uri"),
        ({"uri": URI}, "datasource_name"),
        ({"uri": URI, "datasource_name": "sales", "mode": "upsert"}, "mode"),
        ({"uri": URI, "datasource_name": "sales", "options": {"colour": 1}}, "options.colour"),
    ],
)
async def test_rest_names_the_invalid_field(body: dict[str, object], column: str) -> None:
    uploads = FakeUploads()
    async with client(uploads) as http:
        response = await http.post("/api/ingest/import", json=body)
    assert (response.status_code, response.json()["code"], response.json()["column"]) == (
        400,
        "REQUEST_INVALID",
        column,
    )
    assert not uploads.imports


async def test_graphql_passes_all_fields() -> None:
    uploads = FakeUploads()
    query = 'mutation($u: String!) { importObject(uri: $u, dataSourceName: "sales", mode: "replace") { taskId } }'
    async with client(uploads) as http:
        response = await http.post("/graphql", json={"query": query, "variables": {"u": URI}})
    assert response.json() == {"data": {"importObject": {"taskId": TASK_ID}}}
    (asked,) = uploads.imports
    assert (asked.uri, asked.load_mode, asked.allow_duplicate) == (
        URI,
        LoadMode.LOAD_MODE_REPLACE,
        False,
    )
    assert asked.client == "10.0.0.1"


async def test_limits_are_the_lower_of_gateway_and_service() -> None:
    async with client(FakeUploads()) as http:
        limits = (await http.get("/api/limits")).json()
    assert (limits["max_file_bytes"], limits["extensions"], limits["idle_timeout_s"]) == (
        LIMITS.file_bytes,
        [".csv"],
        60.0,
    )
    assert limits["import_from"] == ["s3://b/"]
