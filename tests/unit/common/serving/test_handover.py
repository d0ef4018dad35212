"""Handover: calls that the process ends, and calls that their callers cancel."""

import asyncio

import pytest

from services.common.errors import SluiceError
from services.common.serving.handover import Handover


async def call(handover: Handover, began: asyncio.Event) -> None:
    with handover.call():
        began.set()
        await asyncio.Event().wait()


async def test_a_call_that_the_process_ends_gets_an_error() -> None:
    handover, began = Handover("validation"), asyncio.Event()
    running = asyncio.create_task(call(handover, began))
    await began.wait()
    handover.stop()
    with pytest.raises(SluiceError) as raised:
        await running
    assert (raised.value.code, raised.value.metadata) == (
        "SERVICE_UNAVAILABLE",
        {"service": "validation"},
    )
    with pytest.raises(SluiceError):
        await call(handover, began)


async def test_a_call_that_its_caller_cancels_is_cancelled() -> None:
    handover, began = Handover("validation"), asyncio.Event()
    running = asyncio.create_task(call(handover, began))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_finished_calls_are_not_kept() -> None:
    handover = Handover("validation")
    with handover.call():
        pass
    handover.stop()
    await asyncio.sleep(0)
