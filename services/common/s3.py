"""The client of the object store, configured once for all services that use one."""

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import aioboto3
from aiobotocore.config import AioConfig

from services.common.settings import S3Settings

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client


def client(
    settings: S3Settings, *, connections: int = 32
) -> "AbstractAsyncContextManager[S3Client]":
    """An S3 client, to be entered in an AsyncExitStack.

    Path-style addresses, as S3 servers other than AWS have no host name per bucket. Retries: 3
    attempts a request.
    """
    return aioboto3.Session().client(
        "s3",
        region_name=settings.aws_default_region,
        endpoint_url=settings.aws_endpoint_url_s3,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key,
        config=AioConfig(
            signature_version="s3v4",
            # Bodies travel with a CRC that the store checks, so the signature need not cost a
            # SHA-256 of every byte on top.
            s3={"addressing_style": "path", "payload_signing_enabled": False},
            max_pool_connections=connections,
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 3},
        ),
    )


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of s3://bucket/key.

    Raises:
        ValueError: it is not such a URI.
    """
    bucket, slash, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not slash or not key:
        raise ValueError(f"not an S3 URI: {uri!r}")
    return bucket, key
