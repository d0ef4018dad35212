"""`sluice upload`: sends files one by one; --watch follows tasks while the next file is sent."""

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
class UploadOptions:
    """Options of all files of one command."""

    upload_addr: str
    datasource: str
    mode: "LoadMode.ValueType"
    interval: tuple[datetime, datetime] | None
    plan_first: bool
    allow_duplicate: bool
    watch: bool


@dataclass(frozen=True)
class Outcome:
    """The result for one file: its task as last seen, or the error of uploading or following it."""

    file: Path
    task_id: str = ""
    task: Task | None = None
    error: SluiceClientError | None = None

    @property
    def status(self) -> Exit:
        """Exit status for this file."""
        if self.error is not None:
            return ending.of_error(self.error)
        return ending.of_state(self.task.state) if self.task is not None else Exit.OK

    def document(self) -> dict[str, Any]:
        """Return the JSON document: the file and the answer of REST, or with --watch the task."""
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
    options: UploadOptions,
    bars: Bars,
    on_outcome: Callable[[Outcome], None],
) -> Exit:
    """Send all files and pass each outcome to `on_outcome`. Stops early if a service does not
    answer.
    """
    outcomes: list[Outcome] = []

    def end(outcome: Outcome) -> None:
        outcomes.append(outcome)
        on_outcome(outcome)

    async with asyncio.TaskGroup() as followers:
        for file in files:
            bar = bars.sending(file.name, file.stat().st_size)
            try:
                task_id = await _upload(client, file, options, bar)
            except SluiceClientError as failure:
                bar.close()
                end(Outcome(file, error=failure))
                if ending.of_error(failure) is Exit.UNREACHABLE:
                    break
                continue
            if options.watch:
                followers.create_task(_follow(client, file, task_id, options.plan_first, bar, end))
            else:
                end(Outcome(file, task_id))
    return ending.worst(outcome.status for outcome in outcomes)


async def _upload(client: SluiceClient, file: Path, options: UploadOptions, bar: Bar) -> str:
    """Upload the file, or resume the upload of an interrupted command; return the task id."""
    unfinished = await asyncio.to_thread(
        Unfinished,
        file,
        options.upload_addr,
        options.datasource,
        options.mode,
        options.interval,
        options.plan_first,
        options.allow_duplicate,
    )

    async def upload(request_id: str) -> str:
        return await client.upload(
            file,
            options.datasource,
            mode=options.mode,
            interval=options.interval,
            plan_first=options.plan_first,
            allow_duplicate=options.allow_duplicate,
            request_id=request_id,
            progress=bar.sent,
        )

    try:
        stored_id = unfinished.request_id()
        task_id = await upload(stored_id or unfinished.begin())
        if stored_id and (await client.task(task_id)).state == TaskState.TASK_STATE_CANCELLED:
            # The upload was aborted or expired in the meantime.
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
    until_planned: bool,
    bar: Bar,
    end: Callable[[Outcome], None],
) -> None:
    try:
        async for answer in client.watch(task_id):
            bar.show_event(answer.event)
            if until_planned and answer.event.state == TaskState.TASK_STATE_PLANNED:
                break
        end(Outcome(file, task_id, await client.task(task_id)))
    except SluiceClientError as failure:
        end(Outcome(file, task_id, error=failure))
