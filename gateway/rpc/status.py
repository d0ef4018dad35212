"""Client of StatusService: tasks."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from uuid import UUID

import grpc

from gateway.rpc.task_loader import TaskLoader
from services.common import errors
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.status.v1.status_pb2 import ListTasksResponse, Task, WatchTaskResponse

APPLY_S = 30.0
"""Deadline of ApplyPlan, which asks validation and Druid to compute the plan again."""

DELETE_S = 70.0
"""Deadline of DeleteTaskFiles, which calls two services with up to 30 s each."""


class StatusRpc:
    """Implements ports.Tasks."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = status_pb2_grpc.StatusServiceStub(channel)
        self.loader = TaskLoader(self._get_all)

    async def get(self, task_id: str) -> Task:
        # An invalid id must not fail the call that it would share with others.
        if _is_uuid(task_id) and (task := await self.loader.load(task_id)) is not None:
            return task
        # GetTask explains what is wrong with the id.
        answer: status_pb2.GetTaskResponse = await errors.answered(
            self._stub.GetTask(status_pb2.GetTaskRequest(task_id=task_id)), "status"
        )
        return answer.task

    async def _get_all(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        answer: status_pb2.GetTasksResponse = await errors.answered(
            self._stub.GetTasks(status_pb2.GetTasksRequest(task_ids=task_ids)), "status"
        )
        return answer.tasks

    async def list(self, request: status_pb2.ListTasksRequest) -> ListTasksResponse:
        return await errors.answered(self._stub.ListTasks(request), "status")

    async def cancel(self, task_id: str) -> Task:
        answer: status_pb2.CancelTaskResponse = await errors.answered(
            self._stub.CancelTask(status_pb2.CancelTaskRequest(task_id=task_id)), "status"
        )
        return answer.task

    async def retry(self, request: status_pb2.RetryTaskRequest) -> Task:
        answer: status_pb2.RetryTaskResponse = await errors.answered(
            self._stub.RetryTask(request), "status"
        )
        return answer.task

    async def revert(self, task_id: str) -> Task:
        answer: status_pb2.RevertLoadResponse = await errors.answered(
            self._stub.RevertLoad(status_pb2.RevertLoadRequest(task_id=task_id)), "status"
        )
        return answer.task

    async def plan(self, task_id: str) -> status_pb2.GetPlanResponse:
        return await errors.answered(
            self._stub.GetPlan(status_pb2.GetPlanRequest(task_id=task_id)), "status"
        )

    async def apply_plan(self, task_id: str, plan_hash: str) -> Task:
        request = status_pb2.ApplyPlanRequest(task_id=task_id, plan_hash=plan_hash)
        answer: status_pb2.ApplyPlanResponse = await errors.answered(
            self._stub.ApplyPlan(request, timeout=APPLY_S), "status"
        )
        return answer.task

    async def receipt(self, task_id: str) -> status_pb2.GetReceiptResponse:
        return await errors.answered(
            self._stub.GetReceipt(status_pb2.GetReceiptRequest(task_id=task_id)), "status"
        )

    async def delete_files(self, task_id: str) -> Task:
        request = status_pb2.DeleteTaskFilesRequest(task_id=task_id)
        answer: status_pb2.DeleteTaskFilesResponse = await errors.answered(
            self._stub.DeleteTaskFiles(request, timeout=DELETE_S), "status"
        )
        return answer.task

    async def history(self, task_id: str) -> status_pb2.GetHistoryResponse:
        return await errors.answered(
            self._stub.GetHistory(status_pb2.GetHistoryRequest(task_id=task_id)), "status"
        )

    async def statistics(self, hours: int) -> status_pb2.GetStatisticsResponse:
        return await errors.answered(
            self._stub.GetStatistics(status_pb2.GetStatisticsRequest(hours=hours)), "status"
        )

    def watch_all(
        self, request: status_pb2.WatchTasksRequest, timeout_s: float
    ) -> AsyncGenerator[status_pb2.WatchTasksResponse, None]:
        return errors.streamed(lambda: self._stub.WatchTasks(request, timeout=timeout_s), "status")

    def watch(
        self, task_id: str, from_sequence: int, timeout_s: float
    ) -> AsyncGenerator[WatchTaskResponse, None]:
        request = status_pb2.WatchTaskRequest(task_id=task_id, from_sequence=from_sequence)
        return errors.streamed(lambda: self._stub.WatchTask(request, timeout=timeout_s), "status")


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
