"""The object store by the S3 API."""

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
"""For a request that carries bytes, with its retries."""

COPY_DEADLINE_S = 180.0
"""For a copy within the object store, with its retries."""

DEADLINE_S = 20.0
"""For any other request, with its retries."""


DAMAGED_TRIES = 3
"""How often bytes are sent that arrive damaged."""

_DAMAGED = {"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"}

_WRITE_BYTES = 256 * 1024

Answer = TypeVar("Answer")


class _SlicedPayload(aiohttp.payload.BytesPayload):
    """A bytearray that goes to the socket slice by slice. aiohttp would first copy it, then copy it
    again to put the headers before it.
    """

    async def write_with_length(
        self, writer: aiohttp.abc.AbstractStreamWriter, content_length: int | None
    ) -> None:
        view = memoryview(self._value)[:content_length]
        for start in range(0, len(view), _WRITE_BYTES):
            await writer.write(view[start : start + _WRITE_BYTES])


aiohttp.payload.register_payload(_SlicedPayload, bytearray, order=aiohttp.payload.Order.try_first)


class S3ObjectStore:
    """ObjectStore on an S3 client of services.common.s3."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket
        self._lists_checksums: bool | None = None

    def uri(self, key: str) -> str:
        """s3://bucket/key."""
        return f"s3://{self._bucket}/{key}"

    async def put(self, uri: str, data: bytearray, crc32c: int) -> None:
        """Writes a whole object."""
        bucket, key = split_uri(uri)
        async with _asked("to take the file", DATA_DEADLINE_S):
            await _undamaged(
                lambda: self._client.put_object(
                    Bucket=bucket,
                    Key=key,
                    Body=data,  # type: ignore[arg-type]  # the stubs leave out bytearray, which botocore takes
                    ChecksumCRC32C=_encoded(crc32c),
                )
            )

    async def open_multipart(self, uri: str, *, resumable: bool) -> str:
        """Begins a multipart upload.

        One with a checksum algorithm has to be completed with the checksum of every part, and not
        every store lists those. Where it does not, a resumable upload is opened without: the store
        still checks each part as it comes, and the parts are put together by ETag.
        """
        bucket, key = split_uri(uri)
        async with _asked("to begin a multipart upload", DEADLINE_S):
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
        """Whether the store tells the checksums of parts that it lists. Asked once, with an upload
        that is given up.
        """
        multipart_id = (
            await self._client.create_multipart_upload(
                Bucket=bucket, Key=key, ChecksumAlgorithm="CRC32C"
            )
        )["UploadId"]
        checksum = _encoded(crc32c.crc32c(b"?"))
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
        """Writes one part."""
        bucket, key = split_uri(uri)
        async with _asked(f"to take part {number} of the file", DATA_DEADLINE_S):
            answer = await _undamaged(
                lambda: self._client.upload_part(
                    Bucket=bucket,
                    Key=key,
                    UploadId=multipart_id,
                    PartNumber=number,
                    Body=data,  # type: ignore[arg-type]  # as above
                    ChecksumCRC32C=_encoded(crc32c),
                )
            )
        return StoredPart(number, answer["ETag"], crc32c, len(data))

    async def parts(self, uri: str, multipart_id: str) -> list[StoredPart] | None:
        """The parts that are there."""
        bucket, key = split_uri(uri)
        found: list[StoredPart] = []
        async with _asked("for the parts of the file", DEADLINE_S):
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
                                _decoded(checksum) if checksum else None,
                                part["Size"],
                            )
                        )
            except self._client.exceptions.NoSuchUpload:
                return None
        return sorted(found, key=lambda part: part.number)

    async def complete_multipart(
        self, uri: str, multipart_id: str, parts: list[StoredPart]
    ) -> None:
        """Makes the object of its parts; found to be done where only the answer of an earlier try
        was lost.
        """
        bucket, key = split_uri(uri)
        async with _asked("to put the parts of the file together", DATA_DEADLINE_S):
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
        """Frees the parts."""
        bucket, key = split_uri(uri)
        async with _asked("to abort a multipart upload", DEADLINE_S):
            try:
                await self._client.abort_multipart_upload(
                    Bucket=bucket, Key=key, UploadId=multipart_id
                )
            except self._client.exceptions.NoSuchUpload:
                return

    async def delete(self, uri: str) -> None:
        """Deletes an object."""
        bucket, key = split_uri(uri)
        async with _asked("to delete an object", DEADLINE_S):
            await self._client.delete_object(Bucket=bucket, Key=key)

    async def size(self, uri: str) -> int | None:
        """Size of an object."""
        bucket, key = split_uri(uri)
        async with _asked("for an object", DEADLINE_S):
            try:
                return (await self._client.head_object(Bucket=bucket, Key=key))["ContentLength"]
            except ClientError as failure:
                if failure.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    return None
                raise

    async def find(self, uri: str) -> FoundObject | None:
        """An object of any bucket."""
        bucket, key = split_uri(uri)
        async with _asked("for the file", DEADLINE_S):
            try:
                head = await self._client.head_object(Bucket=bucket, Key=key)
            except ClientError as failure:
                if failure.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (403, 404):
                    return None
                raise
        return FoundObject(head["ContentLength"], head["ETag"])

    async def copy(self, source: str, target: str, found: FoundObject) -> None:
        """Within the object store. Not every store looks at the condition, so the size is compared
        as well.
        """
        from_bucket, from_key = split_uri(source)
        bucket, key = split_uri(target)
        async with _asked("to copy the file", COPY_DEADLINE_S):
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
        """The bytes of an object."""
        bucket, key = split_uri(uri)
        async with _asked("for what it has of the file", DATA_DEADLINE_S):
            answer = await self._client.get_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
            async with answer["Body"] as body:
                return bytes(await body.read())

    async def uris(self, prefix: str) -> list[str]:
        """Every object below a prefix."""
        found: list[str] = []
        async with _asked("for its objects", DEADLINE_S):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            )
            async for page in pages:
                found += [self.uri(entry["Key"]) for entry in page.get("Contents", [])]
        return found

    async def open_multiparts(self, prefix: str) -> list[tuple[str, str]]:
        """URI and id of every multipart upload that is open."""
        found: list[tuple[str, str]] = []
        async with _asked("for its open multipart uploads", DEADLINE_S):
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
        """Returns while our bucket answers."""
        await self._client.head_bucket(Bucket=self._bucket)


async def _undamaged(send: Callable[[], Awaitable[Answer]]) -> Answer:
    """The answer to a request with bytes; sent again where the store found that they do not have
    their checksum. The library retries only what it takes for a fault of the store.
    """
    for _ in range(DAMAGED_TRIES - 1):
        try:
            return await send()
        except ClientError as failure:
            if failure.response["Error"].get("Code") not in _DAMAGED:
                raise
            logs.get().warning("s3.damaged", operation=failure.operation_name)
    return await send()


@asynccontextmanager
async def _asked(what: str, deadline_s: float) -> AsyncIterator[None]:
    """Sets the deadline, and turns every failure into STORAGE_UNAVAILABLE."""
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
            f"The object store was asked {what} and failed: {cause}.",
        ) from failure


def _cause(failure: Exception) -> str:
    """What went wrong, without the addresses and headers that the library's own texts contain."""
    if isinstance(failure, ClientError):
        return f"{failure.response['Error'].get('Code', 'unknown')} in {failure.operation_name}"
    return type(failure).__name__


def _encoded(crc32c: int) -> str:
    return base64.b64encode(crc32c.to_bytes(4, "big")).decode()


def _decoded(crc32c: str) -> int:
    return int.from_bytes(base64.b64decode(crc32c), "big")


def _completed(parts: list[StoredPart]) -> "list[CompletedPartTypeDef]":
    if any(part.crc32c is None for part in parts):
        return [{"PartNumber": part.number, "ETag": part.etag} for part in parts]
    return [
        {"PartNumber": part.number, "ETag": part.etag, "ChecksumCRC32C": _encoded(part.crc32c or 0)}
        for part in parts
    ]


def is_made_of(parts: list[StoredPart], size: int, checksum: str) -> bool:
    """Whether an object is the one of these parts, as far as the store tells: by its size, and by
    its checksum where that is one of the parts' checksums. Its ETag says nothing: it is made of
    MD5s in some stores only, and not where objects are encrypted with a key of KMS."""
    if size != sum(part.size for part in parts):
        return False
    known = [part.crc32c.to_bytes(4, "big") for part in parts if part.crc32c is not None]
    # Only the checksum of checksums says after how many parts it is.
    if "-" not in checksum or len(known) < len(parts):
        return True
    return checksum == f"{_encoded(crc32c.crc32c(b''.join(known)))}-{len(parts)}"
