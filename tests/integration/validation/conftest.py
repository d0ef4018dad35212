"""The validation service in this process, on the stack's S3 server."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from local.stack import Stack
from services.common import s3
from services.common.settings import S3Settings
from tests.integration.validation.running import Bucket, Running


@pytest.fixture
async def bucket(stack: Stack) -> AsyncIterator[Bucket]:
    """A bucket of the test's own."""
    settings = S3Settings(
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
        aws_default_region=stack.s3_region,
        aws_endpoint_url_s3=stack.s3_endpoint,
        s3_bucket_name=f"validation-{uuid.uuid4().hex[:12]}",
    )
    async with s3.client(settings) as client:
        await client.create_bucket(Bucket=settings.s3_bucket_name)
        made = Bucket(client, settings)
        yield made
        for key in await made.keys():
            await client.delete_object(Bucket=made.name, Key=key)
        await client.delete_bucket(Bucket=made.name)


@pytest.fixture
async def start(bucket: Bucket, tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """Starts the service with changed settings; stopped at the end of the test."""
    async with AsyncExitStack() as services:

        async def started(**changes: Any) -> Running:
            return await services.enter_async_context(
                Running.start(bucket, tmp_path / "spool", **changes)
            )

        yield started


@pytest.fixture
async def running(start: Callable[..., Awaitable[Running]]) -> Running:
    """The service with its default settings."""
    return await start()
