"""The druid_gateway service against the stack's real Druid and S3."""

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import httpx
import pytest
import pytest_asyncio

from local.stack import Stack
from services.common import s3
from services.common.serving import channels
from services.common.settings import S3Settings
from services.druid_gateway.app import build
from services.druid_gateway.settings import Settings
from sluice.druid.v1.druid_pb2_grpc import DruidGatewayServiceStub
from tests.integration.druid_gateway.loading import Gateway


@dataclass
class Datasources:
    """Names that are used once, so that tests do not see each other's rows."""

    prefix: str = field(default_factory=lambda: f"it_{uuid.uuid4().hex[:8]}")
    given: list[str] = field(default_factory=list)

    def fresh(self) -> str:
        self.given.append(f"{self.prefix}_{len(self.given) + 1}")
        return self.given[-1]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gateway(stack: Stack) -> AsyncIterator[Gateway]:
    """A druid_gateway in this process, on a port of its own, and a client of it."""
    s3_settings = S3Settings(
        aws_access_key_id=stack.s3_access_key,
        aws_secret_access_key=stack.s3_secret_key,
        aws_default_region=stack.s3_region,
        aws_endpoint_url_s3=stack.s3_endpoint,
        s3_bucket_name=stack.s3_bucket,
    )
    settings = Settings(bind_addr="127.0.0.1:0", druid_url=stack.druid_url)
    async with AsyncExitStack() as opened:
        objects = await opened.enter_async_context(s3.client(s3_settings))
        port = await build(opened, settings, s3_settings)
        channel = channels.connect(f"127.0.0.1:{port}")
        opened.push_async_callback(channel.close)
        http = await opened.enter_async_context(
            httpx.AsyncClient(base_url=stack.druid_url, trust_env=False)
        )
        yield Gateway(DruidGatewayServiceStub(channel), objects, stack.s3_bucket, port, http)


@pytest.fixture(scope="session")
def datasources(stack: Stack) -> Iterator[Datasources]:
    made = Datasources()
    yield made
    with httpx.Client(base_url=stack.druid_url, trust_env=False, timeout=30) as druid:
        for name in made.given:
            druid.delete(f"/druid/coordinator/v1/datasources/{name}").raise_for_status()


@pytest.fixture
def datasource(datasources: Datasources) -> str:
    return datasources.fresh()
