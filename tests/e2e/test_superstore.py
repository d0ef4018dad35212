"""A real spreadsheet through each interface, counted by SQL."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from local.stack import Stack
from sluice_client import SluiceClient
from tests.e2e.gateway import Gateway

ROWS = 10_194
SALES = 2326534.3543


@pytest.fixture(params=["Sample - Superstore.csv", "Sample - Superstore.xls"], ids=["csv", "xls"])
def superstore(request: pytest.FixtureRequest, hard_files: Path) -> Path:
    return hard_files / "sales" / str(request.param)


async def assert_superstore(gateway: Gateway, datasource: str) -> None:
    """Check count, sum, time range and column types."""
    count, sales, first, last = (
        await gateway.query(
            f'SELECT COUNT(*), ROUND(SUM("Sales"), 4), MIN(__time), MAX(__time) FROM "{datasource}"'
        )
    )[0]
    assert (count, sales) == (ROWS, SALES)
    assert first.startswith("2019-01-03")
    assert last.startswith("2022-12-30")
    types = dict(
        await gateway.query(
            f"SELECT COLUMN_NAME, DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_NAME = '{datasource}'"
        )
    )
    assert types["Row ID"] == types["Quantity"] == "BIGINT"
    assert types["Sales"] == types["Profit"] == "DOUBLE"
    assert types["Postal Code"] == types["Order ID"] == "VARCHAR"


async def test_rest(
    gateway: Gateway, superstore: Path, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("superstore")
    task = await gateway.succeeded(await gateway.upload(superstore.name, superstore, datasource))
    assert task["row_count"] == task["rows_read"] == ROWS
    assert task["rows_rejected"] == task["rows_skipped"] == 0
    assert task["validation_errors"] == []
    assert [note["code"] for note in task["validation_warnings"]] == (
        ["SHEETS_IGNORED"] if superstore.suffix == ".xls" else []
    )
    await assert_superstore(gateway, datasource)


async def test_grpc(
    gateway: Gateway, stack: Stack, hard_files: Path, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("superstore_grpc")
    addresses = stack.addresses
    async with SluiceClient(
        upload_addr=addresses["upload"],
        status_addr=addresses["status"],
        validation_addr=addresses["validation"],
        druid_gateway_addr=addresses["druid_gateway"],
    ) as client:
        task_id = await client.upload(hard_files / "sales" / "Sample - Superstore.csv", datasource)
        task = await client.wait(task_id)
        assert task.rows_loaded == ROWS, task
    await assert_superstore(gateway, datasource)


async def test_twins_are_equal_in_druid(
    gateway: Gateway, hard_files: Path, new_datasource: Callable[[str], str]
) -> None:
    """All columns of the .csv and the .xls: text and dates are equal, numbers within 1e-9."""
    tables = []
    for suffix in ("csv", "xls"):
        datasource = new_datasource(f"twin_{suffix}")
        await gateway.succeeded(
            await gateway.upload(
                f"twin.{suffix}", hard_files / "sales" / f"Sample - Superstore.{suffix}", datasource
            )
        )
        answer = await gateway.http.post(
            "/api/query", json={"sql": f'SELECT * FROM "{datasource}"', "limit": 20_000}
        )
        body = answer.json()
        assert answer.status_code == 200, body
        assert not body["truncated"]
        keep = [
            index for index, column in enumerate(body["columns"]) if column["name"] != "__load_id"
        ]
        names = [body["columns"][index]["name"] for index in keep]
        number = names.index("Row ID")
        tables.append(
            (
                names,
                sorted(
                    ([row[index] for index in keep] for row in body["rows"]),
                    key=lambda row: row[number],
                ),
            )
        )
    (csv_names, csv_rows), (xls_names, xls_rows) = tables
    assert sorted(csv_names) == sorted(xls_names)
    order = [xls_names.index(name) for name in csv_names]
    assert len(csv_rows) == len(xls_rows) == ROWS
    for left, right in zip(
        csv_rows, ([row[index] for index in order] for row in xls_rows), strict=True
    ):
        for name, one, other in zip(csv_names, left, right, strict=True):
            if isinstance(one, float) and isinstance(other, float):
                assert one == pytest.approx(other, rel=1e-9), name
            else:
                assert one == other, (name, left)


async def test_grpcurl_without_proto_files(stack: Stack) -> None:
    """grpcurl alone can list and call each service."""
    names = {
        "upload": "sluice.upload.v1.UploadService",
        "validation": "sluice.validation.v1.ValidationService",
        "druid_gateway": "sluice.druid.v1.DruidGatewayService",
        "status": "sluice.status.v1.StatusService",
    }
    for service, name in names.items():
        assert name in await grpcurl(stack.addresses[service], "list")
        assert "rpc " in await grpcurl(stack.addresses[service], "describe", name)
    tasks = json.loads(
        await grpcurl(
            stack.addresses["status"],
            "sluice.status.v1.StatusService/ListTasks",
            data='{"page_size": 1}',
        )
    )
    assert set(tasks) <= {"tasks", "next_page_token", "nextPageToken"}
    answer = await grpcurl(
        stack.addresses["druid_gateway"],
        "sluice.druid.v1.DruidGatewayService/Query",
        data='{"sql": "SELECT 1 + 1 AS two"}',
    )
    assert '"two"' in answer


async def grpcurl(address: str, *arguments: str, data: str | None = None) -> str:
    """Run grpcurl, which must succeed; return its output."""
    command = [
        ".venv/bin/grpcurl",
        "-plaintext",
        *(["-d", data] if data else []),
        address,
        *arguments,
    ]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()
