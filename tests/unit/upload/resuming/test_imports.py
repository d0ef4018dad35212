"""Imports from a bucket: what is allowed, and what remains after a failure."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from services.common.errors import SluiceError
from services.upload.ports import FoundObject
from services.upload.resuming.imports import MAX_COPIES, NewImport
from sluice.common.v1.task_pb2 import LoadMode, TaskState
from sluice.status.v1.status_pb2 import Task
from tests.unit.upload.fakes import Fault, Faults, World

SOURCE = "s3://lake/exports/2026/Sales.csv"
DATA = b"date,amount\n2026-01-01,3\n"


def world(faults: Faults | None = None, **settings: Any) -> World:
    made = World(faults, **{"import_from": "s3://lake/exports, s3://other/", **settings})
    made.store.objects[SOURCE] = DATA
    return made


async def take(made: World, **changes: Any) -> tuple[Task, bool]:
    new: dict[str, Any] = {
        "request_id": "r1",
        "uri": SOURCE,
        "datasource": "sales",
        "load_mode": LoadMode.LOAD_MODE_UNSPECIFIED,
        "allow_duplicate": False,
        "options": b"",
        "client": "10.0.0.1",
    }
    return await made.imports.create(NewImport(**{**new, **changes}))


async def test_a_file_is_copied_to_the_uploads() -> None:
    made = world()
    task, created = await take(made)
    assert created
    assert (task.state, task.filename, task.file_size, task.client) == (
        TaskState.TASK_STATE_UPLOADED,
        "Sales.csv",
        len(DATA),
        "10.0.0.1",
    )
    assert task.file_uri.startswith("s3://bucket/uploads/sales/Sales_")
    assert made.store.objects == {SOURCE: DATA, task.file_uri: DATA}
    again, created = await take(made)
    assert (again.task_id, created, len(made.store.objects)) == (task.task_id, False, 2)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"uri": "s3://lake/private/Sales.csv"}, "IMPORT_NOT_ALLOWED"),
        ({"uri": "s3://lake/exports-of-others/Sales.csv"}, "IMPORT_NOT_ALLOWED"),
        ({"uri": "s3://lake/exports/../private/Sales.csv"}, "IMPORT_NOT_ALLOWED"),
        ({"uri": "s3://lake/exports//Sales.csv"}, "IMPORT_NOT_ALLOWED"),
        ({"uri": "s3://lake/exports/"}, "IMPORT_NOT_ALLOWED"),
        ({"uri": "s3://bucket/uploads/sales/Sales.csv"}, "IMPORT_NOT_ALLOWED"),
        ({"uri": "s3://other/Sales.csv"}, "IMPORT_NOT_FOUND"),
        ({"uri": "s3://other/Sales.txt"}, "FILE_TYPE_UNSUPPORTED"),
        ({"datasource": "no blanks"}, "DATASOURCE_NAME_INVALID"),
    ],
)
async def test_invalid_requests_are_rejected_before_a_task_is_created(
    changes: dict[str, Any], code: str
) -> None:
    made = world()
    with pytest.raises(SluiceError) as refused:
        await take(made, **changes)
    assert refused.value.code == code
    assert not made.tasks.tasks


@pytest.mark.parametrize(
    ("settings", "data", "code"),
    [({"max_file_size_bytes": 5}, DATA, "FILE_TOO_LARGE"), ({}, b"", "FILE_EMPTY")],
)
async def test_sizes_are_checked_before_the_copy(
    settings: dict[str, Any], data: bytes, code: str
) -> None:
    made = world(**settings)
    made.store.objects[SOURCE] = data
    with pytest.raises(SluiceError) as refused:
        await take(made)
    assert refused.value.code == code
    assert not made.tasks.tasks


async def test_without_a_setting_nothing_is_imported() -> None:
    with pytest.raises(SluiceError) as refused:
        await take(World())
    assert refused.value.code == "IMPORT_NOT_ALLOWED"


@pytest.mark.parametrize("fault", ["before", "after", "outage"])
async def test_whichever_call_fails_the_file_is_complete_or_absent(fault: Fault) -> None:
    at, faults = 0, Faults()
    while at == 0 or faults.struck:
        at += 1
        faults = Faults(at, fault)
        made = world(faults)
        with suppress(SluiceError):
            await take(made)
        await made.background.drain(5)
        faults.at = 0
        made.tasks.idle_s = 10**6
        for _ in range(3):
            await made.sweeper.sweep()
        tasks = list(made.tasks.tasks.values())
        kept = {
            task.file_uri: DATA for task in tasks if task.state == TaskState.TASK_STATE_UPLOADED
        }
        assert made.store.objects == {SOURCE: DATA, **kept}, faults.calls
        assert all(task.state != TaskState.TASK_STATE_PENDING for task in tasks)
        faults.at = at
    assert at > 4


class Slow(World):
    """A world in which no copy ends before `go_on` is set."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(import_from="s3://lake/exports", **settings)
        self.store.objects[SOURCE] = DATA
        self.go_on = asyncio.Event()
        self.copies = 0
        copy = self.store.copy

        async def slowly(source: str, target: str, found: FoundObject) -> None:
            self.copies += 1
            await self.go_on.wait()
            await copy(source, target, found)

        self.store.copy = slowly  # type: ignore[method-assign]


@pytest.mark.parametrize(
    ("settings", "clients", "most", "text"),
    [
        ({}, 20, MAX_COPIES, "concurrent imports"),
        ({}, 1, MAX_COPIES, "concurrent imports"),
        ({"max_concurrent_uploads_per_client": 3}, 1, 3, "from one client"),
        ({"max_concurrent_uploads": 2}, 20, 2, "concurrent uploads is reached: 2"),
        ({"max_bytes_in_flight": 5 * len(DATA)}, 20, 5, "bytes received at once"),
    ],
)
async def test_concurrent_imports_are_limited(
    settings: dict[str, Any], clients: int, most: int, text: str
) -> None:
    made = Slow(**settings)
    asked = [
        asyncio.create_task(take(made, request_id=f"r{n}", client=f"10.0.0.{n % clients}"))
        for n in range(20)
    ]
    while sum(each.done() for each in asked) < 20 - most or made.copies < most:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert made.copies == most
    # The rejected imports left nothing.
    assert len(made.tasks.tasks) == most
    made.go_on.set()
    ended = await asyncio.gather(*asked, return_exceptions=True)
    refused = [each for each in ended if isinstance(each, SluiceError)]
    assert len(refused) == 20 - most
    assert all(each.code == "TOO_MANY_UPLOADS" and text in str(each) for each in refused)
    assert (await take(made, request_id="later"))[0].state == TaskState.TASK_STATE_UPLOADED
