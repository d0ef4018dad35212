"""A running validation service as its callers see it, and its bucket."""

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grpc import aio

from services.common.serving import channels
from services.common.settings import S3Settings
from services.validation.app import build
from services.validation.settings import Settings
from sluice.validation.v1 import validation_pb2 as pb
from sluice.validation.v1 import validation_pb2_grpc

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client


@dataclass(frozen=True)
class Bucket:
    """A bucket of the test's own."""

    client: "S3Client"
    settings: S3Settings

    @property
    def name(self) -> str:
        return self.settings.s3_bucket_name

    async def get(self, uri: str) -> bytes:
        """An object's bytes."""
        answer = await self.client.get_object(
            Bucket=self.name, Key=uri.removeprefix(f"s3://{self.name}/")
        )
        return await answer["Body"].read()

    async def keys(self, prefix: str = "") -> list[str]:
        """Keys of all objects."""
        answer = await self.client.list_objects_v2(Bucket=self.name, Prefix=prefix)
        return [found["Key"] for found in answer.get("Contents", [])]


@dataclass(frozen=True)
class Running:
    """The service and a client of it."""

    stub: Any
    channel: aio.Channel
    bucket: Bucket
    spool: Path

    async def request(self, data: bytes, filename: str, **more: Any) -> pb.ValidateObjectRequest:
        """Stores the file; returns the request to validate it."""
        key = f"uploads/test/{uuid.uuid4().hex}"
        await self.bucket.client.put_object(Bucket=self.bucket.name, Key=key, Body=data)
        fields: dict[str, Any] = {
            "task_id": str(uuid.uuid4()),
            "attempt": 1,
            "file_uri": f"s3://{self.bucket.name}/{key}",
            "filename": filename,
            "file_size": len(data),
            "sha256": hashlib.sha256(data).digest(),
        }
        return pb.ValidateObjectRequest(**{**fields, **more})

    async def validate(
        self, request: pb.ValidateObjectRequest
    ) -> tuple[list[pb.ValidationProgress], pb.Report]:
        """Progress and the report."""
        steps = [step async for step in self.stub.ValidateObject(request)]
        assert [step.WhichOneof("step") for step in steps[-1:]] == ["report"]
        assert all(step.WhichOneof("step") == "progress" for step in steps[:-1])
        return [step.progress for step in steps[:-1]], steps[-1].report

    async def report(self, data: bytes, filename: str, **more: Any) -> pb.Report:
        """The report of a file."""
        _, report = await self.validate(await self.request(data, filename, **more))
        return report

    @classmethod
    @asynccontextmanager
    async def start(cls, bucket: Bucket, spool: Path, **changes: Any) -> AsyncIterator["Running"]:
        """Starts the service on a free port."""
        settings = Settings(
            **{
                **bucket.settings.model_dump(),
                "bind_addr": "127.0.0.1:0",
                "spool_dir": spool,
                **changes,
            }
        )
        async with AsyncExitStack() as client, AsyncExitStack() as service:
            port = await build(service, settings)
            channel = channels.connect(f"127.0.0.1:{port}")
            # The client outlives the service, so that it hears how its calls end.
            client.push_async_callback(channel.close)
            yield cls(validation_pb2_grpc.ValidationServiceStub(channel), channel, bucket, spool)
