"""Tasks, from StatusService."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from uuid import UUID

import grpc

from gateway.rpc.task_loader import TaskLoader
from services.common import errors
from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.status.v1.status_pb2 import ListTasksResponse, Task, WatchTaskResponse

APPLY_S = 30.0
"""The plan is made once more, by asking validation and Druid."""

DELETE_S = 70.0
"""Deleting asks two services that each may take 30 s."""


class StatusRpc:
    """Implements ports.Tasks."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = status_pb2_grpc.StatusServiceStub(channel)
        self.loader = TaskLoader(self._get_all)

    async def get(self, task_id: str) -> Task:
        # An id that breaks a rule must not break the call that it shares with others.
        if _is_uuid(task_id) and (task := await self.loader.load(task_id)) is not None:
            return task
        # Asked alone, the status service says what is wrong with the id.
        answer: status_pb2.GetTaskResponse = await errors.answered(
            self._stub.GetTask(status_pb2.GetTaskRequest(task_id=task_id)), "status"
        )
        return answer.task

    async def _get_all(self, task_ids: Sequence[str]) -> Mapping[str, Task]:
        answer: status_pb2.GetTasksResponse = await errors.answered(
            self._stub.GetTasks(status_pb2.GetTasksRequest(task_ids=task_ids)), "status"
        )
        return answer.tasks

    async def list(self, wanted: status_pb2.ListTasksRequest) -> ListTasksResponse:
        answer: ListTasksResponse = await errors.answered(self._stub.ListTasks(wanted), "status")
        return answer

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
        answer: status_pb2.GetPlanResponse = await errors.answered(
            self._stub.GetPlan(status_pb2.GetPlanRequest(task_id=task_id)), "status"
        )
        return answer

    async def apply_plan(self, task_id: str, plan_hash: str) -> Task:
        request = status_pb2.ApplyPlanRequest(task_id=task_id, plan_hash=plan_hash)
        answer: status_pb2.ApplyPlanResponse = await errors.answered(
            self._stub.ApplyPlan(request, timeout=APPLY_S), "status"
        )
        return answer.task

    async def receipt(self, task_id: str) -> status_pb2.GetReceiptResponse:
        answer: status_pb2.GetReceiptResponse = await errors.answered(
            self._stub.GetReceipt(status_pb2.GetReceiptRequest(task_id=task_id)), "status"
        )
        return answer

    async def delete_files(self, task_id: str) -> Task:
        request = status_pb2.DeleteTaskFilesRequest(task_id=task_id)
        answer: status_pb2.DeleteTaskFilesResponse = await errors.answered(
            self._stub.DeleteTaskFiles(request, timeout=DELETE_S), "status"
        )
        return answer.task

    async def history(self, task_id: str) -> status_pb2.GetHistoryResponse:
        answer: status_pb2.GetHistoryResponse = await errors.answered(
            self._stub.GetHistory(status_pb2.GetHistoryRequest(task_id=task_id)), "status"
        )
        return answer

    async def statistics(self, hours: int) -> status_pb2.GetStatisticsResponse:
        answer: status_pb2.GetStatisticsResponse = await errors.answered(
            self._stub.GetStatistics(status_pb2.GetStatisticsRequest(hours=hours)), "status"
        )
        return answer

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
