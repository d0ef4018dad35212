"""A service is killed during a task: the task ends SUCCEEDED, and its rows are in Druid once."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from local.errors import LocalStackError
from local.instance import Instance
from tests.e2e.gateway import Gateway
from tests.tables import sales_csv

ROWS = 60_000

HOLDS = {"VALIDATING": "validation", "INGESTING": "druid_gateway", "VERIFYING": "druid_broker"}
"""The program without which a task stays in a state."""


@asynccontextmanager
async def frozen(instance: Instance, program: str) -> AsyncIterator[None]:
    """Freeze the program. It continues unless it was killed."""
    await asyncio.to_thread(instance.kill, program, signal.SIGSTOP)
    try:
        yield
    finally:
        # No process: it was killed. SIGCONT does not affect a new one.
        with suppress(LocalStackError, ProcessLookupError):
            await asyncio.to_thread(instance.kill, program, signal.SIGCONT)


@pytest.mark.parametrize("state", ["VALIDATING", "INGESTING"])
@pytest.mark.parametrize("holds", [True, False], ids=["the service at work", "status"])
async def test_sigkill(
    gateway: Gateway,
    instance: Instance,
    new_datasource: Callable[[str], str],
    state: str,
    holds: bool,
) -> None:
    datasource = new_datasource("killed")
    service = HOLDS[state] if holds else "status"
    async with frozen(instance, HOLDS[state]):
        task_id = await gateway.upload("killed.csv", sales_csv(ROWS), datasource)
        await gateway.until(task_id, {state})
        killed = await asyncio.to_thread(instance.kill, service, signal.SIGKILL)
    await loaded_once(gateway, instance, task_id, datasource)
    assert instance.pid(service) != killed


@pytest.mark.parametrize("service", ["status", "druid_gateway"])
async def test_sigkill_while_the_rows_are_counted(
    gateway: Gateway,
    instance: Instance,
    new_datasource: Callable[[str], str],
    service: str,
) -> None:
    datasource = new_datasource("killed")
    task_id = await gateway.upload("killed.csv", sales_csv(ROWS), datasource)
    # Until the submit, the broker is needed for the existing segments.
    await gateway.submitted(task_id)
    async with frozen(instance, HOLDS["VERIFYING"]):
        await gateway.until(task_id, {"VERIFYING"})
        killed = await asyncio.to_thread(instance.kill, service, signal.SIGKILL)
    await loaded_once(gateway, instance, task_id, datasource)
    assert instance.pid(service) != killed


async def loaded_once(gateway: Gateway, instance: Instance, task_id: str, datasource: str) -> None:
    """Wait until the task is SUCCEEDED; its rows must be in Druid once."""
    task = await gateway.succeeded(task_id)
    assert task["row_count"] == ROWS
    # The query needs the killed service again.
    await asyncio.to_thread(instance.wait_healthy)
    assert await gateway.rows_in_druid(datasource) == ROWS
