"""The object store, over the S3 API."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import aiohttp
import aiohttp.abc
import aiohttp.payload
import crc32c
from botocore.exceptions import BotoCoreError, ClientError

from services.common import errors, logs
from services.common.s3 import split_uri
from services.upload.ports import FoundObject, StoredPart
from sluice.common.v1.errors_pb2 import ErrorReason

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client
    from types_aiobotocore_s3.type_defs import CompletedPartTypeDef

DATA_DEADLINE_S = 60.0
"""Deadline of a request with a body, including its retries."""

COPY_DEADLINE_S = 180.0
"""Deadline of a copy within the object store, including its retries."""

DEADLINE_S = 20.0
"""Deadline of all other requests, including their retries."""

DAMAGED_ATTEMPTS = 3
"""Attempts of a request whose body arrives damaged."""

_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"}

_WRITE_BYTES = 256 * 1024

Answer = TypeVar("Answer")


class _SlicedPayload(aiohttp.payload.BytesPayload):
    """A bytearray that is written to the socket in slices. By default, aiohttp copies it twice."""

    async def write_with_length(
        self, writer: aiohttp.abc.AbstractStreamWriter, content_length: int | None
    ) -> None:
        view = memoryview(self._value)[:content_length]
        for start in range(0, len(view), _WRITE_BYTES):
            await writer.write(view[start : start + _WRITE_BYTES])


aiohttp.payload.register_payload(_SlicedPayload, bytearray, order=aiohttp.payload.Order.try_first)


class S3ObjectStore:
    """Implements ports.ObjectStore with an S3 client of services.common.s3."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._lists_checksums: bool | None = None

    def uri(self, key: str) -> str:
        """Return s3://bucket/key."""
        return f"s3://{self._bucket}/{key}"

    async def put(self, uri: str, data: bytearray, crc32c: int) -> None:
        """Write a whole object."""
        bucket, key = split_uri(uri)
        async with _translating_errors("storing the file", DATA_DEADLINE_S):
            await _resend_if_damaged(
                lambda: self._client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=data,  # type: ignore[arg-type]  # missing in the stubs
                    ChecksumCRC32C=_encode_crc32c(crc32c),
                )
            )

    async def open_multipart(self, uri: str, *, resumable: bool) -> str:
        """Open a multipart upload.

        With a checksum algorithm, S3 requires the checksums of all parts to complete it, but not
        every store lists them. If it does not, a resumable upload is opened without the algorithm:
        the store still checks each part, and the parts are identified by ETag.
        """
        bucket, key = split_uri(uri)
        async with _translating_errors("opening a multipart upload", DEADLINE_S):
            if resumable and self._lists_checksums is None:
                self._lists_checksums = await self._probe(bucket, f"{key}.probe")
            if resumable and not self._lists_checksums:
                return (await self._client.create_multipart_upload(Bucket=bucket, Key=key))[
                    "UploadId"
                ]
            return (
                await self._client.create_multipart_upload(
                    Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32C"
                )
            )["UploadId"]

    async def _probe(self, bucket: str, key: str) -> bool:
        """Test with a temporary multipart upload whether the store lists the checksums of parts."""
        multipart_id = (
            await self._client.create_multipart_upload(
                Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32C"
            )
        )["UploadId"]
        checksum = _encode_crc32c(crc32c.crc32c(b"?"))
        await self._client.upload_part(
            Bucket=bucket,
            Key=key,
            UploadId=multipart_id,
            PartNumber=1,
            Body=b"?",
            ChecksumCRC32C=checksum,
        )
        listed = await self._client.list_parts(Bucket=bucket, Key=key, UploadId=multipart_id)
        await self._client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=multipart_id)
        return all(part.get("ChecksumCRC32C") == checksum for part in listed.get("Parts", []))

    async def put_part(
        self, uri: str, multipart_id: str, number: int, data: bytearray, crc32c: int
    ) -> StoredPart:
        """Write a part."""
        bucket, key = split_uri(uri)
        async with _translating_errors(f"storing part {number} of the file", DATA_DEADLINE_S):
            answer = await _resend_if_damaged(
                lambda: self._client.upload_part(
                    Bucket=bucket,
                    Key=key,
                    UploadId=multipart_id,
                    PartNumber=number,
                    Body=data,  # type: ignore[arg-type]  # as above
                    ChecksumCRC32C=_encode_crc32c(crc32c),
                )
            )
        return StoredPart(number, answer["ETag"], crc32c, len(data))

    async def parts(self, uri: str, multipart_id: str) -> list[StoredPart] | None:
        """Return the stored parts by number; None without such a multipart upload."""
        bucket, key = split_uri(uri)
        found: list[StoredPart] = []
        async with _translating_errors("listing the parts of the file", DEADLINE_S):
            pages = self._client.get_paginator("list_parts").paginate(
                Bucket=bucket, Key=key, UploadId=multipart_id
            )
            try:
                async for page in pages:
                    for part in page.get("Parts", []):
                        checksum = part.get("ChecksumCRC32C")
                        found.append(
                            StoredPart(
                                part["PartNumber"],
                                part["ETag"],
                                _decode_crc32c(checksum) if checksum else None,
                                part["Size"],
                            )
                        )
            except self._client.exceptions.NoSuchUpload:
                return None
        return sorted(found, key=lambda part: part.number)

    async def complete_multipart(
        self, uri: str, multipart_id: str, parts: list[StoredPart]
    ) -> None:
        """Create the object from its parts.

        If the multipart upload no longer exists, an earlier attempt may have succeeded and only its
        response was lost: then the object must have the same parts.
        """
        bucket, key = split_uri(uri)
        async with _translating_errors("completing a multipart upload", DATA_DEADLINE_S):
            try:
                await self._client.complete_multipart_upload(
                    Bucket=bucket,
                    Key=key,
                    UploadId=multipart_id,
                    MultipartUpload={"Parts": _completed(parts)},
                )
            except self._client.exceptions.NoSuchUpload:
                head = await self._client.head_object(
                    Bucket=bucket,
                    Key=key,
                    ChecksumMode="ENABLED",
                )
                if not is_made_of(parts, head["ContentLength"], head.get("ChecksumCRC32C", "")):
                    raise

    async def abort_multipart(self, uri: str, multipart_id: str) -> None:
        """Delete a multipart upload and its parts."""
        bucket, key = split_uri(uri)
        async with _translating_errors("aborting a multipart upload", DEADLINE_S):
            try:
                await self._client.abort_multipart_upload(
                    Bucket=bucket, Key=key, UploadId=multipart_id
                )
            except self._client.exceptions.NoSuchUpload:
                return

    async def delete(self, uri: str) -> None:
        """Delete an object."""
        bucket, key = split_uri(uri)
        async with _translating_errors("deleting an object", DEADLINE_S):
            await self._client.delete_object(Bucket=bucket, Key=key)

    async def size(self, uri: str) -> int | None:
        """Return the size of an object in bytes; None if it does not exist."""
        bucket, key = split_uri(uri)
        async with _translating_errors("reading the size of an object", DEADLINE_S):
            try:
                return (await self._client.head_object(Bucket=bucket, Key=key))["ContentLength"]
            except ClientError as failure:
                if failure.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    return None
                raise

    async def find(self, uri: str) -> FoundObject | None:
        """Find an object in any bucket; None if it does not exist or may not be read."""
        bucket, key = split_uri(uri)
        async with _translating_errors("finding the file", DEADLINE_S):
            try:
                head = await self._client.head_object(Bucket=bucket, Key=key)
            except ClientError as failure:
                if failure.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (403, 404):
                    return None
                raise
        return FoundObject(head["ContentLength"], head["ETag"])

    async def copy(self, source: str, target: str, found: FoundObject) -> None:
        """Copy an object that has not changed since it was found.

        Not every store checks the condition, so the size is compared too.
        """
        from_bucket, from_key = split_uri(source)
        bucket, key = split_uri(target)
        async with _translating_errors("copying the file", COPY_DEADLINE_S):
            await self._client.copy_object(
                Bucket=bucket,
                Key=key,
                CopySource={"Bucket": from_bucket, "Key": from_key},
                CopySourceIfMatch=found.etag,
            )
            size = (await self._client.head_object(Bucket=bucket, Key=key))["ContentLength"]
        if size != found.size:
            message = f"The object store copied {size:,} bytes of a file of {found.size:,}."
            raise errors.error(ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE, message)

    async def get(self, uri: str) -> bytes:
        """Read an object."""
        bucket, key = split_uri(uri)
        async with _translating_errors("reading the end of the file", DATA_DEADLINE_S):
            answer = await self._client.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            async with answer["Body"] as body:
                return bytes(await body.read())

    async def uris(self, prefix: str) -> list[str]:
        """Return the URIs of all objects below a key prefix."""
        found: list[str] = []
        async with _translating_errors("listing objects", DEADLINE_S):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            async for page in pages:
                found += [self.uri(entry["Key"]) for entry in page.get("Contents", [])]
        return found

    async def open_multiparts(self, prefix: str) -> list[tuple[str, str]]:
        """Return URI and id of all open multipart uploads below a key prefix."""
        found: list[tuple[str, str]] = []
        async with _translating_errors("listing multipart uploads", DEADLINE_S):
            pages = self._client.get_paginator("list_multipart_uploads").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            async for page in pages:
                found += [
                    (self.uri(upload["Key"]), upload["UploadId"])
                    for upload in page.get("Uploads", [])
                ]
        return found

    async def check(self) -> None:
        """Return if the configured bucket is available."""
        await self._client.head_bucket(Bucket=self._bucket)


async def _resend_if_damaged(send: Callable[[], Awaitable[Answer]]) -> Answer:
    """Send a request with a body, and send it again if the store reports a wrong checksum.

    The library does not retry that error.
    """
    for _ in range(DAMAGED_ATTEMPTS - 1):
        try:
            return await send()
        except ClientError as failure:
            if failure.response["Error"].get("Code") not in _DAMAGED:
                raise
            logs.get().warning("s3.damaged", operation=failure.operation_name)
    return await send()


@asynccontextmanager
async def _translating_errors(operation: str, deadline_s: float) -> AsyncIterator[None]:
    """Set the deadline, and raise STORAGE_UNAVAILABLE for every failure."""
    try:
        async with asyncio.timeout(deadline_s):
            yield
    except (ClientError, BotoCoreError, OSError) as failure:
        cause = (
            f"no answer within {deadline_s:g} s"
            if isinstance(failure, TimeoutError)
            else _cause(failure)
        )
        raise errors.error(
            ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE,
            f"The object store failed while {operation}: {cause}.",
        ) from failure


def _cause(failure: Exception) -> str:
    """Return the cause without the addresses and headers in the texts of the library."""
    if isinstance(failure, ClientError):
        return f"{failure.response['Error'].get('Code', 'unknown')} in {failure.operation_name}"
    return type(failure).__name__


def _encode_crc32c(crc32c: int) -> str:
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()


def _decode_crc32c(crc32c: str) -> int:
    return int.from_bytes(base64.b64decode(crc32c), "big")


def _completed(parts: list[StoredPart]) -> "list[CompletedPartTypeDef]":
    if any(part.crc32c is None for part in parts):
        return [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
    return [
        {
            "PartNumber": part.number,
            "ETag": part.etag,
            "ChecksumCRC32C": _encode_crc32c(part.crc32c or 0),
        }
        for part in parts
    ]


def is_made_of(parts: list[StoredPart], size: int, checksum: str) -> bool:
    """Whether an object consists of these parts, by its size and, if available, its checksum.

    The ETag is no evidence: only some stores compute it from MD5s, and not with KMS encryption.
    """
    if size != sum(part.size for part in parts):
        return False
    known = [part.crc32c.to_bytes(4, "big") for part in parts if part.crc32c is not None]
    # A composite checksum ends with the number of parts.
    if "-" not in checksum or len(known) < len(parts):
        return True
    return checksum == f"{_encode_crc32c(crc32c.crc32c(b''.join(known)))}-{len(parts)}"
