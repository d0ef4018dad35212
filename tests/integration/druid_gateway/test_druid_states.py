"""What the table says of loads, and what Druid shows of them: a status service on the real
PostgreSQL and the real Druid. The files are rows of the tests' own in the real S3.
"""

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import grpc
import pytest
import pytest_asyncio

from local.stack import Stack
from services.common import errors
from services.common.serving import channels
from services.status.db.migrate import migrate
from services.status.pipeline.gate import Gate
from services.status.rpc.druid import LoadsRpc
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, LoadState, TaskState
from sluice.druid.v1.druid_pb2 import CountLoadsRequest, CountLoadsResponse
from sluice.status.v1 import status_pb2
from sluice.validation.v1.validation_pb2 import Column, LoadType, Part, Report, TimeColumn, Verdict
from tests.integration.druid_gateway.loading import (
    DAY,
    FEBRUARY,
    JANUARY,
    Gateway,
    Row,
    as_csv,
    rows,
    until,
)
from tests.integration.status.conftest import Service, Services
from tests.unit.status.fakes import FakeValidation

pytestmark = pytest.mark.asyncio(loop_scope="session")

MONTH = 31 * DAY


class CountedLoads(LoadsRpc):
    """The real Druid gateway; counts of several loads go on only while `gate` is set."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        super().__init__(channel, Gate())
        self.counts: list[CountLoadsRequest] = []
        self.began, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def count(self, request: CountLoadsRequest) -> CountLoadsResponse:
        self.counts.append(request)
        answer = await super().count(request)
        self.began.set()
        await self.gate.wait()
        return answer


@dataclass
class World:
    """One datasource, and who loads into it."""

    gateway: Gateway
    service: Service
    loads: CountedLoads
    datasource: str
    files: dict[str, Sequence[Row]] = field(default_factory=dict)

    async def send(
        self, data: Sequence[Row], mode: "LoadMode.ValueType" = LoadMode.LOAD_MODE_APPEND
    ) -> str:
        """A task whose file has these rows; the same rows are the same bytes."""
        task_id = str(uuid.uuid4())
        self.files[task_id] = data
        body = as_csv(["__time", "city", "n", "v"], data)
        await self.gateway.objects.put_object(
            Bucket=self.gateway.bucket, Key=f"tasks/{task_id}/parts/000.csv", Body=body
        )
        await self.service.upload(
            task_id=task_id, datasource=self.datasource, load_mode=mode, allow_duplicate=False
        )
        return task_id

    async def load(
        self, data: Sequence[Row], mode: "LoadMode.ValueType" = LoadMode.LOAD_MODE_APPEND
    ) -> str:
        task_id = await self.send(data, mode)
        ended = await self.service.ended(task_id)
        assert ended.state == TaskState.TASK_STATE_SUCCEEDED, ended
        return task_id

    def report(self, task_id: str, attempt: int) -> Report:
        data = self.files[task_id]
        return Report(
            task_id=task_id,
            attempt=attempt,
            sha256=hashlib.sha256(repr(data).encode()).digest(),
            verdict=Verdict.VERDICT_PASSED,
            rows_read=len(data),
            rows_loadable=len(data),
            columns=[
                Column(name="__time", load_type=LoadType.LOAD_TYPE_TIME),
                Column(name="city", load_type=LoadType.LOAD_TYPE_STRING),
                Column(name="n", load_type=LoadType.LOAD_TYPE_LONG),
                Column(
                    name="v", load_type=LoadType.LOAD_TYPE_DOUBLE, sum=sum(row[3] for row in data)
                ),
            ],
            time=TimeColumn(
                min_millis=min(row[0] for row in data), max_millis=max(row[0] for row in data)
            ),
            parts=[
                Part(
                    uri=f"s3://{self.gateway.bucket}/tasks/{task_id}/parts/000.csv", rows=len(data)
                )
            ],
        )

    async def undo(self, task_id: str) -> status_pb2.Task:
        """The task once its load is undone, or is said not to be."""
        await self.service.stub.RevertLoad(status_pb2.RevertLoadRequest(task_id=task_id))

        async def has_ended() -> bool:
            return (await self.service.get(task_id)).load_state != LoadState.LOAD_STATE_REVERTING

        await until(has_ended)
        return await self.service.get(task_id)

    async def check(self, **expected: tuple[str, int]) -> None:
        """What the table says of loads, and the rows of them that a query of anybody's sees, by
        name of the files.
        """
        seen = await self._seen()
        for task_id in self.files:
            task = await self.service.get(task_id)
            state = LoadState.Name(task.load_state).removeprefix("LOAD_STATE_")
            assert expected[task_id] == (state, seen.get(task_id, 0)), task

    async def _seen(self) -> dict[str, int]:
        sql = f'SELECT "__load_id", COUNT(*) FROM "{self.datasource}" GROUP BY 1'
        try:
            return dict((await self.gateway.query(sql)).rows)
        except grpc.RpcError as failure:
            # A datasource without rows is none.
            if (
                errors.from_rpc(failure, "druid_gateway").reason
                != ErrorReason.ERROR_REASON_QUERY_INVALID
            ):
                raise
            return {}


@asynccontextmanager
async def schema(stack: Stack) -> AsyncIterator[str]:
    """A migrated schema of its own."""
    name = f"it_states_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(stack.database_url)
    await connection.execute(f"CREATE SCHEMA {name}")
    url = f"{stack.database_url}{'&' if '?' in stack.database_url else '?'}search_path={name}&application_name={name}"
    await migrate(url)
    yield url
    await connection.execute(f"DROP SCHEMA {name} CASCADE")
    await connection.close()


@pytest_asyncio.fixture(loop_scope="session")
async def world(gateway: Gateway, datasource: str, stack: Stack) -> AsyncIterator[World]:
    async with schema(stack) as url, AsyncExitStack() as opened:
        channel = channels.connect(f"127.0.0.1:{gateway.port}")
        opened.push_async_callback(channel.close)
        loads, validation = CountedLoads(channel), FakeValidation()
        services: Any = Services(url, opened, validation, loads)  # type: ignore[arg-type]
        made = World(gateway, await services.start(verify_settle_s=20), loads, datasource)
        validation.judge = made.report
        yield made


async def test_a_replace_that_is_cancelled_while_others_are_counted(world: World) -> None:
    january = rows(300, step=MONTH // 300)
    old = await world.load(january)
    world.loads.gate.clear()
    new = await world.send(rows(100, step=MONTH // 100), LoadMode.LOAD_MODE_REPLACE)
    await asyncio.wait_for(world.loads.began.wait(), 60)
    await world.service.stub.CancelTask(status_pb2.CancelTaskRequest(task_id=new))
    world.loads.gate.set()
    assert (await world.service.ended(new)).state == TaskState.TASK_STATE_CANCELLED
    await world.check(**{old: ("LIVE", 300), new: ("UNSPECIFIED", 0)})
    # The same file is no news.
    copy = await world.service.ended(await world.send(january))
    assert (copy.state, copy.duplicate_of) == (TaskState.TASK_STATE_REJECTED, old)


async def test_a_replace_of_everything_counts_many_loads_at_once(world: World) -> None:
    daily = [await world.load(rows(10 + day, start=JANUARY + day * DAY)) for day in range(12)]
    world.loads.counts.clear()
    new = await world.load(rows(50, start=FEBRUARY, step=DAY // 50), LoadMode.LOAD_MODE_REPLACE_ALL)
    assert [len(each.task_ids) for each in world.loads.counts] == [12]
    await world.check(**dict.fromkeys(daily, ("REPLACED", 0)), **{new: ("LIVE", 50)})
    assert (await world.undo(new)).load_state == LoadState.LOAD_STATE_REVERTED
    alive = {task_id: ("LIVE", 10 + day) for day, task_id in enumerate(daily)}
    await world.check(**alive, **{new: ("REVERTED", 0)})


async def test_an_undo_after_a_compaction_and_an_append(world: World) -> None:
    """A month of four loads is compacted, a fifth is appended: its 270 rows went with the first."""
    four = [await world.load(rows(count, step=MONTH // count)) for count in (100, 101, 102, 103)]
    task_id = await world.gateway.compact(world.datasource, JANUARY, FEBRUARY)

    async def has_ended() -> bool:
        return await world.gateway.druid_status(task_id) == "SUCCESS"

    await until(has_ended)
    fifth = await world.load(rows(270, step=MONTH // 270))
    alive = {task_id: ("LIVE", 100 + number) for number, task_id in enumerate(four)}
    kept = await world.undo(four[0])
    assert "could not be undone" in kept.message
    assert "3 other loads" in kept.message
    assert errors.code_of((await last_problem(world, four[0])).code) == "SHARED_SEGMENTS"
    await world.check(**alive, **{fifth: ("LIVE", 270)})
    assert (await world.undo(fifth)).load_state == LoadState.LOAD_STATE_REVERTED
    await world.check(**alive, **{fifth: ("REVERTED", 0)})


async def last_problem(world: World, task_id: str) -> Any:
    last = (await world.service.get(task_id)).last_sequence
    [event] = await world.service.events(task_id, last)
    return event.problem


async def test_an_undo_of_a_load_that_is_partly_replaced_and_then_of_the_replace(
    world: World,
) -> None:
    old = await world.load(rows(40, step=DAY // 20))
    new = await world.load(rows(5), LoadMode.LOAD_MODE_REPLACE)
    await world.check(**{old: ("PARTLY_REPLACED", 20), new: ("LIVE", 5)})
    assert (await world.undo(old)).load_state == LoadState.LOAD_STATE_REVERTED
    assert (await world.undo(new)).load_state == LoadState.LOAD_STATE_REVERTED
    await world.check(**{old: ("REVERTED", 0), new: ("REVERTED", 0)})


async def test_a_load_that_was_undone_between_two_replaced_days_stays_undone(world: World) -> None:
    """The replace has days 0 and 9, the older load day 5: no row of it was replaced, and yet it
    lies in the replaced stretch.
    """
    between = await world.load(rows(20, start=JANUARY + 5 * DAY))
    edges = rows(3) + rows(3, start=JANUARY + 9 * DAY)
    new = await world.load(edges, LoadMode.LOAD_MODE_REPLACE)
    await world.check(**{between: ("LIVE", 20), new: ("LIVE", 6)})
    assert (await world.undo(between)).load_state == LoadState.LOAD_STATE_REVERTED
    assert (await world.undo(new)).load_state == LoadState.LOAD_STATE_REVERTED
    await world.check(**{between: ("REVERTED", 0), new: ("REVERTED", 0)})


async def test_rows_that_were_dropped_by_hand_show_after_an_undo(world: World) -> None:
    first, second = await world.load(rows(30)), await world.load(rows(20))
    dropped = [
        each for each in await world.gateway.segments(world.datasource) if not each.endswith("_1")
    ]
    address = f"/druid/coordinator/v1/datasources/{world.datasource}/markUnused"
    (await world.gateway.http.post(address, json={"segmentIds": dropped})).raise_for_status()
    undone = await world.undo(second)
    assert undone.load_state == LoadState.LOAD_STATE_REVERTED
    assert f"30 rows of other loads are missing: of tasks {first}." in undone.message
    await world.check(**{first: ("REPLACED", 0), second: ("REVERTED", 0)})
