"""Faults of Druid during uploads: each task ends, its rows are loaded once, and it does not succeed
before they are queryable.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from local.instance import Instance
from tests.e2e.gateway import Gateway
from tests.faults.druid_faults import DruidTasks, configured, paused, stopped, wait_for_message
from tests.tables import sales_csv

MANY = 250_000
"""Rows that keep Druid busy for seconds."""
FEW = 500


@pytest.fixture
async def druid(instance: Instance) -> AsyncIterator[DruidTasks]:
    async with httpx.AsyncClient(base_url=instance.stack.druid_url, timeout=30) as http:
        yield DruidTasks(http)


@pytest.fixture(scope="module")
def many() -> bytes:
    return sales_csv(MANY)


async def test_the_overlord_is_down_before_the_submit(
    gateway: Gateway, instance: Instance, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("down")
    with stopped(instance, "druid_coordinator"):
        task_id = await gateway.upload("down.csv", sales_csv(FEW), datasource)
        await wait_for_message(gateway, task_id, "INGESTING", "trying again in")
    await expect_rows_once(gateway, task_id, datasource, FEW)


@pytest.mark.parametrize("role", ["druid_coordinator", "druid_indexer"])
async def test_the_overlord_or_the_worker_is_killed_in_the_middle(
    gateway: Gateway,
    instance: Instance,
    druid: DruidTasks,
    new_datasource: Callable[[str], str],
    many: bytes,
    role: str,
) -> None:
    datasource = new_datasource("hurt")
    task_id = await gateway.upload("hurt.csv", many, datasource)
    await druid.known(task_id, location=True)
    await asyncio.to_thread(instance.kill, role, signal.SIGKILL)
    await expect_rows_once(gateway, task_id, datasource, MANY)
    await asyncio.to_thread(instance.wait_healthy)


@pytest.mark.timeout(300)
async def test_the_worker_dies_with_a_load_that_it_never_began(
    gateway: Gateway, instance: Instance, druid: DruidTasks, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("assigned")
    instance.kill("druid_indexer", signal.SIGSTOP)
    task_id = await gateway.upload("assigned.csv", sales_csv(FEW), datasource)
    await druid.known(task_id, location=False)
    instance.kill("druid_indexer", signal.SIGKILL)
    await expect_rows_once(gateway, task_id, datasource, FEW, seconds=240)
    await asyncio.to_thread(instance.wait_healthy)


async def test_a_paused_historical_is_waited_for(
    gateway: Gateway, instance: Instance, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("paused")
    with paused(instance, "druid_historical"):
        task_id = await gateway.upload("paused.csv", sales_csv(FEW), datasource)
        await wait_for_message(gateway, task_id, "VERIFYING", "becoming visible")
    await expect_rows_once(gateway, task_id, datasource, FEW)


async def test_a_full_segment_cache_is_waited_for(
    gateway: Gateway, instance: Instance, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("full")
    with configured(instance, "historical", '"maxSize":"100GiB"', '"maxSize":"1"'):
        task_id = await gateway.upload("full.csv", sales_csv(FEW), datasource)
        await wait_for_message(gateway, task_id, "VERIFYING", "becoming visible")
    await expect_rows_once(gateway, task_id, datasource, FEW)


async def test_a_load_that_is_shut_down_manually_is_restarted(
    gateway: Gateway, druid: DruidTasks, new_datasource: Callable[[str], str], many: bytes
) -> None:
    datasource = new_datasource("shut")
    task_id = await gateway.upload("shut.csv", many, datasource)
    first = await druid.known(task_id, location=True)
    (await druid.http.post(f"/druid/indexer/v1/task/{first}/shutdown")).raise_for_status()
    await expect_rows_once(gateway, task_id, datasource, MANY)
    receipt = (await gateway.http.get(f"/api/ingest/tasks/{task_id}/receipt")).json()
    assert len(receipt["druid_task_ids"]) == 2


async def test_druid_forgets_loads(
    gateway: Gateway,
    instance: Instance,
    druid: DruidTasks,
    new_datasource: Callable[[str], str],
    many: bytes,
) -> None:
    with configured(
        instance,
        "coordinator",
        "druid.indexer.storage.type=metadata",
        "druid.indexer.storage.type=local",
    ):
        # A load that has ended is counted, not repeated.
        datasource = new_datasource("forgotten")
        done = await gateway.upload("done.csv", many, datasource)
        druid_id = await druid.known(done, location=True)
        with paused(instance, "druid_gateway"):
            await druid.ended(druid_id)
            instance.restart("druid_coordinator")
            await asyncio.to_thread(instance.wait_healthy, "druid_coordinator")
        await expect_rows_once(gateway, done, datasource, MANY)
        receipt = (await gateway.http.get(f"/api/ingest/tasks/{done}/receipt")).json()
        assert receipt["druid_task_ids"] == [druid_id]

        # A load that is running is restarted.
        datasource = new_datasource("forgotten")
        running = await gateway.upload("running.csv", many, datasource)
        await druid.known(running, location=True)
        instance.restart("druid_coordinator")
        await expect_rows_once(gateway, running, datasource, MANY)


async def test_a_datasource_that_was_dropped_can_be_loaded_again(
    gateway: Gateway, druid: DruidTasks, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("dropped")
    first = await gateway.upload("first.csv", sales_csv(FEW), datasource)
    await expect_rows_once(gateway, first, datasource, FEW)
    (await druid.http.delete(f"/druid/coordinator/v1/datasources/{datasource}")).raise_for_status()
    second = await gateway.upload("second.csv", sales_csv(FEW // 2), datasource)
    await expect_rows_once(gateway, second, datasource, FEW // 2)
    # The dropped load does not make the file a duplicate, and is no longer LIVE.
    again = await gateway.upload("first.csv", sales_csv(FEW), datasource)
    assert (await gateway.succeeded(again))["row_count"] == FEW
    assert await gateway.rows_in_druid(datasource) == FEW + FEW // 2
    assert (await gateway.task(first))["load_state"] == "REPLACED"


@pytest.mark.timeout(300)
async def test_a_datasource_that_is_dropped_while_its_rows_are_counted(
    gateway: Gateway, instance: Instance, druid: DruidTasks, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("dropped")
    # Stopped, not frozen: it would otherwise still load the segment that was assigned before the
    # drop, and its rows would be counted.
    with stopped(instance, "druid_historical"):
        task_id = await gateway.upload("dropped.csv", sales_csv(FEW), datasource)
        await wait_for_message(gateway, task_id, "VERIFYING", "becoming visible")
        (
            await druid.http.delete(f"/druid/coordinator/v1/datasources/{datasource}")
        ).raise_for_status()
    await asyncio.to_thread(instance.wait_healthy, "druid_historical")
    task = await gateway.until(task_id, {"FAILED"}, 240)
    assert (task["error"]["code"], await gateway.rows_in_druid(datasource)) == ("LOAD_MISMATCH", 0)


async def expect_rows_once(
    gateway: Gateway, task_id: str, datasource: str, rows: int, seconds: float = 150
) -> None:
    """Check that the task ends SUCCEEDED and that a query counts exactly its rows."""
    task = await gateway.succeeded(task_id, seconds)
    assert (task["row_count"], await gateway.rows_in_druid(datasource)) == (rows, rows)
