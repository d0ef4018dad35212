"""Plans: a task that stops before its load, and how it goes on; receipts. On a real PostgreSQL."""

import uuid

import grpc
import pytest

from services.common import errors
from services.status.db.load_records import ENOUGH_HISTORY
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, LoadState, TaskState, TimeRange
from sluice.status.v1 import status_pb2 as pb
from tests.integration.status.conftest import Service, Services, until
from tests.unit.status.fakes import ROWS, SHA256, SUM, passed


async def planned(service: Service, **other: object) -> tuple[str, str]:
    """A task in PLANNED, and its plan's hash."""
    task = await service.upload(plan_first=True, **other)
    await service.reached(task.task_id, TaskState.TASK_STATE_PLANNED)
    plan = await service.stub.GetPlan(pb.GetPlanRequest(task_id=task.task_id))
    return task.task_id, plan.plan_hash


async def apply(service: Service, task_id: str, plan_hash: str) -> pb.Task:
    answer: pb.ApplyPlanResponse = await service.stub.ApplyPlan(
        pb.ApplyPlanRequest(task_id=task_id, plan_hash=plan_hash)
    )
    return answer.task


async def refused(service: Service, task_id: str, plan_hash: str) -> errors.SluiceError:
    with pytest.raises(grpc.RpcError) as raised:
        await apply(service, task_id, plan_hash)
    return errors.from_rpc(raised.value, "status")


async def test_a_plan_waits_and_is_applied_once(service: Service) -> None:
    task_id, plan_hash = await planned(service)
    waiting = await service.get(task_id)
    assert (waiting.state, waiting.druid_task_id, waiting.plan_first) == (
        TaskState.TASK_STATE_PLANNED,
        "",
        True,
    )
    assert service.loads.rows_of(task_id) == 0
    plan = await service.stub.GetPlan(pb.GetPlanRequest(task_id=task_id))
    assert (len(plan.plan_hash), plan.datasource, plan.load_mode) == (
        64,
        "sales",
        LoadMode.LOAD_MODE_APPEND,
    )
    assert plan.HasField("create_time")

    assert (await refused(service, task_id, "0" * 64)).reason == ErrorReason.ERROR_REASON_PLAN_STALE
    first = await apply(service, task_id, plan_hash)
    again = await apply(service, task_id, plan_hash)
    assert {first.task_id, again.task_id} == {task_id}
    ended = await service.ended(task_id)
    assert (ended.state, ended.rows_loaded) == (TaskState.TASK_STATE_SUCCEEDED, ROWS)
    assert [each.stage for each in ended.timings] == [
        "receive",
        "validate",
        "plan",
        "ingest",
        "verify",
    ]
    assert (await apply(service, task_id, plan_hash)).state == TaskState.TASK_STATE_SUCCEEDED
    states = [
        event.state for event in await service.events(task_id) if event.kind == pb.EVENT_KIND_STATE
    ]
    assert states.count(TaskState.TASK_STATE_INGESTING) == 1


async def test_a_plan_that_no_longer_holds_is_made_anew(service: Service) -> None:
    task_id, plan_hash = await planned(service, load_mode=LoadMode.LOAD_MODE_REPLACE)
    service.loads.granularity = "MONTH"
    assert (
        await refused(service, task_id, plan_hash)
    ).reason == ErrorReason.ERROR_REASON_PLAN_STALE
    renewed = await service.stub.GetPlan(pb.GetPlanRequest(task_id=task_id))
    assert renewed.plan_hash != plan_hash
    assert renewed.plan.segment_granularity == "MONTH"
    await apply(service, task_id, renewed.plan_hash)
    assert (await service.ended(task_id)).state == TaskState.TASK_STATE_SUCCEEDED


async def test_the_time_is_told_by_loads_of_that_size(service: Service) -> None:
    for _ in range(ENOUGH_HISTORY):
        task = await service.upload()
        assert (await service.ended(task.task_id)).state == TaskState.TASK_STATE_SUCCEEDED
    await planned(service)
    # The fake loads at once, and the table keeps when each stage began and ended.
    assert service.loads.planned[-1].rows_per_second > ROWS
    service.validation.judge = lambda task_id, attempt: passed(task_id, attempt, rows=ROWS * 1000)
    await planned(service)
    assert service.loads.planned[-1].rows_per_second == 0


async def test_the_same_bytes_that_came_in_meanwhile(service: Service) -> None:
    datasource = f"ds_{uuid.uuid4().hex}"
    task_id, plan_hash = await planned(service, datasource=datasource, allow_duplicate=False)
    other = await service.upload(datasource=datasource, allow_duplicate=False)
    assert (await service.ended(other.task_id)).state == TaskState.TASK_STATE_SUCCEEDED
    refusal = await refused(service, task_id, plan_hash)
    assert (refusal.code, refusal.problem.value) == ("DUPLICATE_CONTENT", other.task_id)
    assert (await service.get(task_id)).state == TaskState.TASK_STATE_PLANNED


async def test_a_plan_can_be_cancelled_and_then_not_be_applied(service: Service) -> None:
    task_id, plan_hash = await planned(service)
    await service.stub.CancelTask(pb.CancelTaskRequest(task_id=task_id))
    assert (await service.get(task_id)).state == TaskState.TASK_STATE_CANCELLED
    assert (
        await refused(service, task_id, plan_hash)
    ).reason == ErrorReason.ERROR_REASON_STATE_CONFLICT


async def test_there_is_no_plan_where_none_was_asked_for(service: Service) -> None:
    task = await service.upload()
    await service.ended(task.task_id)
    assert (
        await refused(service, task.task_id, "x")
    ).reason == ErrorReason.ERROR_REASON_NOT_PLANNED


async def test_another_process_applies_the_plan(services: Services, service: Service) -> None:
    task_id, plan_hash = await planned(service)
    await service.life.aclose()
    other = await services.start()
    await apply(other, task_id, plan_hash)
    assert (await other.ended(task_id)).state == TaskState.TASK_STATE_SUCCEEDED


async def test_rows_outside_of_what_is_replaced_are_told_before_anything_is_loaded(
    service: Service,
) -> None:
    # The fake's rows lie from 10 to 20 ms after the epoch.
    mode = LoadMode.LOAD_MODE_REPLACE_INTERVAL
    late = TimeRange(start_millis=3_600_000, end_millis=7_200_000)
    task = await service.upload(load_mode=mode, replace=late)
    ended = await service.ended(task.task_id)
    assert (ended.state, ended.problem.code) == (
        TaskState.TASK_STATE_REJECTED,
        ErrorReason.ERROR_REASON_ROWS_OUTSIDE_INTERVAL,
    )
    around = TimeRange(start_millis=0, end_millis=7_200_000)
    task = await service.upload(load_mode=mode, replace=around)
    ended = await service.ended(task.task_id)
    assert (ended.state, ended.replace) == (TaskState.TASK_STATE_SUCCEEDED, around)
    assert service.loads.submitted[-1].replace.end_millis == 7_200_000


async def test_a_receipt_accounts_for_every_row(service: Service) -> None:
    task = await service.upload()
    ended = await service.ended(task.task_id)
    receipt = await service.stub.GetReceipt(pb.GetReceiptRequest(task_id=task.task_id))
    assert (receipt.state, receipt.load_state, receipt.sha256) == (
        ended.state,
        LoadState.LOAD_STATE_LIVE,
        SHA256,
    )
    assert (
        receipt.rows_read
        == receipt.rows_loaded + receipt.rows_rejected + receipt.rows_skipped
        == ROWS + 3
    )
    assert (receipt.rows_loaded, receipt.rows_counted) == (ROWS, ROWS)
    assert [(each.column, each.expected, each.counted) for each in receipt.sums] == [
        ("sales", SUM, SUM)
    ]
    assert list(receipt.druid_task_ids) == [ended.druid_task_id]
    assert list(receipt.segment_ids) == [f"segment {ended.druid_task_id}"]
    assert len(receipt.chunks) == 1
    assert receipt.HasField("interval")
    assert receipt.complete_time == ended.complete_time
    assert [each.stage for each in receipt.timings] == ["receive", "validate", "ingest", "verify"]


async def test_there_is_no_receipt_before_the_end(service: Service) -> None:
    task = await service.create()
    with pytest.raises(grpc.RpcError) as raised:
        await service.stub.GetReceipt(pb.GetReceiptRequest(task_id=task.task_id))
    assert errors.from_rpc(raised.value, "status").reason == ErrorReason.ERROR_REASON_STATE_CONFLICT

    async def gone() -> bool:
        return (await service.get(task.task_id)).state == TaskState.TASK_STATE_CANCELLED

    await service.stub.CancelTask(pb.CancelTaskRequest(task_id=task.task_id))
    await until(gone)
