"""`sluice upload`: files one after the other; with --watch, tasks are followed while the next file
is sent.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sluice.common.v1.task_pb2 import LoadMode, TaskState
from sluice.status.v1.status_pb2 import Task
from sluice_client.cli import documents, ending
from sluice_client.cli.bars import Bar, Bars
from sluice_client.cli.ending import Exit
from sluice_client.cli.unfinished import Unfinished
from sluice_client.client import SluiceClient
from sluice_client.errors import SluiceClientError


@dataclass(frozen=True)
class Order:
    """What to do with every file."""

    server: str
    """Address of the upload service."""
    datasource: str
    mode: "LoadMode.ValueType"
    interval: tuple[datetime, datetime] | None
    plan_first: bool
    allow_duplicate: bool
    watch: bool


@dataclass(frozen=True)
class Outcome:
    """What became of one file: its task as last seen, or why there is none or it could not be
    followed.
    """

    file: Path
    task_id: str = ""
    task: Task | None = None
    error: SluiceClientError | None = None

    @property
    def status(self) -> Exit:
        """Exit status for this file alone."""
        if self.error is not None:
            return ending.of_error(self.error)
        return ending.of_state(self.task.state) if self.task is not None else Exit.OK

    def document(self) -> dict[str, Any]:
        """Its JSON: the file and the answer of REST, or with --watch the whole task."""
        if self.error is not None:
            return {
                "file": str(self.file),
                "task_id": self.task_id or None,
                "status": None,
                "error": documents.error(self.error),
            }
        if self.task is None:
            return {"file": str(self.file), "task_id": self.task_id, "status": "ACCEPTED"}
        return {"file": str(self.file), **documents.task(self.task)}


async def send(
    client: SluiceClient,
    files: list[Path],
    order: Order,
    bars: Bars,
    ended: Callable[[Outcome], None],
) -> Exit:
    """Sends all files and gives each outcome to `ended`; stops early where a service does not
    answer.
    """
    outcomes: list[Outcome] = []

    def end(outcome: Outcome) -> None:
        outcomes.append(outcome)
        ended(outcome)

    async with asyncio.TaskGroup() as following:
        for file in files:
            bar = bars.sending(file.name, file.stat().st_size)
            try:
                task_id = await _sent(client, file, order, bar)
            except SluiceClientError as failure:
                bar.close()
                end(Outcome(file, error=failure))
                if ending.of_error(failure) is Exit.UNREACHABLE:
                    break
                continue
            if order.watch:
                following.create_task(_follow(client, file, task_id, order.plan_first, bar, end))
            else:
                end(Outcome(file, task_id))
    return ending.worst(outcome.status for outcome in outcomes)


async def _sent(client: SluiceClient, file: Path, order: Order, bar: Bar) -> str:
    """Id of the file's task, once the file is stored; goes on where an earlier command was
    interrupted.
    """
    said = (order.mode, order.interval, order.plan_first, order.allow_duplicate)
    unfinished = await asyncio.to_thread(Unfinished, file, order.server, order.datasource, *said)

    async def upload(request_id: str) -> str:
        return await client.upload(
            file,
            order.datasource,
            mode=order.mode,
            interval=order.interval,
            plan_first=order.plan_first,
            allow_duplicate=order.allow_duplicate,
            request_id=request_id,
            progress=bar.sent,
        )

    try:
        begun = unfinished.request_id()
        task_id = await upload(begun or unfinished.begin())
        if begun and (await client.task(task_id)).state == TaskState.TASK_STATE_CANCELLED:
            # It was given up in the meantime, by somebody or because it lay too long.
            task_id = await upload(unfinished.begin())
    except SluiceClientError as failure:
        if failure.actor == "you":
            unfinished.forget()
        raise
    unfinished.forget()
    return task_id


async def _follow(
    client: SluiceClient,
    file: Path,
    task_id: str,
    to_its_plan: bool,
    bar: Bar,
    end: Callable[[Outcome], None],
) -> None:
    try:
        async for answer in client.watch(task_id):
            bar.happened(answer.event)
            if to_its_plan and answer.event.state == TaskState.TASK_STATE_PLANNED:
                break
        end(Outcome(file, task_id, await client.task(task_id)))
    except SluiceClientError as failure:
        end(Outcome(file, task_id, error=failure))
