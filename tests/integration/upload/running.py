"""A running upload service as its callers see it, and its bucket as it is."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import grpc
import pytest
from grpc import aio

from services.common import errors
from services.common.errors import SluiceError
from services.common.serving import channels
from services.common.settings import S3Settings
from services.upload.app import build
from services.upload.settings import Settings
from services.upload.storing import names
from services.upload.storing.stored import TAILS
from sluice.common.v1.task_pb2 import TaskState
from sluice.upload.v1 import upload_pb2 as pb
from sluice.upload.v1 import upload_pb2_grpc
from sluice.upload.v1.upload_pb2 import WriteChunk, WriteFinish, WriteHeader, WriteUploadRequest
from sluice_client import SluiceClient
from tests.integration.upload.fake_status import FakeStatus

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

MIB = 1024 * 1024
NOWHERE = "127.0.0.1:9"


@dataclass
class Bucket:
    """What lies in the object store."""

    client: "S3Client"
    settings: S3Settings

    @property
    def name(self) -> str:
        return self.settings.s3_bucket_name

    async def keys(self) -> list[str]:
        answer = await self.client.list_objects_v2(Bucket=self.name)
        return [entry["Key"] for entry in answer.get("Contents", [])]

    async def open_multiparts(self) -> list[str]:
        answer = await self.client.list_multipart_uploads(Bucket=self.name)
        return [upload["Key"] for upload in answer.get("Uploads", [])]

    async def read(self, uri: str) -> bytes:
        answer = await self.client.get_object(
            Bucket=self.name, Key=uri.removeprefix(f"s3://{self.name}/")
        )
        async with answer["Body"] as body:
            return bytes(await body.read())

    async def is_empty(self) -> bool:
        return not await self.keys() and not await self.open_multiparts()

    async def ownerless(self, status: FakeStatus) -> list[str]:
        """Objects and open multipart uploads of ours that no task needs; of those that the tests
        put there none is ours.
        """
        kept, receiving = set(), set()
        for task in status.tasks.values():
            key = task.file_uri.removeprefix(f"s3://{self.name}/")
            if task.state == TaskState.TASK_STATE_PENDING:
                receiving |= {key, f"{TAILS}{task.task_id}"}
            elif task.state == TaskState.TASK_STATE_UPLOADED:
                kept.add(key)
        ours = [key for key in await self.keys() if key.startswith(names.PREFIX)]
        objects = [
            key for key in ours if key not in kept and key.rpartition("/")[0] not in receiving
        ]
        return objects + [key for key in await self.open_multiparts() if key not in receiving]

    async def clear(self) -> None:
        for key in await self.keys():
            await self.client.delete_object(Bucket=self.name, Key=key)

    async def until_empty(self, *, of: Literal["everything", "multiparts"] = "everything") -> None:
        """Asks again and again, as an object store tells nobody of its changes."""
        async with asyncio.timeout(10):
            while await self.open_multiparts() or (of == "everything" and await self.keys()):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


@dataclass
class Running:
    """The service, its neighbours, and the clients of it."""

    status: FakeStatus
    bucket: Bucket
    settings: Settings
    address: str
    stub: "upload_pb2_grpc.UploadServiceStub"
    client: SluiceClient
    stack: AsyncExitStack

    @classmethod
    @asynccontextmanager
    async def start(
        cls, status: FakeStatus, bucket: Bucket, **changes: Any
    ) -> "AsyncIterator[Running]":
        settings = Settings(
            **{
                "bind_addr": "127.0.0.1:0",
                "status_addr": f"127.0.0.1:{status.port}",
                **bucket.settings.model_dump(),
                **changes,
            }
        )
        async with AsyncExitStack() as clients, AsyncExitStack() as stack:
            address = f"127.0.0.1:{await build(stack, settings)}"
            channel = channels.connect(address)
            clients.push_async_callback(channel.close)
            client = await clients.enter_async_context(
                SluiceClient(address, f"127.0.0.1:{status.port}", NOWHERE, NOWHERE)
            )
            yield cls(
                status,
                bucket,
                settings,
                address,
                upload_pb2_grpc.UploadServiceStub(channel),
                client,
                stack,
            )

    async def create(self, **changes: Any) -> pb.Upload:
        request = {
            "request_id": str(uuid.uuid4()),
            "datasource": "sales",
            "filename": "Sales 2026.csv",
            **changes,
        }
        answer: pb.CreateUploadResponse = await self.stub.CreateUpload(
            pb.CreateUploadRequest(**request)
        )
        return answer.upload

    async def write(
        self, messages: Iterable[WriteUploadRequest] | AsyncIterator[WriteUploadRequest]
    ) -> pb.Upload:
        answer: pb.WriteUploadResponse = await self.stub.WriteUpload(messages, timeout=60)
        return answer.upload


def header(upload: pb.Upload, offset: int = 0) -> WriteUploadRequest:
    return WriteUploadRequest(header=WriteHeader(upload_id=upload.upload_id, offset=offset))


def chunks(data: bytes, size: int = MIB) -> list[WriteUploadRequest]:
    return [
        WriteUploadRequest(chunk=WriteChunk(data=data[start : start + size]))
        for start in range(0, len(data), size)
    ]


FINISH = WriteUploadRequest(finish=WriteFinish())


async def refusal(call: Any) -> tuple[SluiceError, grpc.StatusCode]:
    """What a call is refused with."""
    with pytest.raises(aio.AioRpcError) as failure:
        await call
    return errors.from_rpc(failure.value, "upload"), failure.value.code()
