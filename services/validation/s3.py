"""The object store over the S3 API."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from services.common import errors, logs
from services.common.s3 import split_uri
from sluice.common.v1.errors_pb2 import ErrorReason

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

PIECE_BYTES = 1024 * 1024
_PARTS = TransferConfig(
    multipart_threshold=8 * PIECE_BYTES,
    multipart_chunksize=8 * PIECE_BYTES,
    max_concurrency=2,
    max_io_queue=2,
)
_MISSING = {"404", "NoSuchKey", "NotFound"}


class S3ObjectStore:
    """One bucket of an S3 server; see the port for the methods."""

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client, self._bucket = client, bucket

    async def check(self) -> None:
        await self._client.head_bucket(Bucket=self._bucket)

    def uri(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

    async def size(self, uri: str) -> int | None:
        bucket, key = split_uri(uri)
        with _translating_errors("head_object"):
            try:
                return (await self._client.head_object(Bucket=bucket, Key=key))["ContentLength"]
            except ClientError as failure:
                if _is_missing(failure):
                    return None
                raise

    async def read(self, uri: str, start: int = 0) -> AsyncGenerator[bytes, None]:
        bucket, key = split_uri(uri)
        with _translating_errors("get_object"):
            try:
                answer = await self._client.get_object(
                    Bucket=bucket, Key=key, Range=f"bytes={start}-"
                )
            except ClientError as failure:
                if _is_missing(failure):
                    raise KeyError(uri) from failure
                raise
            # `body` checks the Content-Length; the result of `async with body` does not.
            body = answer["Body"]
            async with body:
                while data := await body.read(PIECE_BYTES):
                    yield data

    async def put(self, key: str, data: bytes) -> None:
        with _translating_errors("put_object"):
            await self._client.put_object(Bucket=self._bucket, Key=key, Body=data)

    async def put_file(self, key: str, path: Path) -> None:
        with _translating_errors("upload_file"):
            await self._client.upload_file(str(path), self._bucket, key, Config=_PARTS)

    async def delete_below(self, prefix: str) -> int:
        deleted = 0
        with _translating_errors("delete_object"):
            async for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=prefix
            ):
                for found in page.get("Contents", []):
                    await self._client.delete_object(Bucket=self._bucket, Key=found["Key"])
                    deleted += 1
        return deleted


def _is_missing(failure: ClientError) -> bool:
    return failure.response.get("Error", {}).get("Code", "") in _MISSING


@contextmanager
def _translating_errors(operation: str) -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError, aiohttp.ClientError, TimeoutError, OSError) as failure:
        logs.get().warning(
            "s3.failed", operation=operation, failure=f"{type(failure).__name__}: {failure}"[:300]
        )
        raise errors.error(
            ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE,
            f"The object store failed to {operation.replace('_', ' ')} ({type(failure).__name__}).",
        ) from failure
