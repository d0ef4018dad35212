"""REST over real HTTP and gRPC."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator

import aiohttp
import httpx
import pytest

from sluice.common.v1.task_pb2 import TaskState
from sluice.validation.v1.validation_pb2 import Header, ReadOptions
from tests.integration.gateway.conftest import LIMIT_BYTES, Edge

BOUNDARY = "frontier"
HEADERS = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def form_head(filename: str = "a.csv", **fields: str) -> bytes:
    """A form up to the first byte of its file."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n'
    )
    return "".join(parts).encode()


TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_an_upload_is_accepted_and_told_where_to_look(edge: Edge) -> None:
    answer = await edge.http.post(
        "/api/ingest/upload",
        data={"datasource_name": "sales"},
        files={"file": ("a.csv", b"a,b\n1,2\n")},
    )
    assert answer.status_code == 202
    task_id = answer.json()["task_id"]
    assert (
        answer.content
        == json.dumps({"task_id": task_id, "status": "ACCEPTED"}, separators=(",", ":")).encode()
    )
    assert answer.headers["location"] == f"/api/ingest/tasks/{task_id}"
    received = edge.fakes.upload.only()
    assert (received.outcome, received.size) == ("COMMITTED", 8)
    task = (await edge.http.get(answer.headers["location"])).json()
    assert list(task)[:2] == ["task_id", "status"]
    assert (task["status"], task["file_size"], task["original_filename"]) == (
        "UPLOADED",
        8,
        "a.csv",
    )
    assert task["created_at"] == "2023-11-14T22:13:20.000Z"


async def test_the_first_bytes_are_at_the_service_before_the_last_are_sent(edge: Edge) -> None:
    size = 30 * 1024 * 1024

    async def body() -> AsyncIterator[bytes]:
        yield form_head(datasource_name="sales")
        for sent in range(0, size, 64 * 1024):
            if sent == 2 * 1024 * 1024:
                # Were the body collected first, this would wait for ever.
                async with asyncio.timeout(10):
                    await edge.fakes.upload.created.wait()
                    await edge.fakes.upload.only().first_chunk.wait()
            yield bytes(64 * 1024)
        yield TAIL

    answer = await edge.http.post("/api/ingest/upload", content=body(), headers=HEADERS)
    assert answer.status_code == 202
    received = edge.fakes.upload.only()
    assert received.size == size
    assert max(received.chunk_sizes) <= 1024 * 1024
    assert min(received.chunk_sizes[:-1]) >= 512 * 1024


async def test_a_client_that_leaves_breaks_the_upload(edge: Edge) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    head = form_head(datasource_name="sales")
    request = (
        "POST /api/ingest/upload HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: {HEADERS['Content-Type']}\r\nContent-Length: 9000000\r\n\r\n"
    )
    writer.write(request.encode() + head + bytes(1024 * 1024))
    await writer.drain()
    async with asyncio.timeout(10):
        await edge.fakes.upload.created.wait()
        received = edge.fakes.upload.only()
        await received.first_chunk.wait()
        writer.close()
        await received.ended.wait()
    assert received.outcome in ("GONE", "CLIENT_GONE")


async def test_a_file_that_grows_too_long_is_refused_while_it_arrives(edge: Edge) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield form_head(datasource_name="sales")
        while True:
            yield bytes(256 * 1024)

    # This client reads while it sends, as browsers and curl do.
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{edge.url}/api/ingest/upload", data=endless(), headers=HEADERS) as answer,
    ):
        assert answer.status == 413
        body = await answer.json()
    assert list(body) == ["code", "message", "line", "column", "value", "action", "actor"]
    assert (body["code"], body["actor"]) == ("FILE_TOO_LARGE", "you")
    assert "64 MiB" in body["message"]
    assert edge.fakes.upload.only().outcome == "FILE_TOO_LARGE"


async def test_the_service_may_refuse_while_the_client_still_sends(edge: Edge) -> None:
    edge.fakes.upload.max_size = 1024 * 1024

    async def body() -> AsyncIterator[bytes]:
        yield form_head(datasource_name="sales")
        for _ in range(160):
            yield bytes(256 * 1024)
        yield TAIL

    answer = await edge.http.post("/api/ingest/upload", content=body(), headers=HEADERS)
    assert (answer.status_code, answer.json()["code"]) == (413, "FILE_TOO_LARGE")
    assert answer.headers["connection"] == "close"
    assert edge.fakes.upload.only().size < 8 * 1024 * 1024


async def test_a_body_that_is_announced_too_long_is_refused_unread(edge: Edge) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
    request = (
        "POST /api/ingest/upload HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
        f"Content-Type: {HEADERS['Content-Type']}\r\nContent-Length: {2 * LIMIT_BYTES}\r\n\r\n"
    )
    writer.write(request.encode())
    async with asyncio.timeout(10):
        status_line = await reader.readline()
    assert status_line.startswith(b"HTTP/1.1 413 ")
    writer.close()
    assert not edge.fakes.upload.uploads


@pytest.mark.parametrize(
    ("after", "code", "status"),
    [
        (
            b'\r\n--frontier\r\nContent-Disposition: form-data; name="file"; filename="b.csv"\r\n\r\nx'
            + TAIL,
            "SECOND_FILE",
            400,
        ),
        (
            b'\r\n--frontier\r\nContent-Disposition: form-data; name="mode"\r\n\r\nreplace' + TAIL,
            "FIELD_ORDER",
            400,
        ),
        (b"", "MULTIPART_MALFORMED", 400),
        (b"\r\n--frontierX" + TAIL, "MULTIPART_MALFORMED", 400),
    ],
)
async def test_what_is_wrong_after_the_file_ends_the_upload_with_its_code(
    edge: Edge, after: bytes, code: str, status: int
) -> None:
    body = form_head(datasource_name="sales") + b"a,b\n" * 400_000 + after
    answer = await edge.http.post("/api/ingest/upload", content=body, headers=HEADERS)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert edge.fakes.upload.only().outcome == code


async def test_an_empty_file_ends_the_upload(edge: Edge) -> None:
    answer = await edge.http.post(
        "/api/ingest/upload", data={"datasource_name": "sales"}, files={"file": ("a.csv", b"")}
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "FILE_EMPTY")
    assert edge.fakes.upload.only().outcome == "FILE_EMPTY"


async def test_the_service_s_refusal_to_begin_is_passed_on(edge: Edge) -> None:
    answer = await edge.http.post(
        "/api/ingest/upload",
        data={"datasource_name": "../x"},
        files={"file": ("a.csv", b"a" * 3_000_000)},
    )
    assert (answer.status_code, answer.json()["code"], answer.json()["value"]) == (
        400,
        "DATASOURCE_NAME_INVALID",
        "../x",
    )


async def test_the_same_key_makes_one_task_and_the_second_body_stays_unread(edge: Edge) -> None:
    first = await edge.http.post(
        "/api/ingest/upload",
        data={"datasource_name": "s"},
        files={"file": ("a.csv", b"a")},
        headers={"Idempotency-Key": "k"},
    )
    again = await edge.http.post(
        "/api/ingest/upload",
        data={"datasource_name": "s"},
        files={"file": ("a.csv", bytes(9_000_000))},
        headers={"Idempotency-Key": "k"},
    )
    assert first.json() == again.json()
    assert edge.fakes.upload.only().size == 1


async def test_a_plain_html_form_is_led_to_the_page(edge: Edge) -> None:
    answer = await edge.http.post(
        "/api/ingest/upload",
        data={"datasource_name": "s", "mode": "replace"},
        files={"file": ("a.csv", b"a")},
        headers={"Accept": "text/html,*/*", "Origin": edge.url},
    )
    (task_id,) = edge.fakes.upload.uploads
    assert (answer.status_code, answer.headers["location"]) == (303, f"/?task={task_id}")


async def test_tasks_are_listed_narrowed_and_cancelled(edge: Edge) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    edge.fakes.status.put(first, TaskState.TASK_STATE_SUCCEEDED, rows_loaded=2**53 + 1)
    edge.fakes.status.put(second, TaskState.TASK_STATE_INGESTING)
    page = (await edge.http.get("/api/ingest/tasks", params={"limit": 1})).json()
    assert [task["task_id"] for task in page["tasks"]] == [second]
    assert page["next_page_token"] == "more"
    page = (await edge.http.get("/api/ingest/tasks", params={"status": "SUCCEEDED"})).json()
    assert [task["row_count"] for task in page["tasks"]] == [2**53 + 1]
    cancelled = await edge.http.post(f"/api/ingest/tasks/{second}/cancel")
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "CANCELLED")
    conflict = await edge.http.post(f"/api/ingest/tasks/{first}/cancel")
    assert (conflict.status_code, conflict.json()["code"]) == (409, "STATE_CONFLICT")


async def test_report_and_rejects(edge: Edge) -> None:
    task_id = str(uuid.uuid4())
    edge.fakes.status.put(task_id, TaskState.TASK_STATE_UPLOADED)
    missing = await edge.http.get(f"/api/ingest/tasks/{task_id}/report")
    assert (missing.status_code, missing.json()["code"]) == (404, "REPORT_NOT_FOUND")
    edge.fakes.status.put(task_id, TaskState.TASK_STATE_SUCCEEDED, report_attempt=2)
    report = (await edge.http.get(f"/api/ingest/tasks/{task_id}/report")).json()
    assert (report["attempt"], report["format"], report["verdict"]) == (2, "CSV", "PASSED")
    assert (report["rows_read"], report["sha256"], report["time"]) == (2**53 + 1, "00" * 32, None)
    rejects = await edge.http.get(f"/api/ingest/tasks/{task_id}/rejects")
    assert rejects.content == b"line,column\r\n7,Sales\r\n"
    workbook = await edge.http.get(f"/api/ingest/tasks/{task_id}/rejects?format=xlsx")
    assert (workbook.content, workbook.headers["content-type"].rsplit(".", 1)[1]) == (
        b"PK",
        "sheet",
    )
    assert (await edge.http.get(f"/api/ingest/tasks/{task_id}/rejects?format=pdf")).json()[
        "code"
    ] == "REQUEST_INVALID"
    assert rejects.headers["content-type"] == "text/csv; charset=utf-8"


async def test_how_a_file_is_to_be_read_goes_with_it_and_can_be_corrected(edge: Edge) -> None:
    said = {"datasource_name": "sales", "options": '{"delimiter":";","header":"no"}'}
    await edge.http.post("/api/ingest/upload", data=said, files={"file": ("a.csv", b"1;2\n")})
    assert edge.fakes.upload.only().request.options == ReadOptions(
        delimiter=";", header=Header.HEADER_NO
    )
    wrong = await edge.http.post(
        "/api/ingest/upload?options={",
        data={"datasource_name": "s"},
        files={"file": ("a.csv", b"1;2\n")},
    )
    assert (wrong.status_code, wrong.json()["code"], wrong.json()["column"]) == (
        400,
        "REQUEST_INVALID",
        "options",
    )
    task_id = str(uuid.uuid4())
    body = {"options": {"delimiter": "|"}}
    again = await edge.http.post(
        f"/api/ingest/tasks/{task_id}/revalidate", json=body, headers={"Idempotency-Key": "k"}
    )
    assert (again.status_code, again.json()["retry_of"]) == (202, task_id)
    document = "mutation ($id: ID!, $o: JSON!) { revalidateIngestionTask(taskId: $id, options: $o) { retryOf } }"
    asked = {"query": document, "variables": {"id": task_id, "o": body["options"]}}
    assert (await edge.http.post("/graphql", json=asked)).json() == {
        "data": {"revalidateIngestionTask": {"retryOf": task_id}}
    }
    for request in edge.fakes.status.retried:
        assert ReadOptions.FromString(request.options) == ReadOptions(delimiter="|")
    assert [request.request_id for request in edge.fakes.status.retried] == ["k", ""]


async def test_a_query_s_answer_is_passed_on_as_it_is(edge: Edge) -> None:
    answer = await edge.http.post("/api/query", json={"sql": "SELECT 1"})
    assert answer.text == (
        '{"columns":[{"name":"n","type":"BIGINT"},{"name":"s","type":"VARCHAR"}],'
        '"rows":[[9007199254740993,"a"],\n[1,null],[-1.50,"é"]],"row_count":3,"truncated":true,"elapsed_ms":12,"query_id":"q-1"}'
    )
    refused = await edge.http.post("/api/query", json={"sql": "wrong"})
    assert (refused.status_code, refused.json()["code"], refused.json()["line"]) == (
        400,
        "QUERY_INVALID",
        1,
    )


async def test_an_answer_that_breaks_does_not_look_complete(edge: Edge) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        await edge.http.post("/api/query", json={"sql": "breaks"})


async def test_a_csv_that_is_cut_fails_in_curl(edge: Edge) -> None:
    async def curl(sql: str, accept: str = "text/csv") -> tuple[int | None, bytes]:
        program = await asyncio.create_subprocess_exec(
            "curl",
            *("--silent", "--max-time", "20", "--header", f"Accept: {accept}"),
            *("--json", json.dumps({"sql": sql}), f"{edge.url}/api/query"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await program.communicate()
        return program.returncode, out

    transfer_closed = 18
    assert await curl("all of it") == (0, b"n,s\r\n9007199254740993,a\r\n1,\r\n-1.5,\xc3\xa9\r\n")
    status, cut = await curl("long and cut")
    assert status == transfer_closed
    assert cut.startswith(b"n,s\r\n")
    status, cut = await curl("long and cut", "application/x-ndjson")
    assert status == transfer_closed
    assert json.loads(cut.splitlines()[-1])["error"]["code"] == "QUERY_TRUNCATED"
    assert edge.fakes.druid.asked[-1].all_rows


async def test_a_query_is_cancelled_with_its_client(edge: Edge) -> None:
    with pytest.raises(httpx.ReadTimeout):
        await edge.http.post("/api/query", json={"sql": "endless"}, timeout=0.5)
    async with asyncio.timeout(10):
        await edge.fakes.druid.cancelled.wait()


async def test_services_that_are_away_are_said(edge: Edge) -> None:
    ready = await edge.http.get("/readyz")
    assert ready.json() == {
        "ready": True,
        "services": {
            "upload": "SERVING",
            "validation": "SERVING",
            "druid_gateway": "SERVING",
            "status": "SERVING",
        },
    }
    await edge.fakes.stops["status_addr"].aclose()
    answer = await edge.http.get("/api/ingest/tasks")
    assert (answer.status_code, answer.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
    assert int(answer.headers["retry-after"]) > 0
    ready = await edge.http.get("/readyz")
    assert (ready.status_code, ready.json()["ready"], ready.json()["services"]["status"]) == (
        503,
        False,
        "UNREACHABLE",
    )
    assert (await edge.http.get("/healthz")).status_code == 200


async def test_figures(edge: Edge) -> None:
    await edge.http.post(
        "/api/ingest/upload", data={"datasource_name": "s"}, files={"file": ("a.csv", b"")}
    )
    text = (await edge.http.get("/metrics")).text
    assert 'sluice_uploads_refused_total{code="FILE_EMPTY"} 1.0' in text
    assert (
        'sluice_http_requests_total{method="POST",route="/api/ingest/upload",status="400"} 1.0'
        in text
    )


async def test_the_grace_is_for_uploads_that_run(edge: Edge) -> None:
    go_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield form_head(datasource_name="sales") + bytes(600_000)
        await go_on.wait()
        yield TAIL

    sending = asyncio.create_task(
        edge.http.post("/api/ingest/upload", content=body(), headers=HEADERS)
    )
    async with asyncio.timeout(10):
        await edge.fakes.upload.created.wait()
        stopping = asyncio.create_task(edge.life.aclose())
        await edge.fakes.upload.only().first_chunk.wait()
        go_on.set()
        answer = await sending
        await stopping
    assert answer.status_code == 202
