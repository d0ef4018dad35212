"""The upload service in this process, between the stack's S3 server and a status service in
memory.
"""

import gc
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import boto3
import psutil
import pytest

from local.stack import Stack
from services.common import s3
from services.common.settings import S3Settings
from tests.integration.upload.fake_status import FakeStatus, serve
from tests.integration.upload.running import MIB, Bucket, Running

DESCRIPTORS_MORE = 24
"""What gRPC and the libraries keep open for later, over the tests of a file."""

RESIDENT_MORE_MIB = 256
"""What the allocator and the test itself keep, over the tests of a file: far less than they
send.
"""


@pytest.fixture(scope="module", autouse=True)
def nothing_grows() -> Iterator[None]:
    """After all tests of a file the process has about the descriptors and the memory that it had
    before.
    """
    process = psutil.Process()
    descriptors, resident = process.num_fds(), process.memory_info().rss
    yield
    gc.collect()
    assert process.num_fds() <= descriptors + DESCRIPTORS_MORE
    assert process.memory_info().rss <= resident + RESIDENT_MORE_MIB * MIB


@pytest.fixture(scope="session")
def bucket_settings(stack: Stack) -> Iterator[S3Settings]:
    """A bucket that the stack's own upload service does not sweep: it knows nothing of the tasks
    here.
    """
    settings = S3Settings(
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
        aws_default_region=stack.s3_region,
        aws_endpoint_url_s3=stack.s3_endpoint,
        s3_bucket_name=f"upload-{uuid.uuid4().hex[:12]}",
    )
    client = boto3.client(
        "s3",
        endpoint_url=settings.aws_endpoint_url_s3,
        region_name=settings.aws_default_region,
        aws_access_key_id=settings.aws_access_key_id,
        aws_secret_access_key=settings.aws_secret_access_key,
    )
    # One for all tests: SeaweedFS sets several of its volumes aside for every bucket.
    client.create_bucket(Bucket=settings.s3_bucket_name)
    yield settings
    client.delete_bucket(Bucket=settings.s3_bucket_name)


@pytest.fixture
async def bucket(bucket_settings: S3Settings) -> AsyncIterator[Bucket]:
    """The bucket, empty at the start and at the end."""
    async with s3.client(bucket_settings) as client:
        made = Bucket(client, bucket_settings)
        yield made
        await made.clear()


@pytest.fixture
async def status() -> AsyncIterator[FakeStatus]:
    """The status service that `running` talks to."""
    fake = FakeStatus()  # type: ignore[abstract]
    await serve(fake)
    yield fake
    assert fake.server is not None
    await fake.server.stop(0)


@pytest.fixture
async def start(
    status: FakeStatus, bucket: Bucket
) -> AsyncIterator[Callable[..., Awaitable[Running]]]:
    """Starts the service on a bucket, with changed settings; stopped at the end unless the test
    did. Nothing may be left in the real S3 server then that no task needs.
    """
    async with AsyncExitStack() as services:

        async def started(of: Bucket, **changes: Any) -> Running:
            return await services.enter_async_context(Running.start(status, of, **changes))

        yield started
    assert await bucket.ownerless(status) == []


@pytest.fixture
async def running(start: Callable[..., Awaitable[Running]], bucket: Bucket) -> Running:
    """The service with its default settings."""
    return await start(bucket)
