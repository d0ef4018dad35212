"""Faults of the stack's Druid, and observation of its tasks."""

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
"""Seconds within which Druid must start a load, or a task must have an expected message."""


class DruidTasks:
    """The Druid tasks of a load, read directly from Druid."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def known(self, task_id: str, *, location: bool) -> str:
        """Wait until the overlord runs the task's load (`location`: until a worker runs it); return
        its Druid task id.
        """
        deadline = monotonic() + BEGINS_S
        while True:
            # The load's first attempt number is that of the claim that validated the file.
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
        """Return the overlord's status of a task; None if the task is unknown."""
        answer = await self.http.get(f"/druid/indexer/v1/task/{druid_id}/status")
        return dict(answer.json()["status"]) if answer.is_success else None

    async def ended(self, druid_id: str) -> None:
        """Wait until the overlord reports SUCCESS."""
        deadline = monotonic() + BEGINS_S
        while (status := await self.status(druid_id)) is None or status["status"] != "SUCCESS":
            assert monotonic() < deadline, status
            await asyncio.sleep(0.05)


async def wait_for_message(gateway: Gateway, task_id: str, state: str, words: str) -> None:
    """Wait for an event of the task in `state` whose message contains `words`. SUCCEEDED fails."""
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
    """Freeze the program."""
    pid = instance.kill(program, signal.SIGSTOP)
    try:
        yield
    finally:
        assert instance.kill(program, signal.SIGCONT) == pid


@contextmanager
def stopped(instance: Instance, program: str) -> Iterator[None]:
    """Stop the program."""
    instance.stop_program(program)
    try:
        yield
    finally:
        instance.start_program(program)


@contextmanager
def configured(instance: Instance, role: str, before: str, after: str) -> Iterator[None]:
    """Change a setting of a Druid role; restart the role before and after."""
    settings = instance.paths.config / "druid" / role / "runtime.properties"
    original = settings.read_text()
    assert before in original
    settings.write_text(original.replace(before, after))
    try:
        instance.restart(f"druid_{role}")
        instance.wait_healthy()
        yield
    finally:
        settings.write_text(original)
        instance.restart(f"druid_{role}")
        instance.wait_healthy()
