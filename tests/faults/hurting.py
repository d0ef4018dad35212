"""Ways to hurt the stack's Druid, and to look at what it does."""

import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import httpx

from local.instance import Instance
from tests.e2e.gateway import Gateway

BEGINS_S = 60
"""Seconds within which Druid has begun a load, or a task has told what is awaited of it."""


class DruidTasks:
    """Druid's own tasks of a load, asked without Sluice."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def known(self, task_id: str, *, location: bool) -> str:
        """The Druid id of the task's load once the overlord runs it. `location`: once a worker has
        told where.
        """
        deadline = monotonic() + BEGINS_S
        while True:
            # The first attempt of the load is that of the claim that validated the file, mostly 1.
            for attempt in (1, 2, 3):
                druid_id = f"sluice-{task_id}-{attempt}"
                status = await self.status(druid_id)
                if status is not None:
                    assert status["status"] == "RUNNING", status
                    if not location or status["location"]["host"]:
                        return druid_id
            assert monotonic() < deadline, f"Druid has no load of {task_id}"
            await asyncio.sleep(0.02)

    async def status(self, druid_id: str) -> dict[str, Any] | None:
        """The overlord's status of a task; None where it knows none."""
        answer = await self.http.get(f"/druid/indexer/v1/task/{druid_id}/status")
        return dict(answer.json()["status"]) if answer.is_success else None

    async def ended(self, druid_id: str) -> None:
        """Returns when the overlord says SUCCESS."""
        deadline = monotonic() + BEGINS_S
        while (status := await self.status(druid_id)) is None or status["status"] != "SUCCESS":
            assert monotonic() < deadline, status
            await asyncio.sleep(0.05)


async def told(gateway: Gateway, task_id: str, state: str, words: str) -> None:
    """Returns when the task tells the words while it is in the state. Fails where it is said to be
    done before.
    """
    async with (
        asyncio.timeout(BEGINS_S),
        gateway.http.stream(
            "GET", f"/api/ingest/tasks/{task_id}/events", timeout=BEGINS_S
        ) as stream,
    ):
        async for line in stream.aiter_lines():
            if line.startswith("data:"):
                event: dict[str, Any] = json.loads(line.removeprefix("data:"))
                assert event["status"] != "SUCCEEDED", event
                if event["status"] == state and words in (event["message"] or ""):
                    return
    raise AssertionError("the events ended")


@contextmanager
def paused(instance: Instance, program: str) -> Iterator[None]:
    """The program stands still."""
    pid = instance.kill(program, signal.SIGSTOP)
    try:
        yield
    finally:
        assert instance.kill(program, signal.SIGCONT) == pid


@contextmanager
def stopped(instance: Instance, program: str) -> Iterator[None]:
    """The program does not run."""
    instance.stop_program(program)
    try:
        yield
    finally:
        instance.start_program(program)


@contextmanager
def configured(instance: Instance, role: str, before: str, after: str) -> Iterator[None]:
    """A role of Druid has another setting; it is restarted for it, and once more at the end."""
    settings = instance.paths.config / "druid" / role / "runtime.properties"
    as_it_was = settings.read_text()
    assert before in as_it_was
    settings.write_text(as_it_was.replace(before, after))
    try:
        instance.restart(f"druid_{role}")
        instance.wait_healthy()
        yield
    finally:
        settings.write_text(as_it_was)
        instance.restart(f"druid_{role}")
        instance.wait_healthy()
