"""A server may be newer than the client: a value that is not known is shown as such."""

import asyncio
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import pytest
from grpc import aio
from rich.console import Console

from sluice.status.v1 import status_pb2, status_pb2_grpc
from sluice.status.v1.status_pb2 import (
    GetPlanResponse,
    GetReceiptResponse,
    Task,
    TaskEvent,
    WatchTaskResponse,
)
from sluice.validation.v1.validation_pb2 import Report
from sluice_client import SluiceClient
from sluice_client.cli import documents, show, show_loads
from tests.unit.unknown_values import filled


@pytest.fixture
def out() -> Console:
    return Console(file=StringIO(), width=200, color_system=None)


def text(out: Console) -> str:
    assert isinstance(out.file, StringIO)
    return out.file.getvalue()


def test_documents_hold_unknown_values() -> None:
    task = documents.task(filled(Task()))
    assert (task["status"], task["mode"], task["load_state"]) == ("UNKNOWN", "unknown", "UNKNOWN")
    assert (task["error"]["code"], task["error"]["actor"]) == ("ERROR_9999", "unknown")
    event = documents.event(filled(TaskEvent()))
    assert (event["status"], event["kind"]) == ("UNKNOWN", "unknown")


def test_tasks_are_shown_with_unknown_values(out: Console) -> None:
    out.print(show.task_table([filled(Task())]))
    show.task_end(filled(Task()), out)
    assert text(out).count("UNKNOWN") == 2
    assert "ERROR_9999" in text(out)


def test_reports_and_loads_are_shown_with_unknown_values(out: Console) -> None:
    show.report(filled(Report()), out)
    show_loads.plan(filled(GetPlanResponse()), out)
    show_loads.receipt(filled(GetReceiptResponse()), out)
    assert text(out).lower().count("unknown") >= 4


class Newer(status_pb2_grpc.StatusServiceServicer):
    """Has one task, which has ended in a state that came later."""

    task = filled(Task(task_id="t", last_sequence=1))
    task.complete_time.GetCurrentTime()

    async def GetTask(self, request: Any, context: Any) -> status_pb2.GetTaskResponse:
        return status_pb2.GetTaskResponse(task=self.task)

    async def WatchTask(self, request: Any, context: Any) -> AsyncIterator[WatchTaskResponse]:
        if request.from_sequence <= 1:
            event = filled(TaskEvent(task_id="t", sequence=1))
            yield WatchTaskResponse(event=event, task=self.task)


async def test_waiting_ends_with_an_unknown_final_state() -> None:
    server = aio.server()
    status_pb2_grpc.add_StatusServiceServicer_to_server(Newer(), server)  # type: ignore[abstract]
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    await server.start()
    try:
        async with asyncio.timeout(5), SluiceClient(*[address] * 4) as client:
            assert (await client.wait("t")).last_sequence == 1
    finally:
        await server.stop(None)
