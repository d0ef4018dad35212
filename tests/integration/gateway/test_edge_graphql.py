"""GraphQL with the wire format of stock clients, over real HTTP, WebSocket and gRPC."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx
import pytest
from gql import Client, FileVar, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from graphql import (
    build_client_schema,
    build_schema,
    get_introspection_query,
    lexicographic_sort_schema,
    parse,
    print_schema,
    validate,
)

from sluice.common.v1.task_pb2 import TaskState
from tests.integration.gateway.conftest import Edge
from tests.seed_documents import STATUS, UPLOAD

PREFLIGHT = {"Apollo-Require-Preflight": "true"}
BOUNDARY = "frontier"
TYPE = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def head(query: str = UPLOAD, data_source: str = "sales") -> bytes:
    """A GraphQL multipart form up to the first byte of its file."""
    operations = json.dumps(
        {"query": query, "variables": {"file": None, "dataSourceName": data_source}}
    )
    mapping = json.dumps({"0": ["variables.file"]})
    fields = {"operations": operations, "map": mapping}
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="0"; filename="a.csv"\r\n\r\n'
    )
    return "".join(parts).encode()


TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


async def test_a_stock_client_uploads_a_file_and_reads_its_status(
    edge: Edge, tmp_path: Path
) -> None:
    path = tmp_path / "sales.csv"
    path.write_bytes(b"a,b\n" * 300_000)
    transport = AIOHTTPTransport(url=f"{edge.url}/graphql", headers=PREFLIGHT)
    async with Client(transport=transport, fetch_schema_from_transport=True) as session:
        document = gql(UPLOAD)
        document.variable_values = {
            "file": FileVar(str(path), filename="sales.csv", streaming=True),
            "dataSourceName": "sales",
        }
        task = (await session.execute(document, upload_files=True))["uploadSalesData"]
        assert task["status"] == "UPLOADED"
        document = gql(STATUS)
        document.variable_values = {"taskId": task["taskId"]}
        found = (await session.execute(document))["getIngestionTaskStatus"]
    assert (found["fileSize"], found["rowCount"], found["validationErrors"]) == (
        1_200_000,
        None,
        None,
    )
    assert found["createdAt"] == "2023-11-14T22:13:20.000Z"
    received = edge.fakes.upload.only()
    assert (received.outcome, received.size, received.request.filename) == (
        "COMMITTED",
        1_200_000,
        "sales.csv",
    )


async def test_the_operation_starts_while_the_file_is_on_its_way(edge: Edge) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield head()
        yield bytes(2 * 1024 * 1024)
        async with asyncio.timeout(10):
            await edge.fakes.upload.created.wait()
            await edge.fakes.upload.only().first_chunk.wait()
        yield TAIL

    answer = await edge.http.post("/graphql", content=body(), headers={**TYPE, **PREFLIGHT})
    assert answer.json()["data"]["uploadSalesData"]["status"] == "UPLOADED"
    assert edge.fakes.upload.only().size == 2 * 1024 * 1024


async def test_a_file_that_is_too_long_is_told_as_a_graphql_error(edge: Edge) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield head()
        while True:
            yield bytes(256 * 1024)

    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{edge.url}/graphql", data=endless(), headers={**TYPE, **PREFLIGHT}
        ) as answer,
    ):
        told = await answer.json()
    assert told["data"] == {"uploadSalesData": None}
    assert told["errors"][0]["path"] == ["uploadSalesData"]
    assert told["errors"][0]["extensions"]["code"] == "FILE_TOO_LARGE"
    assert told["errors"][0]["extensions"]["limit_bytes"] == str(64 * 1024 * 1024)
    assert edge.fakes.upload.only().outcome == "FILE_TOO_LARGE"


async def test_a_client_that_leaves_breaks_the_upload(edge: Edge) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield head()
        yield bytes(1024 * 1024)
        await edge.fakes.upload.created.wait()
        await edge.fakes.upload.only().first_chunk.wait()
        raise ConnectionAbortedError

    async with asyncio.timeout(10):
        with pytest.raises(ConnectionAbortedError):
            await edge.http.post("/graphql", content=body(), headers={**TYPE, **PREFLIGHT})
        await edge.fakes.upload.only().ended.wait()
    assert edge.fakes.upload.only().outcome in ("GONE", "CLIENT_GONE")


async def test_a_form_without_a_preflight_header_is_refused(edge: Edge) -> None:
    answer = await edge.http.post("/graphql", content=head() + b"a" + TAIL, headers=TYPE)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "PREFLIGHT_REQUIRED"
    assert not edge.fakes.upload.uploads


async def test_reading_lists_and_queries(edge: Edge) -> None:
    ids = [str(uuid.uuid4()) for _ in range(3)]
    for task_id in ids:
        edge.fakes.status.put(task_id, TaskState.TASK_STATE_SUCCEEDED, rows_loaded=2**40)
    text = """{
      listIngestionTasks(limit: 1, offset: 1) { taskId rowCount }
      queryData(sql: "SELECT 1") { columns { name type } rows rowCount truncated elapsedMs queryId }
      getIngestionTaskStatus(taskId: "nobody") { taskId }
    }"""
    data = (await edge.http.post("/graphql", json={"query": text})).json()["data"]
    assert data["listIngestionTasks"] == [{"taskId": ids[1], "rowCount": 2**40}]
    assert data["queryData"]["rows"] == [[9007199254740993, "a"], [1, None], [-1.5, "é"]]
    assert data["queryData"]["columns"][0] == {"name": "n", "type": "BIGINT"}
    assert (data["queryData"]["rowCount"], data["queryData"]["queryId"]) == (3, "q-1")
    assert data["getIngestionTaskStatus"] is None


@pytest.mark.parametrize(
    ("request_body", "status", "code"),
    [
        ({"query": "{ nothing }"}, 200, "REQUEST_INVALID"),
        ({"query": "{"}, 200, "REQUEST_INVALID"),
        ({"query": ""}, 400, "REQUEST_INVALID"),
        ([{"query": "{ __typename }"}], 400, "REQUEST_INVALID"),
        ({"query": "subscription { ingestionTask(taskId: 1) { status } }"}, 400, "REQUEST_INVALID"),
        (
            {"query": 'mutation { uploadSalesData(file: "x", dataSourceName: "s") { status } }'},
            200,
            "REQUEST_INVALID",
        ),
        ({"query": "{ listIngestionTasks(limit: 0) { taskId } }"}, 200, "REQUEST_INVALID"),
        ({"query": '{ queryData(sql: "wrong") { rowCount } }'}, 200, "QUERY_INVALID"),
        (
            {"query": "{" + " ".join(f"a{n}: __typename" for n in range(50)) + "}"},
            200,
            "REQUEST_INVALID",
        ),
    ],
)
async def test_every_error_has_a_code(
    edge: Edge, request_body: object, status: int, code: str
) -> None:
    answer = await edge.http.post("/graphql", json=request_body)
    assert answer.status_code == status
    assert [error["extensions"]["code"] for error in answer.json()["errors"]] == [code]


async def test_a_subscription_follows_a_task_to_its_end(edge: Edge) -> None:
    task_id = str(uuid.uuid4())
    edge.fakes.status.put(task_id, TaskState.TASK_STATE_VALIDATING)
    transport = WebsocketsTransport(url=f"ws://127.0.0.1:{edge.port}/graphql")
    document = gql("subscription ($id: ID!) { ingestionTask(taskId: $id) { status rowCount } }")
    document.variable_values = {"id": task_id}
    seen = []
    async with asyncio.timeout(10), Client(transport=transport) as session:
        async for result in session.subscribe(document):
            seen.append(result["ingestionTask"]["status"])
            if seen[-1] == "VALIDATING":
                edge.fakes.status.put(task_id, TaskState.TASK_STATE_INGESTING)
            elif seen[-1] == "INGESTING":
                edge.fakes.status.put(task_id, TaskState.TASK_STATE_SUCCEEDED, rows_loaded=7)
    assert seen == ["VALIDATING", "INGESTING", "SUCCEEDED"]
    assert transport.subprotocol == "graphql-transport-ws"


async def test_a_subscription_to_nothing_is_an_error_with_a_code(edge: Edge) -> None:
    transport = WebsocketsTransport(url=f"ws://127.0.0.1:{edge.port}/graphql")
    async with asyncio.timeout(10), Client(transport=transport) as session:
        with pytest.raises(TransportQueryError) as told:
            await anext(
                session.subscribe(
                    gql('subscription { ingestionTask(taskId: "nobody") { status } }')
                )
            )
    assert told.value.errors is not None
    assert told.value.errors[0]["extensions"]["code"] == "TASK_NOT_FOUND"


async def test_the_old_protocol_and_foreign_pages_are_refused(edge: Edge) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(
                f"{edge.url}/graphql",
                protocols=("graphql-transport-ws",),
                headers={"Origin": "https://evil.example"},
            )
        assert refused.value.status == 403
        async with session.ws_connect(f"{edge.url}/graphql", protocols=("graphql-ws",)) as old:
            assert (await old.receive()).type == aiohttp.WSMsgType.CLOSE


async def test_the_schema_is_the_committed_one(edge: Edge) -> None:
    committed = build_schema((Path(__file__).parents[3] / "gateway" / "schema.graphql").read_text())
    answer = await edge.http.post("/graphql", json={"query": get_introspection_query()})
    served = build_client_schema(answer.json()["data"])
    assert print_schema(lexicographic_sort_schema(served)) == print_schema(
        lexicographic_sort_schema(committed)
    )
    for document in (UPLOAD, STATUS):
        assert validate(committed, parse(document)) == []


async def test_get_shows_nothing(edge: Edge) -> None:
    answer: httpx.Response = await edge.http.get("/graphql")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["errors"][0]["extensions"]["code"] == "METHOD_NOT_ALLOWED"
