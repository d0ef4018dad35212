"""tus in the gateway: unsupported headers are rejected, and HEAD changes nothing."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.rest import tus as tus_http
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.upload.v1.upload_pb2 import Upload, WriteUploadRequest
from tests.unit.gateway.edge_fakes import TASK_ID, FakeUploads, application

PATH = "/api/ingest/uploads"
PLACE = f"{PATH}/{TASK_ID}"
TUS = {"Tus-Resumable": "1.0.0"}
CREATE = {
    **TUS,
    "Upload-Length": "8",
    "Upload-Metadata": "filename YS5jc3Y=,datasource_name c2FsZXM=",
}
APPEND = {**TUS, "Upload-Offset": "4", "Content-Type": "application/offset+octet-stream"}
SHA1 = "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="
"""A digest that matches nothing."""


class Uploads(FakeUploads):
    """One existing upload, with counts of reads, writes and aborts."""

    def __init__(self, upload: Upload) -> None:
        super().__init__()
        self.existing = upload
        self.writes = self.aborts = 0

    async def write(self, messages: AsyncIterator[WriteUploadRequest]) -> Upload:
        self.writes += 1
        return await super().write(messages)

    async def abort(self, upload_id: str) -> Upload:
        self.aborts += 1
        return await super().abort(upload_id)

    @property
    def touched(self) -> bool:
        """Whether there was a call other than a read."""
        return bool(self.requests or self.messages or self.writes or self.aborts)


def upload(mode: "UploadMode.ValueType", committed: int = 4) -> Upload:
    return Upload(
        upload_id=TASK_ID,
        state=TaskState.TASK_STATE_PENDING,
        mode=mode,
        size=8,
        committed_size=committed,
    )


RESUMABLE = upload(UploadMode.UPLOAD_MODE_RESUMABLE)
ONE_SHOT = upload(UploadMode.UPLOAD_MODE_ONE_SHOT, 0)


def client(uploads: FakeUploads) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(None, uploads))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Upload-Concat", "partial"),
        ("Upload-Concat", "final;/api/ingest/uploads/a /api/ingest/uploads/b"),
        ("Upload-Defer-Length", "1"),
        ("Upload-Offset", "4"),
        ("Upload-Complete", "?0"),
        ("Upload-Incomplete", "?1"),
        ("Upload-Draft-Interop-Version", "6"),
        ("Upload-Tag", "x"),
        ("Upload-", "x"),
    ],
)
async def test_a_creation_with_an_unsupported_header_is_rejected(name: str, value: str) -> None:
    uploads = FakeUploads()
    async with client(uploads) as http:
        response = await http.post(PATH, headers={**CREATE, name: value})
    problem = response.json()
    assert (response.status_code, problem["code"]) == (400, "REQUEST_INVALID")
    assert problem["column"].lower() == name.lower()
    assert (problem["value"], bool(problem["action"])) == (value, True)
    assert not uploads.requests


async def test_the_error_of_a_partial_upload_explains_how_to_send_the_file() -> None:
    async with client(FakeUploads()) as http:
        response = await http.post(PATH, headers={**CREATE, "Upload-Concat": "partial"})
        offered = (await http.options(PATH)).headers["Tus-Extension"]
    assert "parallelUploads" in response.json()["action"]
    assert "concatenation" not in offered
    assert "creation-defer-length" not in offered


@pytest.mark.parametrize("name", ["Upload-Concat", "Upload-Length", "Upload-Complete"])
async def test_bytes_with_an_unsupported_header_are_rejected(name: str) -> None:
    uploads = Uploads(RESUMABLE)
    async with client(uploads) as http:
        response = await http.patch(PLACE, headers={**APPEND, name: "8"}, content=b"1234")
    assert (response.status_code, response.json()["column"]) == (400, name)
    assert not uploads.touched


@pytest.mark.parametrize("name", ["Upload-Length", "Upload-Metadata"])
async def test_a_repeated_header_is_rejected(name: str) -> None:
    uploads = FakeUploads()
    twice = [*CREATE.items(), (name, CREATE[name])]
    async with client(uploads) as http:
        response = await http.post(PATH, headers=twice)
    assert (response.status_code, response.json()["column"]) == (400, name)
    assert not uploads.requests


async def test_a_checksum_without_bytes_is_rejected() -> None:
    uploads = FakeUploads()
    async with client(uploads) as http:
        response = await http.post(PATH, headers={**CREATE, "Upload-Checksum": SHA1}, content=b"12")
    assert (response.status_code, response.json()["column"]) == (400, "Upload-Checksum")
    assert not uploads.requests


@pytest.mark.parametrize("committed", [0, 4, 8])
async def test_head_changes_nothing(committed: int) -> None:
    uploads = Uploads(upload(UploadMode.UPLOAD_MODE_RESUMABLE, committed))
    async with client(uploads) as http:
        response = await http.head(PLACE, headers=TUS)
    assert (response.status_code, response.headers["Upload-Offset"]) == (200, str(committed))
    assert not uploads.touched


@pytest.mark.parametrize("method", ["HEAD", "PATCH", "DELETE"])
@pytest.mark.parametrize("content", [b"", b"12"])
async def test_a_one_shot_upload_is_not_touched(method: str, content: bytes) -> None:
    uploads = Uploads(ONE_SHOT)
    async with client(uploads) as http:
        headers = {**APPEND, "Upload-Offset": "0"}
        response = await http.request(method, PLACE, headers=headers, content=content)
    assert response.status_code == 404
    assert response.headers["Tus-Resumable"] == "1.0.0"
    assert method == "HEAD" or response.json()["code"] == "UPLOAD_NOT_RESUMABLE"
    assert not uploads.touched


@pytest.mark.parametrize("offset", ["0", "3", "5"])
async def test_a_wrong_offset_is_rejected_before_any_write(offset: str) -> None:
    uploads = Uploads(RESUMABLE)
    async with client(uploads) as http:
        headers = {**APPEND, "Upload-Offset": offset}
        response = await http.patch(PLACE, headers=headers, content=b"123")
    assert (response.status_code, response.json()["code"]) == (409, "OFFSET_MISMATCH")
    assert not uploads.touched


async def test_an_empty_file_is_rejected_at_creation() -> None:
    uploads = FakeUploads()
    async with client(uploads) as http:
        response = await http.post(PATH, headers={**CREATE, "Upload-Length": "0"})
    assert (response.status_code, response.json()["code"]) == (400, "FILE_EMPTY")
    assert not uploads.requests


async def test_slow_clients_do_not_block_the_checksum_slots(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tus_http, "CHECK_WAIT_S", 0.05)
    monkeypatch.setattr(tus_http, "CHECKED_BODY_S", 1.0)
    uploads = Uploads(RESUMABLE)
    dripping = asyncio.Semaphore(0)

    async def slow_bytes() -> AsyncIterator[bytes]:
        dripping.release()
        while True:
            yield b"x"
            await asyncio.sleep(0.1)

    headers = {**APPEND, "Upload-Checksum": SHA1}
    async with client(uploads) as http:
        slow = [
            asyncio.create_task(http.patch(PLACE, headers=headers, content=slow_bytes()))
            for _ in range(tus_http.MAX_CHECKED)
        ]
        for _ in slow:
            await dripping.acquire()
        rejected = await http.patch(PLACE, headers=headers, content=b"1234")
        assert (rejected.status_code, rejected.json()["code"]) == (429, "TOO_MANY_UPLOADS")
        assert int(rejected.headers["Retry-After"]) in range(3, 13)
        for response in await asyncio.gather(*slow):
            assert (response.status_code, response.json()["code"]) == (408, "UPLOAD_STALLED")
        checked = await http.patch(PLACE, headers=headers, content=b"1234")
    assert (checked.status_code, checked.json()["code"]) == (460, "CHECKSUM_MISMATCH")
