"""UploadService: protobuf messages to domain values and back."""

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from grpc import aio

from services.common import file_names
from services.upload.receiving.callers import Callers
from services.upload.receiving.receiver import Receiver
from services.upload.receiving.steps import Abort, Chunk, Finish, Header, Pause, Step
from services.upload.resuming.imports import Imports, NewImport
from services.upload.resuming.uploads import NewUpload, Uploads
from services.upload.settings import MIB, Settings
from sluice.common.v1.task_pb2 import TaskState, UploadMode
from sluice.status.v1.status_pb2 import Task
from sluice.upload.v1 import upload_pb2 as pb
from sluice.upload.v1 import upload_pb2_grpc

CHUNK_SIZE = MIB
"""Recommended size of a chunk in bytes, with which a stream is fastest."""


class UploadServicer(upload_pb2_grpc.UploadServiceServicer):
    """Implements the RPCs of upload.proto."""

    def __init__(
        self,
        settings: Settings,
        uploads: Uploads,
        receiver: Receiver,
        imports: Imports,
        callers: Callers,
    ) -> None:
        self._settings = settings
        self._uploads = uploads
        self._receiver = receiver
        self._imports = imports
        self._callers = callers

    async def CreateUpload(
        self, request: pb.CreateUploadRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.CreateUploadResponse:
        new = NewUpload(
            request_id=request.request_id,
            datasource=request.datasource,
            filename=request.filename,
            size=request.size if request.HasField("size") else None,
            sha256=request.sha256,
            upload_mode=request.mode,
            load_mode=request.load_mode,
            allow_duplicate=request.allow_duplicate,
            options=request.options.SerializeToString(deterministic=True),
            client_metadata=request.client_metadata,
            plan_first=request.plan_first,
            replace=request.replace if request.HasField("replace") else None,
            client=await self._callers.client(request.client, context.peer()),
        )
        task, created = await self._uploads.create(new)
        task, committed = (task, 0) if created else await self._uploads.with_committed(task)
        return pb.CreateUploadResponse(upload=self._upload(task, committed), created=created)

    async def WriteUpload(
        self,
        requests: AsyncIterator[pb.WriteUploadRequest],
        context: "aio.ServicerContext[Any, Any]",
    ) -> pb.WriteUploadResponse:
        task = await self._receiver.receive(_steps(requests))
        paused = task.state == TaskState.TASK_STATE_PENDING
        return pb.WriteUploadResponse(
            upload=self._upload(task, task.received_size if paused else task.file_size)
        )

    async def GetUpload(
        self, request: pb.GetUploadRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.GetUploadResponse:
        return pb.GetUploadResponse(
            upload=self._upload(*await self._uploads.get(request.upload_id))
        )

    async def AbortUpload(
        self, request: pb.AbortUploadRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.AbortUploadResponse:
        return pb.AbortUploadResponse(
            upload=self._upload(await self._uploads.abort(request.upload_id), 0)
        )

    async def ImportObject(
        self, request: pb.ImportObjectRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.ImportObjectResponse:
        new = NewImport(
            request_id=request.request_id,
            uri=request.uri,
            datasource=request.datasource,
            load_mode=request.load_mode,
            allow_duplicate=request.allow_duplicate,
            options=request.options.SerializeToString(deterministic=True),
            client=await self._callers.client(request.client, context.peer()),
        )
        task, created = await self._imports.create(new)
        committed = 0 if task.state == TaskState.TASK_STATE_PENDING else task.file_size
        return pb.ImportObjectResponse(upload=self._upload(task, committed), created=created)

    async def GetLimits(
        self, request: pb.GetLimitsRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.GetLimitsResponse:
        settings = self._settings
        return pb.GetLimitsResponse(
            max_file_bytes=settings.max_file_size_bytes,
            extensions=file_names.EXTENSIONS,
            max_uploads=settings.max_concurrent_uploads,
            max_uploads_per_client=settings.max_concurrent_uploads_per_client,
            max_bytes_in_flight=settings.max_bytes_in_flight,
            max_bytes_in_flight_per_client=settings.max_bytes_in_flight_per_client,
            idle_timeout_s=settings.upload_idle_timeout_s,
            min_bytes_per_s=settings.upload_min_bytes_per_s,
            retention_s=settings.upload_retention_s,
            datasources=settings.allowed_datasources,
            import_from=settings.import_from,
        )

    async def DeleteObjects(
        self, request: pb.DeleteObjectsRequest, context: "aio.ServicerContext[Any, Any]"
    ) -> pb.DeleteObjectsResponse:
        return pb.DeleteObjectsResponse(deleted=await self._uploads.delete_objects(request.task_id))

    def _upload(self, task: Task, committed: int) -> pb.Upload:
        """Convert a task to an upload with `committed` bytes."""
        pending = task.state == TaskState.TASK_STATE_PENDING
        resumable = task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE
        kept_s = (
            self._settings.upload_retention_s if resumable else self._settings.abandoned_after_s
        )
        expires = Timestamp(seconds=task.update_time.seconds + kept_s, nanos=task.update_time.nanos)
        return pb.Upload(
            upload_id=task.task_id,
            state=task.state,
            committed_size=committed,
            size=task.file_size if task.HasField("file_size") else None,
            max_size=self._settings.max_file_size_bytes,
            chunk_size=CHUNK_SIZE,
            object_uri=task.file_uri,
            sha256=task.sha256,
            expire_time=expires if pending else None,
            problem=task.problem if task.HasField("problem") else None,
            mode=task.upload_mode,
            client_metadata=task.client_metadata,
        )


async def _steps(requests: AsyncIterator[pb.WriteUploadRequest]) -> AsyncIterator[Step]:
    async for request in requests:
        match request.WhichOneof("step"):
            case "header":
                yield Header(request.header.upload_id, request.header.offset)
            case "chunk":
                chunk = request.chunk
                yield Chunk(chunk.data, chunk.crc32c if chunk.HasField("crc32c") else None)
            case "finish":
                yield Finish(
                    request.finish.size if request.finish.HasField("size") else None,
                    request.finish.sha256,
                )
            case "abort":
                yield Abort(request.abort.problem)
            case "pause":
                yield Pause()
