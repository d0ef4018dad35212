"""Tasks, from StatusService."""

from collections.abc import AsyncIterator, Sequence

import grpc

from services.common import errors
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.status.v1.status_pb2 import ListTasksResponse, Task, WatchTaskResponse


class StatusRpc:
    """Implements ports.Tasks."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = status_pb2_grpc.StatusServiceStub(channel)

    async def get(self, task_id: str) -> Task:
        try:
            answer: status_pb2.GetTaskResponse = await self._stub.GetTask(status_pb2.GetTaskRequest(task_id=task_id))
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "status") from failure
        return answer.task

    async def list(
        self, *, limit: int, offset: int = 0, page_token: str = "", datasource: str = "", states: "Sequence[TaskState.ValueType]" = ()
    ) -> ListTasksResponse:
        request = status_pb2.ListTasksRequest(page_size=limit, skip=offset, page_token=page_token, datasource=datasource, states=states)
        try:
            answer: ListTasksResponse = await self._stub.ListTasks(request)
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "status") from failure
        return answer

    async def cancel(self, task_id: str) -> Task:
        try:
            answer: status_pb2.CancelTaskResponse = await self._stub.CancelTask(status_pb2.CancelTaskRequest(task_id=task_id))
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "status") from failure
        return answer.task

    async def watch(self, task_id: str, from_sequence: int, timeout_s: float) -> AsyncIterator[WatchTaskResponse]:
        request = status_pb2.WatchTaskRequest(task_id=task_id, from_sequence=from_sequence)
        call = self._stub.WatchTask(request, timeout=timeout_s)
        try:
            async for item in call:
                yield item
        except grpc.RpcError as failure:
            raise errors.from_rpc(failure, "status") from failure
        finally:
            call.cancel()
