"""Cancelling in every state."""

import asyncio
from time import monotonic

import asyncpg
import grpc
import pytest

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1 import status_pb2
from tests.integration.status.conftest import Service, until
from tests.unit.status.fakes import ROWS


def request(task_id: str) -> status_pb2.CancelTaskRequest:
    return status_pb2.CancelTaskRequest(task_id=task_id)


async def test_while_receiving(service: Service) -> None:
    task = await service.create()
    cancelled = (await service.stub.CancelTask(request(task.task_id))).task
    assert (cancelled.state, cancelled.problem.code) == (
        TaskState.TASK_STATE_CANCELLED,
        ErrorReason.ERROR_REASON_CANCELLED,
    )
    assert (
        await service.stub.CancelTask(request(task.task_id))
    ).task.last_sequence == cancelled.last_sequence
    with pytest.raises(grpc.RpcError) as failure:
        await service.stub.ReportReceiving(
            status_pb2.ReportReceivingRequest(task_id=task.task_id, received_size=1)
        )
    assert errors.from_rpc(failure.value, "status").code == "STATE_CONFLICT"


async def test_validation_is_stopped_at_once(service: Service) -> None:
    service.validation.gate.clear()
    task = await service.upload()
    await service.reached(task.task_id, TaskState.TASK_STATE_VALIDATING)
    await asyncio.wait_for(service.validation.began.wait(), 5)
    assert (
        await service.stub.CancelTask(request(task.task_id))
    ).task.state == TaskState.TASK_STATE_CANCELLED

    async def stopped() -> bool:
        return service.validation.running == 0

    assert await until(stopped) < 1


async def test_a_load_is_removed(service: Service) -> None:
    service.loads.gate.clear()
    task = await service.upload()
    await service.reached(task.task_id, TaskState.TASK_STATE_INGESTING)
    await asyncio.wait_for(service.loads.began.wait(), 5)
    assert service.loads.rows_of(task.task_id) == ROWS
    began = monotonic()
    assert (
        await service.stub.CancelTask(request(task.task_id))
    ).task.state == TaskState.TASK_STATE_CLEANING
    ended = await service.ended(task.task_id)
    assert monotonic() - began < 5
    assert (ended.state, ended.problem.code) == (
        TaskState.TASK_STATE_CANCELLED,
        ErrorReason.ERROR_REASON_CANCELLED,
    )
    assert service.loads.rows_of(task.task_id) == 0
    assert ended.attempt == 2, "the worker that has the task cleans up itself"


async def test_a_load_is_removed_while_it_is_counted(service: Service) -> None:
    service.loads.lose_rows = 1
    task = await service.upload()
    await service.reached(task.task_id, TaskState.TASK_STATE_VERIFYING)
    await service.stub.CancelTask(request(task.task_id))
    ended = await service.ended(task.task_id)
    assert (ended.state, service.loads.rows_of(task.task_id)) == (TaskState.TASK_STATE_CANCELLED, 0)


async def test_the_worker_hears_of_it_without_a_notification(
    service: Service, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    service.loads.gate.clear()
    task = await service.upload()
    await service.reached(task.task_id, TaskState.TASK_STATE_INGESTING)
    await asyncio.wait_for(service.loads.began.wait(), 5)
    await sql.execute(
        """UPDATE ingestion_tasks SET status = 'CLEANING', clean_target = 'CANCELLED', cancel_requested = true, problem = $2::jsonb
        WHERE task_id = $1""",
        task.task_id,
        '{"code": "CANCELLED", "message": "x", "line": null, "column": "", "value": "", "action": "", "actor": "nobody"}',
    )

    async def cancelled() -> bool:
        return (await service.get(task.task_id)).state == TaskState.TASK_STATE_CANCELLED

    assert await until(cancelled) < 5


async def test_what_has_ended_otherwise_cannot_be_cancelled(service: Service) -> None:
    task = await service.upload()
    await service.ended(task.task_id)
    with pytest.raises(grpc.RpcError) as failure:
        await service.stub.CancelTask(request(task.task_id))
    refused = errors.from_rpc(failure.value, "status")
    assert (refused.code, refused.metadata["state"]) == ("STATE_CONFLICT", "SUCCEEDED")
