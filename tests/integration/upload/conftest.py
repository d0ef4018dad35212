"""The upload service in this process, between the stack's S3 server and a status service in memory."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from local.stack import Stack
from services.common import s3
from services.common.settings import S3Settings
from tests.integration.upload.fake_status import FakeStatus, serve
from tests.integration.upload.running import Bucket, Running


@pytest.fixture
async def bucket(stack: Stack) -> AsyncIterator[Bucket]:
    """A bucket of its own: sweepers of other services know nothing of this one's tasks. It has to be empty of open uploads at the end."""
    settings = S3Settings(
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
        aws_default_region=stack.s3_region,
        aws_endpoint_url_s3=stack.s3_endpoint,
        s3_bucket_name=f"upload-{uuid.uuid4().hex[:12]}",
    )
    async with s3.client(settings) as client:
        await client.create_bucket(Bucket=settings.s3_bucket_name)
        made = Bucket(client, settings)
        try:
            yield made
        finally:
            for key in await made.keys():
                await client.delete_object(Bucket=made.name, Key=key)
            await client.delete_bucket(Bucket=made.name)


@pytest.fixture
async def status() -> AsyncIterator[FakeStatus]:
    """The status service that `running` talks to."""
    fake = FakeStatus()
    await serve(fake)
    yield fake
    assert fake.server is not None
    await fake.server.stop(0)


@pytest.fixture
async def start(status: FakeStatus) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """Starts the service on a bucket, with changed settings; stopped at the end unless the test did."""
    async with AsyncExitStack() as services:

        async def started(bucket: Bucket, **changes: Any) -> Running:
            return await services.enter_async_context(Running.start(status, bucket, **changes))

        yield started


@pytest.fixture
async def running(start: Callable[..., Awaitable[Running]], bucket: Bucket) -> Running:
    """The service with its default settings."""
    return await start(bucket)
