"""GraphQL with a standard client: multipart upload, polling, subscription, query; the seed's
documents unchanged.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from gql import Client, FileVar, gql
from gql.transport.aiohttp import AIOHTTPTransport
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport

from local.stack import Stack
from tests.seed_documents import STATUS, UPLOAD
from tests.tables import sales_csv

SUBSCRIBE = (
    "subscription Watch($taskId: ID!) { ingestionTask(taskId: $taskId) { taskId status rowCount } }"
)


@pytest.fixture
def graphql(stack: Stack) -> Client:
    return Client(
        transport=AIOHTTPTransport(
            f"{stack.gateway_url}/graphql", headers={"Apollo-Require-Preflight": "true"}
        ),
        execute_timeout=60,
    )


async def test_upload_watch_and_ask(
    graphql: Client, stack: Stack, tmp_path: Path, new_datasource: Callable[[str], str]
) -> None:
    datasource, path = new_datasource("graphql"), tmp_path / "sales.csv"
    path.write_bytes(sales_csv(500))
    document = gql(UPLOAD)
    document.variable_values = {
        "file": FileVar(str(path), filename="sales.csv"),
        "dataSourceName": datasource,
    }
    uploaded = (await graphql.execute_async(document, upload_files=True))["uploadSalesData"]
    assert uploaded["status"] in {"UPLOADED", "VALIDATING"}
    task_id = uploaded["taskId"]

    sockets = WebsocketsTransport(
        f"{stack.gateway_url.replace('http', 'ws')}/graphql", subprotocols=["graphql-transport-ws"]
    )
    watched = gql(SUBSCRIBE)
    watched.variable_values = {"taskId": task_id}
    states = []
    async with Client(transport=sockets) as session:
        async for event in session.subscribe(watched):
            states.append(event["ingestionTask"]["status"])
            last = event["ingestionTask"]
    assert last == {"taskId": task_id, "status": "SUCCEEDED", "rowCount": 500}
    assert states.count("SUCCEEDED") == 1

    polled = gql(STATUS)
    polled.variable_values = {"taskId": task_id}
    task = (await graphql.execute_async(polled))["getIngestionTaskStatus"]
    assert (task["status"], task["rowCount"], task["fileSize"]) == (
        "SUCCEEDED",
        500,
        path.stat().st_size,
    )
    assert task["createdAt"].endswith("Z")
    assert task["validationErrors"] in (None, [])

    listed = await graphql.execute_async(
        gql("{ listIngestionTasks(limit: 5, offset: 0) { taskId status datasourceName } }")
    )
    assert task_id in [item["taskId"] for item in listed["listIngestionTasks"]]

    asked = gql(
        "query Ask($sql: String!) { queryData(sql: $sql, limit: 1) { columns { name type } rows rowCount truncated } }"
    )
    asked.variable_values = {"sql": f'SELECT COUNT(*) AS n, SUM(quantity) AS q FROM "{datasource}"'}
    answer = (await graphql.execute_async(asked))["queryData"]
    assert answer["columns"] == [{"name": "n", "type": "BIGINT"}, {"name": "q", "type": "BIGINT"}]
    assert answer["rows"][0][0] == 500


async def test_an_unknown_task_is_null(graphql: Client) -> None:
    document = gql(STATUS)
    document.variable_values = {"taskId": "00000000-0000-0000-0000-000000000000"}
    assert (await graphql.execute_async(document))["getIngestionTaskStatus"] is None


async def test_errors_carry_the_code_and_what_to_do(graphql: Client) -> None:
    document = gql("query Ask($sql: String!) { queryData(sql: $sql) { rowCount } }")
    document.variable_values = {"sql": "DELETE FROM x"}
    with pytest.raises(TransportQueryError) as refused:
        await graphql.execute_async(document)
    assert refused.value.errors
    extensions = refused.value.errors[0]["extensions"]
    assert extensions["code"] == "QUERY_FORBIDDEN"
    assert extensions["action"]
    assert extensions["actor"] == "you"
