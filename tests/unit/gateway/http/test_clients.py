"""Every interface passes the client and the load fields to the upload service; a client over its
limit gets Retry-After.
"""

import json

import httpx
import pytest

from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode
from sluice.upload.v1.upload_pb2 import CreateUploadRequest, CreateUploadResponse
from tests.unit.gateway.edge_fakes import CONTENT_TYPE, END, FakeUploads, application, part

ADDRESS = "10.0.0.1"
FILE = b"a,b\n1,2\n"


def client(uploads: FakeUploads) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application(None, uploads), client=(ADDRESS, 1))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


async def test_graphql_passes_mode_duplicates_and_client() -> None:
    uploads = FakeUploads()
    query = (
        'mutation($f: Upload!) { uploadSalesData(file: $f, dataSourceName: "sales", '
        'mode: "replace_all", allowDuplicate: true) { taskId } }'
    )
    operations = json.dumps({"query": query, "variables": {"f": None}}).encode()
    body = (
        part("operations", operations)
        + part("map", b'{"0":["variables.f"]}')
        + part("0", FILE, "a.csv")
        + END
    )
    async with client(uploads) as http:
        response = await http.post(
            "/graphql",
            content=body,
            headers={"Content-Type": CONTENT_TYPE, "Apollo-Require-Preflight": "true"},
        )
    assert "errors" not in response.json()
    (asked,) = uploads.requests
    assert (asked.load_mode, asked.allow_duplicate, asked.client) == (
        LoadMode.LOAD_MODE_REPLACE_ALL,
        True,
        ADDRESS,
    )
    assert uploads.data == FILE


async def test_tus_passes_the_client() -> None:
    uploads = FakeUploads()
    said = {
        "Tus-Resumable": "1.0.0",
        "Upload-Length": "8",
        "Upload-Metadata": "filename YS5jc3Y=,datasource_name c2FsZXM=",
    }
    async with client(uploads) as http:
        assert (await http.post("/api/ingest/uploads", headers=said)).status_code == 201
    assert uploads.requests[0].client == ADDRESS


class Full(FakeUploads):
    async def create(self, request: CreateUploadRequest) -> CreateUploadResponse:
        self.requests.append(request)
        raise error(
            ErrorReason.ERROR_REASON_TOO_MANY_UPLOADS, "Too many.", metadata={"retry_after_s": "5"}
        )


@pytest.mark.parametrize("door", ["rest", "tus"])
async def test_a_client_over_its_limit_is_rejected_before_the_first_byte(door: str) -> None:
    uploads = Full()
    async with client(uploads) as http:
        if door == "rest":
            body = part("datasource_name", b"sales") + part("file", FILE, "a.csv") + END
            response = await http.post(
                "/api/ingest/upload", content=body, headers={"Content-Type": CONTENT_TYPE}
            )
        else:
            said = {
                "Tus-Resumable": "1.0.0",
                "Upload-Length": "8",
                "Upload-Metadata": "filename YS5jc3Y=,datasource_name c2FsZXM=",
            }
            response = await http.post("/api/ingest/uploads", headers=said)
    assert (response.status_code, response.headers["retry-after"], response.json()["code"]) == (
        429,
        "5",
        "TOO_MANY_UPLOADS",
    )
    assert uploads.requests[0].client == ADDRESS
    assert not uploads.messages
