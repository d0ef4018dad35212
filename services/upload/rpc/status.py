"""Client of StatusService."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

import grpc
from grpc import aio

from services.common import errors
from services.common.backoff import Backoff
from services.upload.ports import Expected
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.status.v1.status_pb2 import CreateTaskRequest, Task

ATTEMPT_S = 5.0
"""Deadline of one attempt."""

BUDGET_S = 5.0
"""Retry budget of calls that a client waits for, in seconds."""

OUTCOME_BUDGET_S = 15.0
"""Retry budget of calls that report the end of an upload, in seconds: enough for a restart of the
status service.
"""

RETRY = Backoff(first_s=0.1, longest_s=1.0)

_TRANSIENT = {
    ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE,
    ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE,
    ErrorReason.ERROR_REASON_DATABASE_TOO_NEW,
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
}

Answer = TypeVar("Answer")


class StatusRpc:
    """Implements ports.Tasks."""

    def __init__(self, channel: aio.Channel) -> None:
        self._stub = status_pb2_grpc.StatusServiceStub(channel)

    async def create(self, request: CreateTaskRequest) -> tuple[Task, bool]:
        """Create a task, or find it by its request id. Return it and whether it is new."""
        answer = await _retry(
            lambda deadline: self._stub.CreateTask(request, timeout=deadline), BUDGET_S
        )
        return answer.task, answer.created

    async def get(self, task_id: str) -> Task:
        """Return a task."""
        request = status_pb2.GetTaskRequest(task_id=task_id)
        answer: status_pb2.GetTaskResponse = await _retry(
            lambda deadline: self._stub.GetTask(request, timeout=deadline), BUDGET_S
        )
        return answer.task

    async def begin(self, task_id: str, received: int, multipart_id: str, writer: str) -> Expected:
        """Make `writer` the writer of the upload."""
        request = status_pb2.ReportReceivingRequest(
            task_id=task_id,
            received_size=received,
            multipart_id=multipart_id,
            writer=writer,
            begin=True,
        )
        answer = await _retry(
            lambda deadline: self._stub.ReportReceiving(request, timeout=deadline), BUDGET_S
        )
        return Expected(answer.policy, answer.options)

    async def report(
        self,
        task_id: str,
        received: int,
        multipart_id: str,
        writer: str,
        rate: float,
        findings: Sequence[Problem] = (),
    ) -> None:
        """Send a heartbeat, without retries."""
        request = status_pb2.ReportReceivingRequest(
            task_id=task_id,
            received_size=received,
            multipart_id=multipart_id,
            writer=writer,
            bytes_per_second=rate,
            findings=findings,
        )
        try:
            await self._stub.ReportReceiving(request, timeout=ATTEMPT_S)
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "status") from failure

    async def keep(self, task_id: str, received: int, multipart_id: str, writer: str) -> None:
        """Record the bytes received, with retries."""
        request = status_pb2.ReportReceivingRequest(
            task_id=task_id, received_size=received, multipart_id=multipart_id, writer=writer
        )
        await _retry(
            lambda deadline: self._stub.ReportReceiving(request, timeout=deadline), OUTCOME_BUDGET_S
        )

    async def complete(self, task_id: str, size: int, sha256: bytes, writer: str) -> Task:
        """Complete the upload: PENDING -> UPLOADED."""
        request = status_pb2.CompleteUploadRequest(
            task_id=task_id, file_size=size, sha256=sha256, writer=writer
        )
        answer: status_pb2.CompleteUploadResponse = await _retry(
            lambda deadline: self._stub.CompleteUpload(request, timeout=deadline), OUTCOME_BUDGET_S
        )
        return answer.task

    async def end(
        self,
        task_id: str,
        state: "TaskState.ValueType",
        problem: Problem,
        writer: str = "",
        *,
        unless_begun: bool = False,
    ) -> Task:
        """End the upload: PENDING -> REJECTED, FAILED or CANCELLED."""
        request = status_pb2.EndUploadRequest(
            task_id=task_id,
            state=state,
            problem=problem,
            writer=writer,
            unless_begun=unless_begun,
        )
        answer: status_pb2.EndUploadResponse = await _retry(
            lambda deadline: self._stub.EndUpload(request, timeout=deadline), OUTCOME_BUDGET_S
        )
        return answer.task

    async def pending(self, idle_s: int = 0) -> AsyncIterator[Task]:
        """Yield the PENDING tasks that have not changed for `idle_s` seconds."""
        request = status_pb2.ListTasksRequest(
            page_size=500, states=[TaskState.TASK_STATE_PENDING], idle_seconds=idle_s
        )
        while True:
            page = await _retry(
                lambda deadline: self._stub.ListTasks(request, timeout=deadline), BUDGET_S
            )
            for task in page.tasks:
                yield task
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token


async def _retry(call: Callable[[float], Awaitable[Answer]], budget_s: float) -> Answer:
    """Make a call, and retry transient failures with backoff until the budget is exhausted."""
    clock = asyncio.get_running_loop().time
    end = clock() + budget_s
    pauses = RETRY.pauses()
    while True:
        try:
            return await call(min(ATTEMPT_S, max(end - clock(), RETRY.first_s)))
        except grpc.RpcError as failure:
            error, pause_s = errors.from_rpc(failure, "status"), next(pauses)
            if error.reason not in _TRANSIENT or clock() + pause_s >= end:
                raise error from failure
        await asyncio.sleep(pause_s)
