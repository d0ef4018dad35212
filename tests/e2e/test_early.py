"""Inspection during the upload: findings are reported before the end, and the file is not fetched
again.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable

from tests.e2e.gateway import Gateway
from tests.tables import sales_csv

ROWS = 80_000
"""About 4 MiB: less than the inspection may buffer."""


async def test_an_inspected_file_is_not_fetched_again(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    task_id = await gateway.upload("early.csv", sales_csv(ROWS), new_datasource("early"))
    task = await gateway.succeeded(task_id)
    assert task["row_count"] == ROWS
    report = (await gateway.http.get(f"/api/ingest/tasks/{task_id}/report")).json()
    assert "fetch" not in {timing["step"] for timing in report["timings"]}
    assert int(report["rows_read"]) == ROWS


async def test_a_missing_time_column_is_reported_during_the_upload(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    data = sales_csv(ROWS).replace(b"order_date", b"dispatched", 1)
    data = data.replace(b"2024-", b"week ")
    metadata = {"filename": "timeless.csv", "datasource_name": new_datasource("timeless")}
    created = await gateway.http.post(
        "/api/ingest/uploads",
        headers={
            "Tus-Resumable": "1.0.0",
            "Upload-Length": str(len(data) + 1),
            "Upload-Metadata": ",".join(
                f"{name} {b64encode(value.encode()).decode()}" for name, value in metadata.items()
            ),
        },
    )
    assert created.status_code == 201, created.text
    task_id = created.headers["Sluice-Task-Id"]
    warned = asyncio.Event()

    async def all_but_one_byte() -> AsyncIterator[bytes]:
        yield data
        await warned.wait()

    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    sending = asyncio.create_task(
        gateway.http.patch(created.headers["Location"], content=all_but_one_byte(), headers=headers)
    )
    async with asyncio.timeout(20):
        while not (task := await gateway.task(task_id))["validation_warnings"]:  # noqa: ASYNC110 - a poll, as the page without its socket makes
            await asyncio.sleep(0.1)
    assert task["status"] == "PENDING"
    assert [found["code"] for found in task["validation_warnings"]] == ["NO_TIME_COLUMN"]
    assert "So far:" in task["message"]
    warned.set()
    await sending
    await gateway.http.post(f"/api/ingest/tasks/{task_id}/cancel")
