"""Calls that are broken off when the process ends, and those that their caller breaks off."""

import asyncio

import pytest

from services.common.errors import SluiceError
from services.common.serving.handover import Handover


async def call(handover: Handover, began: asyncio.Event) -> None:
    with handover.call():
        began.set()
        await asyncio.Event().wait()


async def test_the_end_of_the_process_is_told() -> None:
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


async def test_a_caller_that_leaves_is_not_told() -> None:
    handover, began = Handover("validation"), asyncio.Event()
    running = asyncio.create_task(call(handover, began))
    await began.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_calls_that_have_ended_are_forgotten() -> None:
    handover = Handover("validation")
    with handover.call():
        pass
    handover.stop()
    await asyncio.sleep(0)
