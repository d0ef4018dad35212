"""Reverts of loads on the real Druid, through the gateway."""

import asyncio
import signal
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from local.instance import Instance
from tests.e2e.gateway import Gateway
from tests.tables import sales_csv


async def undone(gateway: Gateway, task_id: str) -> dict[str, Any]:
    """Revert the load of the task; return the task once it is REVERTED."""
    answer = await gateway.http.post(f"/api/ingest/tasks/{task_id}/revert")
    assert answer.status_code == 202, answer.text
    return await reverted(gateway, task_id)


async def reverted(gateway: Gateway, task_id: str, seconds: float = 60) -> dict[str, Any]:
    deadline = monotonic() + seconds
    while (task := await gateway.task(task_id))["load_state"] == "REVERTING":
        assert monotonic() < deadline, task
        await asyncio.sleep(0.05)
    assert task["load_state"] == "REVERTED", task
    return task


async def test_an_append_is_undone_and_the_file_loaded_again(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("undo_append")
    first = await gateway.upload("first.csv", sales_csv(300), datasource)
    await gateway.succeeded(first)
    second = await gateway.upload("second.csv", sales_csv(200), datasource)
    await gateway.succeeded(second)
    # The first load is removed; the one appended to its chunks stays.
    await undone(gateway, first)
    assert await gateway.rows_in_druid(datasource) == 200
    again = await gateway.upload("first.csv", sales_csv(300), datasource)
    await gateway.succeeded(again)
    assert await gateway.rows_in_druid(datasource) == 500
    assert (await gateway.task(first))["load_state"] == "REVERTED"


async def test_a_replace_is_undone_and_what_it_replaced_is_back(
    gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("undo_replace")
    first = await gateway.upload("first.csv", sales_csv(300), datasource)
    await gateway.succeeded(first)
    replace = await gateway.upload("replace.csv", sales_csv(100), datasource, mode="replace")
    await gateway.succeeded(replace)
    assert await gateway.rows_in_druid(datasource) == 100
    assert (await gateway.task(first))["load_state"] == "REPLACED"
    later = await gateway.upload("later.csv", sales_csv(50), datasource)
    await gateway.succeeded(later)

    refused = await gateway.http.post(f"/api/ingest/tasks/{replace}/revert")
    assert (refused.status_code, refused.json()["code"]) == (409, "NEWER_LOADS")
    assert "later.csv" in refused.json()["message"]
    assert await gateway.rows_in_druid(datasource) == 150

    await undone(gateway, later)
    mutation = "mutation($id: ID!) { revertIngestionTask(taskId: $id) { loadState status } }"
    answer = (
        await gateway.http.post("/graphql", json={"query": mutation, "variables": {"id": replace}})
    ).json()
    assert answer["data"]["revertIngestionTask"]["status"] == "SUCCEEDED"
    await reverted(gateway, replace)
    assert await gateway.rows_in_druid(datasource) == 300
    assert (await gateway.task(first))["load_state"] == "LIVE"


@pytest.mark.parametrize("service", ["druid_gateway", "status"])
async def test_an_undo_of_a_replace_survives_a_kill(
    gateway: Gateway, instance: Instance, new_datasource: Callable[[str], str], service: str
) -> None:
    datasource = new_datasource("undo_killed")
    first = await gateway.upload("first.csv", sales_csv(300), datasource)
    await gateway.succeeded(first)
    replace = await gateway.upload("replace.csv", sales_csv(100), datasource, mode="replace")
    await gateway.succeeded(replace)
    answer = await gateway.http.post(f"/api/ingest/tasks/{replace}/revert")
    assert answer.status_code == 202
    await asyncio.to_thread(instance.kill, service, signal.SIGKILL)
    await asyncio.to_thread(instance.wait_healthy)
    await reverted(gateway, replace)
    assert await gateway.rows_in_druid(datasource) == 300
