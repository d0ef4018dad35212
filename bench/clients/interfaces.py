"""Uploads through the four interfaces, and directly into the object store for comparison.

The HTTP clients use plain sockets and `sendfile`: on two cores, a client that copies every byte
would take CPU from the measured server.
"""

import asyncio
import base64
import hashlib
import json
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

import crc32c

from bench.support.harness import MIB
from local.stack import Stack
from services.common import s3
from services.common.settings import S3Settings
from sluice_client import SluiceClient

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

PART_BYTES = 8 * MIB
PARTS_IN_FLIGHT = 4

RESTART_S = 60.0
"""Time within which a killed server must respond again."""


@dataclass
class Interfaces:
    """The interfaces of a stack. Each upload returns the task id. `address` overrides the
    gateway's, `upload_address` that of the upload service.
    """

    stack: Stack
    address: tuple[str, int] | None = None
    upload_address: str = ""

    @property
    def all(self) -> dict[str, Callable[[Path], str]]:
        """Name -> upload function."""
        return {"rest": self.rest, "graphql": self.graphql, "tus": self.tus, "grpc": self.grpc}

    def rest(self, path: Path) -> str:
        """Upload with POST /api/ingest/upload."""
        boundary = secrets.token_hex(16)
        head = _field(boundary, "datasource_name", _datasource()) + _file(boundary, "file", path)
        return str(self._form("/api/ingest/upload", boundary, head, path)["task_id"])

    def graphql(self, path: Path) -> str:
        """Upload with the mutation uploadSalesData as a multipart request."""
        boundary = secrets.token_hex(16)
        query = "mutation($f: Upload!, $d: String!) { uploadSalesData(file: $f, dataSourceName: $d) { taskId } }"
        operations = json.dumps({"query": query, "variables": {"f": None, "d": _datasource()}})
        mapping = json.dumps({"0": ["variables.f"]})
        head = (
            _field(boundary, "operations", operations)
            + _field(boundary, "map", mapping)
            + _file(boundary, "0", path)
        )
        answer = self._form("/graphql", boundary, head, path, "Apollo-Require-Preflight: true\r\n")
        return str(answer["data"]["uploadSalesData"]["taskId"])

    def tus(self, path: Path) -> str:
        """Upload with POST and one PATCH of the whole file."""
        size, location, task_id = self._create_tus(path)
        patch = f"Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: {size}\r\n"
        status, answered, body = self._send("PATCH", location, patch, b"", path, b"")
        if (status, answered.get("upload-offset")) != (204, str(size)):
            raise RuntimeError(f"PATCH answered {status}: {body[:300]!r}")
        return task_id

    def tus_to_plan(self, path: Path, *, broken: bool) -> str:
        """Upload like `tus`, with apply=false. If `broken`, send the first byte over a separate
        connection.
        """
        size, location, task_id = self._create_tus(path, apply="false")
        offset = 0
        if broken:
            patch = "Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 1\r\n"
            with path.open("rb") as file:
                status, _, _ = self._send("PATCH", location, patch, file.read(1), None, b"")
            _expect(status, 204)
            offset = 1
        for _ in self._patch(path, location, offset, size):
            pass
        return task_id

    def tus_with_breaks(
        self, path: Path, at: list[int], disrupt: Callable[[], None]
    ) -> tuple[str, list[int]]:
        """Upload like `tus`; call `disrupt` after each number of sent bytes in `at`, and resume.

        Returns the task id, and the number of resent bytes of each break.
        """
        size, location, task_id = self._create_tus(path)
        pending, resent, sent, offset = list(at), [], 0, 0
        while offset < size:
            resent += [sent - offset] if sent > offset else []
            try:
                for sent in self._patch(path, location, offset, size):
                    if pending and sent > pending[0]:
                        pending.pop(0)
                        disrupt()
            except OSError:
                pass
            offset = self._tus_offset(location)
        return task_id, resent

    def _patch(self, path: Path, location: str, offset: int, size: int) -> Iterator[int]:
        """Send the file from `offset`; yield the new offset after each piece."""
        patch = f"Tus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\nContent-Type: application/offset+octet-stream\r\n"
        with (
            socket.create_connection(self._server(), timeout=300) as connection,
            path.open("rb") as file,
        ):
            connection.sendall(
                self._head("PATCH", location, f"{patch}Content-Length: {size - offset}\r\n")
            )
            file.seek(offset)
            while piece := file.read(MIB):
                connection.sendall(piece)
                offset += len(piece)
                yield offset
            if not connection.recv(65536):
                raise ConnectionResetError

    def _tus_offset(self, location: str) -> int:
        """Return the server's offset, retrying until it responds."""
        deadline = time.monotonic() + RESTART_S
        while True:
            try:
                status, headers, _ = self._send(
                    "HEAD", location, "Tus-Resumable: 1.0.0\r\n", b"", None, b""
                )
                _expect(status, 200)
                return int(headers["upload-offset"])
            except (OSError, RuntimeError, IndexError):  # IndexError: an empty response
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _create_tus(self, path: Path, **more: str) -> tuple[int, str, str]:
        size = path.stat().st_size
        metadata = ",".join(
            f"{key} {base64.b64encode(value.encode()).decode()}"
            for key, value in {**_metadata(path), **more}.items()
        )
        created = f"Tus-Resumable: 1.0.0\r\nUpload-Length: {size}\r\nUpload-Metadata: {metadata}\r\nContent-Length: 0\r\n"
        status, headers, _ = self._send("POST", "/api/ingest/uploads", created, b"", None, b"")
        _expect(status, 201)
        return size, headers["location"], headers["sluice-task-id"]

    def plain(self, path: Path) -> str:
        """Upload to `bench.clients.seed_server`; return the key of the object."""
        boundary = secrets.token_hex(16)
        return str(self._form("/upload", boundary, _file(boundary, "file", path), path)["key"])

    def grpc(self, path: Path) -> str:
        """Upload with sluice_client."""

        async def send() -> str:
            addresses = self.stack.addresses
            upload = self.upload_address or addresses["upload"]
            async with SluiceClient(
                upload, addresses["status"], addresses["validation"], addresses["druid_gateway"]
            ) as client:
                return await client.upload(path, _datasource())

        return asyncio.run(send())

    def direct(self, path: Path, key: str) -> None:
        """Upload into the object store with aioboto3: parts of 8 MiB, four in flight."""
        asyncio.run(self._direct(path, key, path.stat().st_size))

    async def _direct(self, path: Path, key: str, size: int) -> None:
        async with s3.client(_settings(self.stack), connections=PARTS_IN_FLIGHT) as client:
            bucket = self.stack.s3_bucket
            created = await client.create_multipart_upload(
                Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32C"
            )
            slots = asyncio.Semaphore(PARTS_IN_FLIGHT)

            async def put(number: int) -> "CompletedPartTypeDef":
                async with slots:
                    data, checksum = await asyncio.to_thread(_part, path, number)
                    answer = await client.upload_part(
                        Bucket=bucket,
                        Key=key,
                        UploadId=created["UploadId"],
                        PartNumber=number,
                        Body=data,
                        ChecksumCRC32C=checksum,
                    )
                return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumCRC32C": checksum}

            numbers = range(1, -(-size // PART_BYTES) + 1)
            parts = await asyncio.gather(*(put(number) for number in numbers))
            await client.complete_multipart_upload(
                Bucket=bucket,
                Key=key,
                UploadId=created["UploadId"],
                MultipartUpload={"Parts": parts},
            )

    async def stored_sha256(self, uri: str) -> str:
        """Return the SHA-256 of an object in hexadecimal."""
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        digest = hashlib.sha256()
        async with (
            s3.client(_settings(self.stack)) as client,
            (await client.get_object(Bucket=bucket, Key=key))["Body"] as body,
        ):
            async for piece in body.content.iter_chunked(MIB):
                digest.update(piece)
        return digest.hexdigest()

    def delete(self, key: str) -> None:
        """Delete an object."""

        async def delete() -> None:
            async with s3.client(_settings(self.stack)) as client:
                await client.delete_object(Bucket=self.stack.s3_bucket, Key=key)

        asyncio.run(delete())

    def _form(
        self, target: str, boundary: str, head: bytes, path: Path, more: str = ""
    ) -> dict[str, Any]:
        tail = f"\r\n--{boundary}--\r\n".encode()
        length = len(head) + path.stat().st_size + len(tail)
        headers = f"Content-Type: multipart/form-data; boundary={boundary}\r\nContent-Length: {length}\r\n{more}"
        status, _, body = self._send("POST", target, headers, head, path, tail)
        if status not in (200, 202):
            raise RuntimeError(f"{target} answered {status}: {body[:300]!r}")
        return dict(json.loads(body))

    def _send(
        self, method: str, target: str, headers: str, head: bytes, path: Path | None, tail: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        with socket.create_connection(self._server(), timeout=300) as connection:
            connection.sendall(self._head(method, target, headers) + head)
            if path is not None:
                with path.open("rb") as file:
                    connection.sendfile(file)
            connection.sendall(tail)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        top, _, body = answer.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        named = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines[1:])
        }
        return int(lines[0].split()[1]), named, body

    def _server(self) -> tuple[str, int]:
        url = urlsplit(self.stack.gateway_url)
        return self.address or (url.hostname or "", url.port or 80)

    def _head(self, method: str, target: str, headers: str) -> bytes:
        host = urlsplit(self.stack.gateway_url).netloc
        return f"{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n".encode()


def _datasource() -> str:
    return f"bench_upload_{uuid4().hex[:8]}"


def _metadata(path: Path) -> dict[str, str]:
    return {"filename": path.name, "datasource_name": _datasource()}


def _field(boundary: str, name: str, value: str) -> bytes:
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    )


def _file(boundary: str, name: str, path: Path) -> bytes:
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{path.name}"\r\n\r\n'.encode()


def _part(path: Path, number: int) -> tuple[bytes, str]:
    with path.open("rb", buffering=0) as file:
        file.seek((number - 1) * PART_BYTES)
        data = file.read(PART_BYTES)
    return data, base64.b64encode(crc32c.crc32c(data).to_bytes(4, "big")).decode()


def _settings(stack: Stack) -> S3Settings:
    return S3Settings(
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
        aws_default_region=stack.s3_region,
        aws_endpoint_url_s3=stack.s3_endpoint,
        s3_bucket_name=stack.s3_bucket,
    )


def _expect(status: int, wanted: int) -> None:
    if status != wanted:
        raise RuntimeError(f"the gateway answered {status}, not {wanted}")
