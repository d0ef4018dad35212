"""Undoing loads: what is decided and recorded, on a real PostgreSQL. What Druid makes of it is
tested with Druid.
"""

import asyncio
import uuid

import grpc
import pytest

from services.common import errors
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, LoadState, TaskState
from sluice.status.v1 import status_pb2
from tests.integration.status.conftest import Service, Services, until
from tests.unit.status.fakes import Faults


async def revert(service: Service, task_id: str) -> status_pb2.Task:
    answer: status_pb2.RevertLoadResponse = await service.stub.RevertLoad(
        status_pb2.RevertLoadRequest(task_id=task_id)
    )
    return answer.task


async def settled(service: Service, task_id: str) -> status_pb2.Task:
    async def ended() -> bool:
        return (await service.get(task_id)).load_state != LoadState.LOAD_STATE_REVERTING

    await until(ended)
    return await service.get(task_id)


async def refusal(service: Service, task_id: str) -> errors.SluiceError:
    with pytest.raises(grpc.RpcError) as raised:
        await revert(service, task_id)
    return errors.from_rpc(raised.value, "status")


async def load(
    service: Service,
    datasource: str,
    mode: "LoadMode.ValueType" = LoadMode.LOAD_MODE_APPEND,
    **other: object,
) -> str:
    task = await service.upload(datasource=datasource, load_mode=mode, **other)
    ended = await service.ended(task.task_id)
    assert ended.state == TaskState.TASK_STATE_SUCCEEDED, ended
    return task.task_id


@pytest.fixture
def datasource() -> str:
    return f"ds_{uuid.uuid4().hex}"


async def test_an_undone_load_is_told_of_and_may_be_loaded_again(
    service: Service, datasource: str
) -> None:
    task_id = await load(service, datasource, allow_duplicate=False)
    begun = await revert(service, task_id)
    assert begun.load_state in (LoadState.LOAD_STATE_REVERTING, LoadState.LOAD_STATE_REVERTED)
    undone = await settled(service, task_id)
    assert (undone.state, undone.load_state) == (
        TaskState.TASK_STATE_SUCCEEDED,
        LoadState.LOAD_STATE_REVERTED,
    )
    assert service.loads.rows_of(task_id) == 0
    request = service.loads.removals[-1]
    assert list(request.segment_ids) == [f"segment sluice-{task_id}-1"]
    assert (await revert(service, task_id)).load_state == LoadState.LOAD_STATE_REVERTED
    again = await load(service, datasource, allow_duplicate=False)
    assert again != task_id


async def test_the_events_of_an_undo_follow_the_end_and_end_a_watch(
    service: Service, datasource: str
) -> None:
    task_id = await load(service, datasource)
    last = (await service.get(task_id)).last_sequence
    await revert(service, task_id)
    await settled(service, task_id)
    later = await asyncio.wait_for(service.events(task_id, last + 1), 10)
    assert [event.kind for event in later if event.kind == status_pb2.EVENT_KIND_LOAD_STATE] == [
        status_pb2.EVENT_KIND_LOAD_STATE
    ] * 2
    assert [event.sequence for event in later] == list(range(last + 1, last + 1 + len(later)))
    # The time of the stages is that of the load.
    assert [timing.stage for timing in (await service.get(task_id)).timings] == [
        "receive",
        "validate",
        "ingest",
        "verify",
    ]


async def test_only_what_succeeded_can_be_undone(service: Service) -> None:
    pending = await service.create()
    failure = await refusal(service, pending.task_id)
    assert (failure.code, failure.metadata["state"]) == ("STATE_CONFLICT", "PENDING")


async def test_a_replace_brings_back_what_it_recorded(service: Service, datasource: str) -> None:
    older = await load(service, datasource)
    service.loads.in_use = [f"segment sluice-{older}-1", "of another program"]
    # The fake keeps the rows of the replaced load visible, so it stays LIVE; the record before the
    # load is what counts.
    newer = await load(service, datasource, LoadMode.LOAD_MODE_REPLACE)
    await revert(service, newer)
    assert (await settled(service, newer)).load_state == LoadState.LOAD_STATE_REVERTED
    assert sorted(service.loads.removals[-1].restore_segment_ids) == [
        "of another program",
        f"segment sluice-{older}-1",
    ]


async def test_an_undone_load_does_not_come_back_with_a_replace_that_is_undone(
    service: Service, datasource: str
) -> None:
    older = await load(service, datasource)
    service.loads.in_use = [f"segment sluice-{older}-1"]
    newer = await load(service, datasource, LoadMode.LOAD_MODE_REPLACE)
    await revert(service, older)
    await settled(service, older)
    await revert(service, newer)
    await settled(service, newer)
    assert list(service.loads.removals[-1].restore_segment_ids) == []


async def test_a_replace_under_newer_loads_stays_and_they_are_named(
    service: Service, datasource: str
) -> None:
    replace = await load(service, datasource, LoadMode.LOAD_MODE_REPLACE)
    on_top = await load(service, datasource, filename="later.csv")
    failure = await refusal(service, replace)
    assert (failure.code, failure.metadata["tasks"]) == ("NEWER_LOADS", on_top)
    assert "later.csv" in failure.problem.message
    await revert(service, on_top)
    await settled(service, on_top)
    await revert(service, replace)
    assert (await settled(service, replace)).load_state == LoadState.LOAD_STATE_REVERTED


async def test_a_replaced_load_stays_and_its_replacer_is_named(
    service: Service, datasource: str
) -> None:
    older = await load(service, datasource)
    service.loads.in_use = [f"segment sluice-{older}-1"]
    service.loads.visible[older] = {}
    newer = await load(service, datasource, LoadMode.LOAD_MODE_REPLACE)
    assert (await service.get(older)).load_state == LoadState.LOAD_STATE_REPLACED
    failure = await refusal(service, older)
    assert (failure.code, failure.metadata["tasks"]) == ("NEWER_LOADS", newer)
    # Uncovered again, it is counted and LIVE.
    service.loads.visible[older] = {"x": 1000}
    await revert(service, newer)
    await settled(service, newer)
    assert (await service.get(older)).load_state == LoadState.LOAD_STATE_LIVE


async def test_what_druid_refuses_stays_as_it_was(service: Service, datasource: str) -> None:
    task_id = await load(service, datasource)
    service.loads.refusal = errors.error(
        ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE, "Druid has deleted 1 of 1 segments."
    )
    await revert(service, task_id)
    kept = await settled(service, task_id)
    assert kept.load_state == LoadState.LOAD_STATE_LIVE
    assert "could not be undone" in kept.message


async def test_a_load_waits_for_an_undo_in_its_datasource(
    service: Service, datasource: str
) -> None:
    first = await load(service, datasource)
    service.loads.faults = Faults(of=("remove",))
    held = service.loads.faults
    held.at, held.make = (
        1,
        lambda: errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, "Druid is away."),
    )
    await revert(service, first)
    second = await service.upload(datasource=datasource)
    assert (await service.ended(second.task_id)).state == TaskState.TASK_STATE_SUCCEEDED
    assert (await service.get(first)).load_state == LoadState.LOAD_STATE_REVERTED
    assert held.fired


async def test_an_undo_survives_its_worker(services: Services, datasource: str) -> None:
    """The process stops while Druid is asked; the next one goes on."""
    first = await services.start()
    task_id = await load(first, datasource)
    services.loads.refusal = errors.error(
        ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, "Druid is away."
    )
    await revert(first, task_id)
    await first.life.aclose()
    services.loads.refusal = None
    second = await services.start()
    assert (await settled(second, task_id)).load_state == LoadState.LOAD_STATE_REVERTED
