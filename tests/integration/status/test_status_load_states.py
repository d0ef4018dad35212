"""The states of other loads, written with the end of the one that changed them: on a real
PostgreSQL.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
import grpc
import pytest

from services.common import errors
from services.status.db.database import Database
from services.status.db.load_records import LoadRecords
from services.status.db.store import Store
from services.status.tasks.load_states import STATES, Counted, Outcome, Recount
from services.status.tasks.machine import Move, State, fail
from services.status.tasks.task import Owner, Task
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import LoadMode, LoadState, TaskState
from sluice.status.v1 import status_pb2 as pb
from tests.integration.status.conftest import Service, Services, until

DAY = 86_400_000
SUCCEEDED = Move(State.SUCCEEDED, "All is there.", columns={"row_count": 5, "load_state": "LIVE"})


@dataclass
class Tables:
    """The tables, and what is tried on them."""

    sql: "asyncpg.Connection[asyncpg.Record]"
    store: Store
    records: LoadRecords

    async def add(self, task_id: str, days: tuple[int, int] = (0, 1), **other: Any) -> None:
        """A load of 10 rows that succeeded."""
        succeeded = {
            "status": "SUCCEEDED",
            "load_state": "LIVE",
            "row_count": 10,
            "load_mode": "APPEND",
        }
        values = {
            "task_id": task_id,
            "request_id": f"request {task_id}",
            "datasource_name": "sales",
            "original_filename": f"{task_id}.csv",
            "file_uri": f"s3://b/{task_id}",
            "upload_mode": "ONE_SHOT",
            "interval_start_millis": days[0] * DAY,
            "interval_end_millis": days[1] * DAY,
            **succeeded,
            **other,
        }
        places = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        ended = values["status"] in ("SUCCEEDED", "FAILED", "CANCELLED")
        clock = "completed_at" if ended and values["load_state"] != "REVERTING" else "next_run_at"
        if values["load_state"] == "REVERTING":
            clock = "completed_at, next_run_at"
        now = ", ".join(["clock_timestamp()"] * (clock.count(",") + 1))
        await self.sql.execute(
            f"INSERT INTO ingestion_tasks ({', '.join(values)}, {clock}) VALUES ({places}, {now})",
            *values.values(),
        )

    async def work(
        self, task_id: str, days: tuple[int, int] = (0, 1), **other: Any
    ) -> tuple[Task, Owner]:
        """A load that is being worked on."""
        lease = {
            "worker": "w",
            "attempt": 3,
            "lease_until": datetime.fromisoformat("2100-01-01T00:00:00+00:00"),
        }
        going = {
            "status": "VERIFYING",
            "load_state": None,
            "row_count": None,
            "in_lane": True,
            "load_mode": "REPLACE",
        }
        await self.add(task_id, days, **{**going, **lease, **other})
        owner = Owner(task_id, 3, "w")
        task = await self.store.owned(owner)
        assert task is not None
        return task, owner

    async def segment(
        self, task_id: str, role: str, name: str, days: tuple[int, int] = (0, 1)
    ) -> None:
        sql = "INSERT INTO load_segments VALUES ($1, $2, $3, $4, $5)"
        await self.sql.execute(sql, task_id, role, name, days[0] * DAY, days[1] * DAY)

    async def count(self, task: Task, **rows: int) -> Recount:
        """What a query counts of the others that the task's load may have changed."""
        where = await self.records.touched(task.task_id)
        others = await self.records.others(task, where, STATES, None)
        return Recount(where.since, [Counted(each, rows.get(each.task_id, 0)) for each in others])

    async def states(self) -> dict[str, str]:
        rows = await self.sql.fetch(
            "SELECT task_id, status, load_state FROM ingestion_tasks ORDER BY task_id"
        )
        return {row["task_id"]: row["load_state"] or row["status"] for row in rows}


@pytest.fixture
async def tables(
    database_url: str, sql: "asyncpg.Connection[asyncpg.Record]"
) -> AsyncIterator[Tables]:
    async with AsyncExitStack() as stack:
        database = Database(database_url, 5)
        await database.open(stack)
        await database.migrated.wait()
        yield Tables(sql, Store(database, 2), LoadRecords(database, 2))


async def test_success_and_the_states_of_others_come_together(tables: Tables) -> None:
    for name in ("gone", "half", "whole"):
        await tables.add(name)
        await tables.segment(name, "OWN", f"segment of {name}")
    await tables.add("elsewhere", (7, 8))
    task, owner = await tables.work("new")
    await tables.segment("new", "OWN", "new segment")
    counted = await tables.count(task, half=4, whole=10)
    assert await tables.records.end(task, owner, SUCCEEDED, counted) is Outcome.WRITTEN
    assert await tables.states() == {
        "elsewhere": "LIVE",
        "gone": "REPLACED",
        "half": "PARTLY_REPLACED",
        "new": "LIVE",
        "whole": "LIVE",
    }
    events = await tables.sql.fetch(
        "SELECT task_id, kind, sequence, message FROM task_events ORDER BY position"
    )
    assert [(each["task_id"], each["kind"], each["sequence"]) for each in events] == [
        ("new", "STATE", 1),
        ("gone", "LOAD_STATE", 1),
        ("half", "LOAD_STATE", 1),
    ]
    assert events[2]["message"] == "4 of its 10 rows are left in sales."
    assert sorted(await tables.records.restorable("new")) == ["segment of gone", "segment of half"]


@pytest.mark.parametrize("lost", ["cancelled", "taken over"])
async def test_without_the_claim_nothing_is_written(tables: Tables, lost: str) -> None:
    await tables.add("gone")
    task, owner = await tables.work("new")
    counted = await tables.count(task)
    if lost == "cancelled":
        failed = errors.problem(ErrorReason.ERROR_REASON_CANCELLED, "Cancelled.")
        assert await tables.store.move(
            "new", State.VERIFYING, fail(State.VERIFYING, State.CANCELLED, failed)
        )
    else:
        await tables.sql.execute("UPDATE ingestion_tasks SET attempt = 4 WHERE task_id = 'new'")
    assert await tables.records.end(task, owner, SUCCEEDED, counted) is Outcome.FENCED
    assert (await tables.states())["gone"] == "LIVE"
    assert await tables.records.restorable("new") == []


async def test_a_failure_in_the_middle_leaves_nothing(tables: Tables) -> None:
    for name in ("one", "two"):
        await tables.add(name)
    await tables.sql.execute(
        "ALTER TABLE ingestion_tasks ADD CHECK (task_id <> 'two' OR load_state = 'LIVE')"
    )
    task, owner = await tables.work("new")
    with pytest.raises(asyncpg.CheckViolationError):
        await tables.records.end(task, owner, SUCCEEDED, await tables.count(task))
    assert await tables.states() == {"new": "VERIFYING", "one": "LIVE", "two": "LIVE"}


@pytest.mark.parametrize(
    ("days", "other", "outcome"),
    [
        (
            (0, 1),
            {"load_mode": "REPLACE", "status": "CANCELLED", "load_state": None},
            Outcome.OUTDATED,
        ),
        ((0, 1), {"load_mode": "REPLACE", "load_state": "REVERTED"}, Outcome.OUTDATED),
        ((0, 1), {"load_mode": "REPLACE_ALL"}, Outcome.OUTDATED),
        ((5, 6), {"load_mode": "REPLACE"}, Outcome.WRITTEN),
        ((0, 1), {"load_mode": "APPEND", "load_state": "REVERTED"}, Outcome.WRITTEN),
    ],
)
async def test_a_count_is_outdated_by_what_ended_since(
    tables: Tables, days: tuple[int, int], other: dict[str, Any], outcome: Outcome
) -> None:
    await tables.add("gone", row_count=3)
    task, owner = await tables.work("new")
    counted = await tables.count(task)
    await tables.add("meanwhile", days, **other)
    assert await tables.records.end(task, owner, SUCCEEDED, counted) is outcome
    assert (await tables.states())["gone"] == ("REPLACED" if outcome is Outcome.WRITTEN else "LIVE")
    if outcome is Outcome.OUTDATED:
        assert (
            await tables.records.end(task, owner, SUCCEEDED, await tables.count(task))
            is Outcome.WRITTEN
        )


async def test_loads_that_another_replace_may_be_hiding_are_left_to_it(tables: Tables) -> None:
    await tables.add("january", (0, 31))
    await tables.add("first", (0, 1))
    undone = {
        "status": "SUCCEEDED",
        "load_state": "REVERTING",
        "undone_from": "LIVE",
        "row_count": 5,
    }
    # Its interval was given up with an attempt, but it has replaced something there.
    nowhere = {"interval_start_millis": None, "interval_end_millis": None}
    await tables.work("replacing", (20, 21), **nowhere)
    await tables.segment("replacing", "REPLACED", "segment of january", (0, 31))
    task, owner = await tables.work("new", (0, 1), **undone)
    await tables.sql.execute(
        "UPDATE load_segments SET start_millis = $1 WHERE task_id = 'replacing'", 20 * DAY
    )
    counted = await tables.count(task, january=5, first=5)
    assert (
        await tables.records.end_undo(task, owner, "REVERTED", "Undone.", counted)
        is Outcome.WRITTEN
    )
    states = await tables.states()
    assert (states["january"], states["first"], states["new"]) == (
        "LIVE",
        "PARTLY_REPLACED",
        "REVERTED",
    )


async def test_a_note_is_not_taken_while_a_replace_may_hide_the_rows(tables: Tables) -> None:
    await tables.add("hidden")
    await tables.work("replacing")
    task, _ = await tables.work("copy", status="VALIDATING", in_lane=False)
    counted = await tables.count(task)
    assert await tables.records.record_counts(task, counted) is False
    assert (await tables.states())["hidden"] == "LIVE"
    await tables.sql.execute(
        "UPDATE ingestion_tasks SET in_lane = false WHERE task_id = 'replacing'"
    )
    assert await tables.records.record_counts(task, counted) is True
    assert (await tables.states())["hidden"] == "REPLACED"


async def test_thousands_of_loads_are_written_together(tables: Tables) -> None:
    await tables.add("template")
    columns = "task_id, request_id, datasource_name, original_filename, file_uri, upload_mode, load_mode, status, load_state, "
    columns += "row_count, completed_at, interval_start_millis, interval_end_millis"
    selected = columns.replace("task_id, request_id", "'load ' || n, 'request of ' || n")
    await tables.sql.execute(
        f"INSERT INTO ingestion_tasks ({columns}) SELECT {selected} FROM ingestion_tasks, generate_series(1, 2499) n"
    )
    await tables.sql.execute(
        "INSERT INTO load_segments SELECT task_id, 'OWN', 'segment of ' || task_id, 0, $1 FROM ingestion_tasks",
        DAY,
    )
    task, owner = await tables.work("new")
    await tables.segment("new", "OWN", "new segment")
    where = await tables.records.touched("new")
    counted, after = [], None
    while found := await tables.records.others(task, where, STATES, after):
        counted += [Counted(each, 0) for each in found]
        after = found[-1]
    assert len(counted) == len({each.load.task_id for each in counted}) == 2500
    assert (
        await tables.records.end(task, owner, SUCCEEDED, Recount(where.since, counted))
        is Outcome.WRITTEN
    )
    assert list((await tables.states()).values()).count("REPLACED") == 2500
    assert len(await tables.records.restorable("new")) == 2500


async def newer(tables: Tables, task_id: str) -> list[str]:
    task = await tables.store.get(task_id)
    assert task is not None
    return [each.task_id for each in await tables.records.begin_undo(task, "It is being undone.")]


async def test_nothing_is_undone_under_a_replace_on_its_way(tables: Tables) -> None:
    """It may bring back what was there when it began."""
    await tables.add("old")
    await tables.work("replacing", (0, 31))
    await tables.work("appending", load_mode="APPEND")
    assert await newer(tables, "old") == ["replacing"]
    await tables.sql.execute(
        "UPDATE ingestion_tasks SET in_lane = false WHERE task_id = 'replacing'"
    )
    assert await newer(tables, "old") == []
    assert (await tables.states())["old"] == "REVERTING"


async def test_a_replace_and_what_it_replaced_are_not_undone_at_once(tables: Tables) -> None:
    """The one would leave out what the other takes away, and that one may be refused by Druid."""
    await tables.add("old", load_state="PARTLY_REPLACED")
    await tables.add("replace", load_mode="REPLACE")
    await tables.add("beside")
    assert await newer(tables, "beside") == []
    assert await newer(tables, "old") == []
    assert await newer(tables, "replace") == ["old", "beside"]


async def test_rows_that_were_rewritten_and_then_replaced_stand_in_the_way(tables: Tables) -> None:
    """Druid compacted a day of the load, and a replace took the place of what came of it: undone
    later, it would bring the rows back.
    """
    await tables.add("old", (0, 2), load_state="PARTLY_REPLACED")
    await tables.segment("old", "OWN", "day 0")
    await tables.segment("old", "OWN", "day 1", (1, 2))
    await tables.add("replace", load_mode="REPLACE")
    await tables.segment("replace", "OWN", "new day 0")
    await tables.segment("replace", "REPLACED", "day 0")
    assert await newer(tables, "old") == []
    await tables.sql.execute(
        "UPDATE ingestion_tasks SET load_state = 'PARTLY_REPLACED', next_run_at = NULL WHERE task_id = 'old'"
    )
    await tables.segment("replace", "REPLACED", "compacted day 0")
    assert await newer(tables, "old") == ["replace"]


async def test_a_replace_that_is_cancelled_during_the_count_leaves_a_file_that_is_no_news(
    service: Service,
) -> None:
    """The way by which one file was loaded twice: what it replaced stayed REPLACED, though its rows
    were back.
    """
    before = await service.ended((await service.upload()).task_id)
    older, counting, go_on = before.task_id, asyncio.Event(), asyncio.Event()
    count = service.loads.count

    async def held(request: Any) -> Any:
        answer = await count(request)
        counting.set()
        await go_on.wait()
        return answer

    service.loads.count = held  # type: ignore[method-assign]
    service.loads.replaced[older] = (0, 1000)
    replace = await service.upload(load_mode=LoadMode.LOAD_MODE_REPLACE)
    await asyncio.wait_for(counting.wait(), 20)
    assert (await service.get(older)).load_state == LoadState.LOAD_STATE_LIVE
    await service.stub.CancelTask(pb.CancelTaskRequest(task_id=replace.task_id))
    go_on.set()
    assert (await service.ended(replace.task_id)).state == TaskState.TASK_STATE_CANCELLED
    kept = await service.get(older)
    assert (kept.load_state, kept.last_sequence) == (
        LoadState.LOAD_STATE_LIVE,
        before.last_sequence,
    )
    copy = await service.ended((await service.upload(allow_duplicate=False)).task_id)
    assert (copy.state, copy.duplicate_of) == (TaskState.TASK_STATE_REJECTED, older)


async def test_a_replace_survives_its_worker_during_the_count(
    services: Services, database_url: str
) -> None:
    first = await services.start()
    await until(lambda: ready(first))
    older = (await first.ended((await first.upload()).task_id)).task_id
    counting, count = asyncio.Event(), services.loads.count

    async def never(request: Any) -> Any:
        counting.set()
        await asyncio.Event().wait()

    services.loads.replaced[older] = (0, 1000)
    services.loads.count = never  # type: ignore[method-assign]
    replace = await first.upload(load_mode=LoadMode.LOAD_MODE_REPLACE)
    await asyncio.wait_for(counting.wait(), 20)
    services.loads.count = count  # type: ignore[method-assign]
    await first.life.aclose()
    second = await services.start()
    assert (await second.ended(replace.task_id)).state == TaskState.TASK_STATE_SUCCEEDED
    assert (await second.get(older)).load_state == LoadState.LOAD_STATE_REPLACED


async def ready(service: Service) -> bool:
    try:
        await service.stub.ListTasks(pb.ListTasksRequest())
    except grpc.RpcError:
        return False
    return True
