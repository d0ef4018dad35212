"""A StatusService in memory, over real gRPC: the rules of its proto for what upload calls, and
switches to make it fail.
"""

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import grpc
from grpc import aio

from services.common import errors
from services.common.serving.interceptors import OpenAuthenticator, server_interceptors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1 import status_pb2 as pb
from sluice.status.v1 import status_pb2_grpc

BAD_ENDS = (
    TaskState.TASK_STATE_REJECTED,
    TaskState.TASK_STATE_FAILED,
    TaskState.TASK_STATE_CANCELLED,
)


class FakeStatus(status_pb2_grpc.StatusServiceServicer):
    """Tasks by id. `away` makes every call fail as if the process were restarting."""

    def __init__(self) -> None:
        self.tasks: dict[str, pb.Task] = {}
        self.requests: dict[str, str] = {}
        self.touched: dict[str, float] = {}
        self.writers: dict[str, str] = {}
        self.reports: list[pb.ReportReceivingRequest] = []
        self.changed = asyncio.Condition()
        self.away = False
        self.lose_answers_of_complete = 0
        self.server: aio.Server | None = None
        self.port = 0

    async def until(self, task_id: str, *states: "TaskState.ValueType") -> pb.Task:
        """The task as soon as it is in one of the states."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(
                lambda: task_id in self.tasks and self.tasks[task_id].state in states
            )
        return self.tasks[task_id]

    async def until_received(self, size: int) -> pb.ReportReceivingRequest:
        """The first report of so many bytes."""
        async with asyncio.timeout(30), self.changed:
            await self.changed.wait_for(
                lambda: any(report.received_size >= size for report in self.reports)
            )
        return next(report for report in self.reports if report.received_size >= size)

    async def _change(self, task: pb.Task) -> None:
        self.touched[task.task_id] = monotonic()
        async with self.changed:
            self.changed.notify_all()

    async def _task(self, task_id: str, context: Any) -> pb.Task:
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        if task_id not in self.tasks:
            raise errors.error(ErrorReason.ERROR_REASON_TASK_NOT_FOUND, "no such task")
        return self.tasks[task_id]

    def _must_be_pending(self, task: pb.Task, writer: str) -> None:
        if task.state != TaskState.TASK_STATE_PENDING:
            raise errors.error(
                ErrorReason.ERROR_REASON_STATE_CONFLICT,
                f"The task is {TaskState.Name(task.state)}.",
            )
        if writer and writer != self.writers.get(task.task_id):
            raise errors.error(ErrorReason.ERROR_REASON_WRITER_REPLACED, "Another writer began.")

    async def CreateTask(
        self, request: pb.CreateTaskRequest, context: Any
    ) -> pb.CreateTaskResponse:
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        if request.request_id in self.requests:
            return pb.CreateTaskResponse(
                task=self.tasks[self.requests[request.request_id]], created=False
            )
        task = pb.Task(
            task_id=request.task_id,
            state=TaskState.TASK_STATE_PENDING,
            datasource=request.datasource,
            filename=request.filename,
            file_uri=request.file_uri,
            file_size=request.file_size if request.HasField("file_size") else None,
            sha256=request.sha256,
            upload_mode=request.upload_mode,
            load_mode=request.load_mode,
            allow_duplicate=request.allow_duplicate,
            client_metadata=request.client_metadata,
            client=request.client,
        )
        task.update_time.GetCurrentTime()
        self.tasks[task.task_id] = task
        self.requests[request.request_id] = task.task_id
        await self._change(task)
        return pb.CreateTaskResponse(task=task, created=True)

    async def ReportReceiving(
        self, request: pb.ReportReceivingRequest, context: Any
    ) -> pb.ReportReceivingResponse:
        task = await self._task(request.task_id, context)
        if request.begin:
            self.writers[task.task_id] = request.writer
            task.multipart_id = request.multipart_id
        self._must_be_pending(task, request.writer)
        task.received_size, task.multipart_id = (
            request.received_size,
            request.multipart_id or task.multipart_id,
        )
        self.reports.append(request)
        await self._change(task)
        return pb.ReportReceivingResponse(task=task)

    async def CompleteUpload(
        self, request: pb.CompleteUploadRequest, context: Any
    ) -> pb.CompleteUploadResponse:
        task = await self._task(request.task_id, context)
        same = (task.state, task.file_size, task.sha256) == (
            TaskState.TASK_STATE_UPLOADED,
            request.file_size,
            request.sha256,
        )
        if not same:
            self._must_be_pending(task, request.writer)
        task.state, task.file_size, task.sha256 = (
            TaskState.TASK_STATE_UPLOADED,
            request.file_size,
            request.sha256,
        )
        task.received_size, task.multipart_id = request.file_size, ""
        await self._change(task)
        if self.lose_answers_of_complete:
            self.lose_answers_of_complete -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the answer is lost")
        return pb.CompleteUploadResponse(task=task)

    async def EndUpload(self, request: pb.EndUploadRequest, context: Any) -> pb.EndUploadResponse:
        task = await self._task(request.task_id, context)
        left_alone = request.unless_begun and task.task_id in self.writers
        if task.state not in BAD_ENDS and not left_alone:
            self._must_be_pending(task, request.writer)
            task.state, task.multipart_id = request.state, ""
            task.problem.CopyFrom(request.problem)
            await self._change(task)
        return pb.EndUploadResponse(task=task)

    async def GetTask(self, request: pb.GetTaskRequest, context: Any) -> pb.GetTaskResponse:
        return pb.GetTaskResponse(task=await self._task(request.task_id, context))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Any) -> pb.ListTasksResponse:
        if self.away:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")
        found = [
            task
            for task in self.tasks.values()
            if (not request.states or task.state in request.states)
            and monotonic() - self.touched[task.task_id] >= request.idle_seconds
        ]
        start = int(request.page_token or 0)
        # Pages of one: whoever reads only the first page is found out.
        return pb.ListTasksResponse(
            tasks=found[start : start + 1],
            next_page_token=str(start + 1) if len(found) > start + 1 else "",
        )

    async def CancelTask(
        self, request: pb.CancelTaskRequest, context: Any
    ) -> pb.CancelTaskResponse:
        task = await self._task(request.task_id, context)
        task.state = TaskState.TASK_STATE_CANCELLED
        task.problem.CopyFrom(
            errors.problem(ErrorReason.ERROR_REASON_CANCELLED, "The task was cancelled.")
        )
        await self._change(task)
        return pb.CancelTaskResponse(task=task)

    async def RevertLoad(
        self, request: pb.RevertLoadRequest, context: Any
    ) -> pb.RevertLoadResponse:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not part of this fake")
        raise AssertionError("abort raises")

    async def WatchTask(
        self, request: pb.WatchTaskRequest, context: Any
    ) -> AsyncIterator[pb.WatchTaskResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not part of this fake")
        yield pb.WatchTaskResponse()

    async def WatchTasks(
        self, request: pb.WatchTasksRequest, context: Any
    ) -> AsyncIterator[pb.WatchTasksResponse]:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "not part of this fake")
        yield pb.WatchTasksResponse()


async def serve(status: FakeStatus) -> None:
    """Puts the fake behind a real server, on a port of its own or on the one that it had before."""
    status.server = aio.server(interceptors=server_interceptors(OpenAuthenticator()))
    status_pb2_grpc.add_StatusServiceServicer_to_server(status, status.server)
    status.port = status.server.add_insecure_port(f"127.0.0.1:{status.port}")
    await status.server.start()
