"""Loads are undone on the real Druid, through the doors of the edge."""

import asyncio
import signal
from collections.abc import Callable
from time import monotonic
from typing import Any

import pytest

from local.instance import Instance
from tests.e2e.edge import Edge
from tests.tables import sales_csv


async def undone(edge: Edge, task_id: str) -> dict[str, Any]:
    """The task once its load is REVERTED."""
    answer = await edge.http.post(f"/api/ingest/tasks/{task_id}/revert")
    assert answer.status_code == 202, answer.text
    return await reverted(edge, task_id)


async def reverted(edge: Edge, task_id: str, seconds: float = 60) -> dict[str, Any]:
    deadline = monotonic() + seconds
    while (task := await edge.task(task_id))["load_state"] == "REVERTING":
        assert monotonic() < deadline, task
        await asyncio.sleep(0.05)
    assert task["load_state"] == "REVERTED", task
    return task


async def test_an_append_is_undone_and_the_file_loaded_again(
    edge: Edge, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("undo_append")
    first = await edge.upload("first.csv", sales_csv(300), datasource)
    await edge.succeeded(first)
    second = await edge.upload("second.csv", sales_csv(200), datasource)
    await edge.succeeded(second)
    # The first load of the chunks goes, the one appended to them stays.
    await undone(edge, first)
    assert await edge.rows_in_druid(datasource) == 200
    again = await edge.upload("first.csv", sales_csv(300), datasource)
    await edge.succeeded(again)
    assert await edge.rows_in_druid(datasource) == 500
    assert (await edge.task(first))["load_state"] == "REVERTED"


async def test_a_replace_is_undone_and_what_it_replaced_is_back(
    edge: Edge, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("undo_replace")
    first = await edge.upload("first.csv", sales_csv(300), datasource)
    await edge.succeeded(first)
    replace = await edge.upload("replace.csv", sales_csv(100), datasource, mode="replace")
    await edge.succeeded(replace)
    assert await edge.rows_in_druid(datasource) == 100
    assert (await edge.task(first))["load_state"] == "REPLACED"
    later = await edge.upload("later.csv", sales_csv(50), datasource)
    await edge.succeeded(later)

    refused = await edge.http.post(f"/api/ingest/tasks/{replace}/revert")
    assert (refused.status_code, refused.json()["code"]) == (409, "NEWER_LOADS")
    assert "later.csv" in refused.json()["message"]
    assert await edge.rows_in_druid(datasource) == 150

    await undone(edge, later)
    mutation = "mutation($id: ID!) { revertIngestionTask(taskId: $id) { loadState status } }"
    answer = (
        await edge.http.post("/graphql", json={"query": mutation, "variables": {"id": replace}})
    ).json()
    assert answer["data"]["revertIngestionTask"]["status"] == "SUCCEEDED"
    await reverted(edge, replace)
    assert await edge.rows_in_druid(datasource) == 300
    assert (await edge.task(first))["load_state"] == "LIVE"


@pytest.mark.parametrize("service", ["druid_gateway", "status"])
async def test_an_undo_of_a_replace_survives_a_kill(
    edge: Edge, instance: Instance, new_datasource: Callable[[str], str], service: str
) -> None:
    datasource = new_datasource("undo_killed")
    first = await edge.upload("first.csv", sales_csv(300), datasource)
    await edge.succeeded(first)
    replace = await edge.upload("replace.csv", sales_csv(100), datasource, mode="replace")
    await edge.succeeded(replace)
    answer = await edge.http.post(f"/api/ingest/tasks/{replace}/revert")
    assert answer.status_code == 202
    await asyncio.to_thread(instance.kill, service, signal.SIGKILL)
    await asyncio.to_thread(instance.wait_healthy)
    await reverted(edge, replace)
    assert await edge.rows_in_druid(datasource) == 300
