"""What is kept of every stage, and the figures that come of it, on a real PostgreSQL."""

import asyncio
from itertools import pairwise

import asyncpg

from services.status.db.database import Database
from services.status.db.store import Store
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.druid.v1.druid_pb2 import LoadPhase
from sluice.status.v1 import status_pb2
from sluice.status.v1.status_pb2 import StageOutcome
from tests.integration.status.conftest import Service, Services
from tests.integration.status.test_status_leases import claimed, database, store, uploaded, worker

__all__ = ["database", "store"]


async def runs(service: Service, task_id: str) -> list[status_pb2.StageRun]:
    answer: status_pb2.GetHistoryResponse = await service.stub.GetHistory(
        status_pb2.GetHistoryRequest(task_id=task_id)
    )
    return list(answer.runs)


async def test_every_stage_is_kept_with_worker_and_time(
    services: Services, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    service = await services.start()
    service.loads.phases = [LoadPhase.LOAD_PHASE_FAILED]
    task = await service.upload()
    await service.ended(task.task_id)
    kept = await runs(service, task.task_id)
    assert [(run.stage, run.attempt, StageOutcome.Name(run.outcome)[14:]) for run in kept] == [
        ("validate", 1, "MOVED"),
        ("validate", 1, "MOVED"),
        ("ingest", 2, "GIVEN_BACK"),
        ("ingest", 3, "MOVED"),
        ("verify", 3, "MOVED"),
    ]
    assert "trying again" in kept[2].message
    assert len({run.worker for run in kept}) == 1
    for before, after in pairwise(kept):
        assert (
            before.start_time.ToNanoseconds()
            <= before.end_time.ToNanoseconds()
            <= after.start_time.ToNanoseconds()
        )


async def test_a_worker_that_was_lost_and_an_error_are_kept(
    services: Services,
    store: Store,
    database: Database,
    database_url: str,
    sql: "asyncpg.Connection[asyncpg.Record]",
) -> None:
    task_id = await uploaded(store)
    dead = await claimed(worker(database, database_url))
    service = await services.start()
    service.loads.gate.clear()
    await asyncio.wait_for(service.loads.began.wait(), 10)
    await service.stub.CancelTask(status_pb2.CancelTaskRequest(task_id=task_id))
    await service.ended(task_id)
    kept = await runs(service, task_id)
    assert (kept[0].worker, kept[0].outcome) == (dead.owner.worker, StageOutcome.STAGE_OUTCOME_LOST)
    assert [run.stage for run in kept][-2:] == ["ingest", "clean"]
    assert kept[-2].problem.code == ErrorReason.ERROR_REASON_CANCELLED


async def test_figures_of_the_last_hours(
    services: Services, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    service = await services.start()
    done = await service.upload()
    ended = await service.ended(done.task_id)
    old = await service.upload()
    await service.ended(old.task_id)
    await sql.execute(
        "UPDATE ingestion_tasks SET created_at = now() - interval '3 days' WHERE task_id = $1",
        old.task_id,
    )
    await service.life.aclose()
    quiet = await services.start(pipeline_workers=0)
    waiting = await quiet.upload()
    cancelled = await quiet.upload()
    await quiet.stub.CancelTask(status_pb2.CancelTaskRequest(task_id=cancelled.task_id))
    day = await quiet.stub.GetStatistics(status_pb2.GetStatisticsRequest())
    assert (day.hours, day.waiting, day.running) == (24, 1, 0)
    assert len(day.buckets) == 25
    newest = day.buckets[-2:]
    assert (
        sum(bucket.tasks for bucket in newest) == sum(bucket.tasks for bucket in day.buckets) == 3
    )
    assert sum(bucket.succeeded for bucket in newest) == 1
    assert sum(bucket.rows for bucket in newest) == ended.rows_loaded
    assert (
        sum(bucket.bytes for bucket in newest)
        == done.file_size + waiting.file_size + cancelled.file_size
    )
    assert [stage.stage for stage in day.stages] == ["receive", "validate", "ingest", "verify"]
    assert [(each.code, each.count) for each in day.top_errors] == [
        (ErrorReason.ERROR_REASON_CANCELLED, 1)
    ]
    week = await quiet.stub.GetStatistics(status_pb2.GetStatisticsRequest(hours=168))
    assert len(week.buckets) == 8
    assert sum(bucket.tasks for bucket in week.buckets) == 4
