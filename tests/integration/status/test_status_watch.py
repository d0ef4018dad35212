"""Watching on a real PostgreSQL: no gap, no repeat, resumable, and whatever happens to the LISTEN
connection.
"""

import asyncio

import asyncpg
import grpc
import pytest

from services.common import errors
from services.status.db.migrate import migrate
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1 import status_pb2
from tests.integration.status.conftest import Service, Services, terminate, until

LISTENING = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = current_schema() || ' listen'"


async def test_every_start_sees_the_same_events(service: Service) -> None:
    task = await service.upload()
    live = await service.events(task.task_id)
    assert await service.events(task.task_id) == live
    for start in range(1, len(live) + 1):
        assert await service.events(task.task_id, start) == live[start - 1 :]
    assert await service.events(task.task_id, len(live) + 1) == []


async def test_a_task_comes_with_its_event(service: Service) -> None:
    task = await service.upload()
    async for answer in service.stub.WatchTask(status_pb2.WatchTaskRequest(task_id=task.task_id)):
        assert answer.task.last_sequence >= answer.event.sequence
    assert answer.task.state == TaskState.TASK_STATE_SUCCEEDED


async def test_watchers_outlive_the_listen_connection(
    service: Service, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    service.validation.gate.clear()
    task = await service.upload()
    watchers = [asyncio.create_task(service.events(task.task_id)) for _ in range(5)]
    await service.reached(task.task_id, TaskState.TASK_STATE_VALIDATING)
    await until(lambda: terminate(sql, "listen"))
    service.validation.gate.set()
    seen = await asyncio.gather(*watchers)
    assert all(events == seen[0] for events in seen)
    assert [event.sequence for event in seen[0]] == list(range(1, len(seen[0]) + 1))
    assert seen[0][-1].state == TaskState.TASK_STATE_SUCCEEDED
    await until(lambda: sql.fetchval(LISTENING))


async def test_a_slow_watcher_misses_nothing(
    service: Service, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    task = await service.create()
    watching = service.stub.WatchTask(status_pb2.WatchTaskRequest(task_id=task.task_id))
    assert (await watching.read()).event.sequence == 1
    many = 1500
    await sql.execute(
        """INSERT INTO task_events (task_id, sequence, kind, state, message, attempt)
        SELECT $1, number, 'PROGRESS', 'PENDING', repeat('x', 1000), 0 FROM generate_series(2, $2::int) AS number""",
        task.task_id,
        many,
    )
    await sql.execute(
        "UPDATE ingestion_tasks SET last_sequence = $2 WHERE task_id = $1", task.task_id, many
    )
    assert [(await watching.read()).event.sequence for _ in range(2, many + 1)] == list(
        range(2, many + 1)
    )
    watching.cancel()


async def test_all_tasks_are_watched_by_position(service: Service) -> None:
    first = await service.upload(datasource="one")
    await service.ended(first.task_id)
    watching = service.stub.WatchTasks(
        status_pb2.WatchTasksRequest(datasource="two", from_position=1)
    )
    second = await service.upload(datasource="two")
    seen: list[status_pb2.TaskEvent] = []
    while not seen or seen[-1].state != TaskState.TASK_STATE_SUCCEEDED:
        seen.append((await watching.read()).event)
    watching.cancel()
    assert {event.task_id for event in seen} == {second.task_id}
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    positions = [event.position for event in seen]
    assert positions == sorted(set(positions))
    resumed = service.stub.WatchTasks(
        status_pb2.WatchTasksRequest(datasource="two", from_position=positions[1])
    )
    assert (await resumed.read()).event == seen[1]
    resumed.cancel()


async def test_watchers_of_a_process_that_stops_resume_at_another(
    services: Services, database_url: str
) -> None:
    await migrate(database_url)
    one, two = await services.start(), await services.start()
    services.validation.gate.clear()
    task = await one.upload()
    seen: list[status_pb2.TaskEvent] = []
    told = asyncio.Event()

    async def watch() -> None:
        async for answer in one.stub.WatchTask(status_pb2.WatchTaskRequest(task_id=task.task_id)):
            seen.append(answer.event)
            told.set()

    watching = asyncio.create_task(watch())
    # A call that was told nothing yet would be tried again by the client, which waits for the
    # server to come back.
    await told.wait()
    await one.reached(task.task_id, TaskState.TASK_STATE_VALIDATING)
    await one.life.aclose()
    with pytest.raises(grpc.RpcError) as failure:
        await watching
    assert errors.from_rpc(failure.value, "status").code == "SERVICE_UNAVAILABLE"
    services.validation.gate.set()
    seen += await two.events(task.task_id, seen[-1].sequence + 1)
    assert [event.sequence for event in seen] == list(range(1, len(seen) + 1))
    assert seen[-1].state == TaskState.TASK_STATE_SUCCEEDED
