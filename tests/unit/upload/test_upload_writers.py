"""How long a stream may keep its place."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.common.errors import SluiceError
from services.upload import writers as writers_module
from services.upload.steps import Chunk, Step
from services.upload.writers import Share, Writer, Writers


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
    writers = Writers(Share(1, 1), Share(1, 1))
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
    writers.check_room("", 0)


@pytest.mark.parametrize(
    ("client", "size", "refused"),
    [
        ("other", 60, ""),
        ("other", 61, "This server takes files of 100 bytes"),
        ("same", 10, ""),
        ("same", 11, "From one client, this server takes files of 50 bytes"),
        ("same", 0, ""),
    ],
)
async def test_bytes_on_their_way_are_limited_for_a_client_and_in_all(client: str, size: int, refused: str) -> None:
    writers, writer = Writers(Share(3, 100), Share(2, 50)), Writer(trickle(1, 30), 60, 60)
    writer.client, writer.announced, writer.received = "same", 40, 3
    async with writers.place("upload", writer):
        if not refused:
            writers.check_room(client, size)
            return
        with pytest.raises(SluiceError) as full:
            writers.check_room(client, size)
    assert (full.value.code, full.value.metadata) == ("TOO_MANY_UPLOADS", {"retry_after_s": "5"})
    assert full.value.problem.message.startswith(refused)


async def test_a_client_has_its_share_of_the_uploads_and_a_file_of_any_size_goes_alone() -> None:
    writers, one, two = Writers(Share(2, 100), Share(1, 50)), Writer(trickle(1, 30), 60, 60), Writer(trickle(1, 30), 60, 60)
    writers.check_room("one", 1000)
    one.client, two.client = "one", "two"
    async with writers.place("a", one):
        writers.check_room("one", 1000, besides=one)
        with pytest.raises(SluiceError) as full:
            writers.check_room("one", 1)
        assert full.value.problem.message.startswith("From one client, this server takes 1 files at once")
        async with writers.place("b", two):
            with pytest.raises(SluiceError) as full:
                writers.check_room("three", 1)
            assert full.value.problem.message.startswith("This server takes 2 files at once")


async def test_what_has_come_counts_where_nothing_was_announced() -> None:
    writers, writer = Writers(Share(9, 100), Share(9, 100)), Writer(trickle(60, 0), 60, 60)
    async with writers.place("a", writer):
        await writer.next()
        writers.check_room("", 40)
        with pytest.raises(SluiceError):
            writers.check_room("", 41)
