"""A file is read while it arrives: what is wrong with it is told before it is all here, and it is
not fetched again.
"""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator, Callable

from tests.e2e.edge import Edge
from tests.tables import sales_csv

ROWS = 80_000
"""About 4 MiB: read while it arrives, and never more on the way than may wait."""


async def test_a_file_that_was_read_while_it_arrived_is_not_fetched_again(
    edge: Edge, new_datasource: Callable[[str], str]
) -> None:
    task_id = await edge.upload("early.csv", sales_csv(ROWS), new_datasource("early"))
    task = await edge.succeeded(task_id)
    assert task["row_count"] == ROWS
    report = (await edge.http.get(f"/api/ingest/tasks/{task_id}/report")).json()
    assert "fetch" not in {timing["step"] for timing in report["timings"]}
    assert int(report["rows_read"]) == ROWS


async def test_a_file_without_times_is_told_so_while_it_arrives(
    edge: Edge, new_datasource: Callable[[str], str]
) -> None:
    data = sales_csv(ROWS).replace(b"order_date", b"dispatched", 1)
    data = data.replace(b"2024-", b"week ")
    metadata = {"filename": "timeless.csv", "datasource_name": new_datasource("timeless")}
    created = await edge.http.post(
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
    told = asyncio.Event()

    async def all_but_one_byte() -> AsyncIterator[bytes]:
        yield data
        await told.wait()

    headers = {
        "Tus-Resumable": "1.0.0",
        "Upload-Offset": "0",
        "Content-Type": "application/offset+octet-stream",
    }
    sending = asyncio.create_task(
        edge.http.patch(created.headers["Location"], content=all_but_one_byte(), headers=headers)
    )
    async with asyncio.timeout(20):
        while not (task := await edge.task(task_id))["validation_warnings"]:  # noqa: ASYNC110 - a poll, as the page without its socket makes
            await asyncio.sleep(0.1)
    assert task["status"] == "PENDING"
    assert [found["code"] for found in task["validation_warnings"]] == ["NO_TIME_COLUMN"]
    assert "So far:" in task["message"]
    told.set()
    await sending
    await edge.http.post(f"/api/ingest/tasks/{task_id}/cancel")
