"""How long a stream may keep its place."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.common.errors import SluiceError
from services.upload import writers as writers_module
from services.upload.steps import Chunk, Step
from services.upload.writers import Writer, Writers


async def trickle(size: int, pause_s: float) -> AsyncIterator[Step]:
    while True:
        await asyncio.sleep(pause_s)
        yield Chunk(bytes(size), None)


async def all_of(writer: Writer) -> None:
    while await writer.next():
        pass


async def test_a_sender_that_trickles_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers_module, "PACE_WINDOW_S", 0.1)
    writer = Writer(trickle(1, 0.02), 30, 60, least_bytes_per_s=512)
    with pytest.raises(SluiceError) as cut:
        await asyncio.wait_for(all_of(writer), 10)
    assert cut.value.code == "UPLOAD_STALLED"
    assert "the least is 512 a second" in cut.value.problem.message
    assert writer.leaving


async def test_only_the_time_of_waiting_for_bytes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers_module, "PACE_WINDOW_S", 0.1)
    writer = Writer(trickle(1, 0), 30, 60, least_bytes_per_s=5)
    for _ in range(5):
        await writer.next()
        # As where our own object store is slow.
        await asyncio.sleep(0.05)
    assert not writer.leaving


async def test_a_stream_has_a_time_in_all() -> None:
    writer = Writer(trickle(10_000, 0.01), 30, 0.1)
    with pytest.raises(SluiceError) as cut:
        await asyncio.wait_for(all_of(writer), 10)
    assert (cut.value.code, "within 0.1 s" in cut.value.problem.message) == ("UPLOAD_STALLED", True)


async def test_a_newer_stream_waits_until_the_older_has_left() -> None:
    writers = Writers(1)
    older, newer = Writer(trickle(1, 30), 60, 60), Writer(trickle(1, 30), 60, 60)
    order = []

    async def write(name: str, writer: Writer) -> None:
        async with writers.place("upload", writer):
            order.append(f"{name} in")
            try:
                await writer.next()
            except SluiceError as replaced:
                order.append(f"{name} {replaced.code}")
                await asyncio.sleep(0.02)
            order.append(f"{name} out")

    first = asyncio.create_task(write("older", older))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(write("newer", newer))
    await first
    await asyncio.sleep(0.01)
    assert order == ["older in", "older WRITER_REPLACED", "older out", "newer in"]
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    writers.check_room()
