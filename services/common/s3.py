"""The S3 client of the services."""

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
    """Create an S3 client, to be entered in an AsyncExitStack.

    It uses path-style URLs, because S3 servers other than AWS have no host name per bucket. A
    request has up to 3 attempts.
    """
    return aioboto3.Session().client(
        "s3",
        region_name=settings.aws_default_region,
        endpoint_url=settings.aws_endpoint_url_s3,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key,
        config=AioConfig(
            signature_version="s3v4",
            # The store checks a CRC of each body, so the signature need not cover it with SHA-256.
            s3={"addressing_style": "path", "payload_signing_enabled": False},
            max_pool_connections=connections,
            connect_timeout=5,
            read_timeout=60,
            retries={"mode": "standard", "max_attempts": 3},
        ),
    )


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of s3://bucket/key.

    Raises:
        ValueError: the URI has another form.
    """
    bucket, slash, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not bucket or not slash or not key:
        raise ValueError(f"not an S3 URI: {uri!r}")
    return bucket, key
