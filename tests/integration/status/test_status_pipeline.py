"""A task's way through the pipeline, on a real PostgreSQL."""

import uuid

from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadState, TaskState
from tests.integration.status.conftest import Service
from tests.unit.status.fakes import ROWS, SHA256, rejected


async def test_a_good_file_succeeds(service: Service) -> None:
    task = await service.upload()
    events = await service.events(task.task_id)
    states = [event.state for event in events if event.kind == 1]
    assert [TaskState.Name(state).removeprefix("TASK_STATE_") for state in states] == [
        "PENDING",
        "UPLOADED",
        "VALIDATING",
        "INGESTING",
        "VERIFYING",
        "SUCCEEDED",
    ]
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    ended = await service.get(task.task_id)
    assert (ended.rows_read, ended.rows_loaded, ended.rows_rejected, ended.rows_skipped) == (
        ROWS + 3,
        ROWS,
        2,
        1,
    )
    assert (ended.load_state, ended.sha256, ended.attempt, ended.report_attempt) == (
        LoadState.LOAD_STATE_LIVE,
        SHA256,
        2,
        1,
    )
    assert ended.druid_task_id == f"sluice-{task.task_id}-1"
    assert [timing.stage for timing in ended.timings] == ["receive", "validate", "ingest", "verify"]
    assert all(timing.seconds >= 0 and timing.HasField("end_time") for timing in ended.timings)
    assert ended.HasField("start_time")
    assert ended.HasField("complete_time")


async def test_a_rejected_file_says_why_and_submits_nothing(service: Service) -> None:
    service.validation.judge = rejected
    ended = await service.ended((await service.upload()).task_id)
    assert ended.state == TaskState.TASK_STATE_REJECTED
    assert ended.problem.code == ErrorReason.ERROR_REASON_TOO_FEW_COLUMNS
    assert (ended.problem.line, ended.problem.value) == (1, "a�b")
    assert [problem.code for problem in ended.validation_errors] == [ended.problem.code]
    assert service.loads.submits == 0


async def test_the_same_bytes_are_refused_the_second_time(service: Service) -> None:
    datasource = f"ds_{uuid.uuid4().hex}"
    first = await service.ended(
        (await service.upload(datasource=datasource, allow_duplicate=False)).task_id
    )
    second = await service.ended(
        (await service.upload(datasource=datasource, allow_duplicate=False)).task_id
    )
    elsewhere = await service.ended(
        (await service.upload(datasource=f"{datasource}_2", allow_duplicate=False)).task_id
    )
    wanted = await service.ended(
        (await service.upload(datasource=datasource, allow_duplicate=True)).task_id
    )
    assert second.state == TaskState.TASK_STATE_REJECTED
    assert (second.problem.code, second.duplicate_of) == (
        ErrorReason.ERROR_REASON_DUPLICATE_CONTENT,
        first.task_id,
    )
    assert {first.state, elsewhere.state, wanted.state} == {TaskState.TASK_STATE_SUCCEEDED}
