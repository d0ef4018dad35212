"""Timeouts, takeovers and limits of streams."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from services.common.errors import SluiceError
from services.upload.receiving import writers as writers_module
from services.upload.receiving.admission import (
    MAX_WAITING,
    RETRY_AFTER_S,
    Admission,
    Limits,
    too_many,
)
from services.upload.receiving.steps import Chunk, Step
from services.upload.receiving.writers import Writer, Writers


async def trickle(size: int, pause_s: float) -> AsyncIterator[Step]:
    while True:
        await asyncio.sleep(pause_s)
        yield Chunk(bytes(size), None)


async def all_of(writer: Writer) -> None:
    while await writer.next():
        pass


async def test_a_slow_sender_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers_module, "PACE_WINDOW_S", 0.1)
    writer = Writer(trickle(1, 0.02), 30, 60, min_bytes_per_s=512)
    with pytest.raises(SluiceError) as cut:
        await asyncio.wait_for(all_of(writer), 10)
    assert cut.value.code == "UPLOAD_STALLED"
    assert "the minimum is 512 bytes per second" in cut.value.problem.message
    assert writer.leaving


async def test_only_the_time_of_waiting_for_bytes_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers_module, "PACE_WINDOW_S", 0.1)
    writer = Writer(trickle(1, 0), 30, 60, min_bytes_per_s=5)
    for _ in range(5):
        await writer.next()
        # The object store is slow.
        await asyncio.sleep(0.05)
    assert not writer.leaving


async def test_a_stream_has_a_total_timeout() -> None:
    writer = Writer(trickle(10_000, 0.01), 30, 0.1)
    with pytest.raises(SluiceError) as cut:
        await asyncio.wait_for(all_of(writer), 10)
    assert (cut.value.code, "within 0.1 s" in cut.value.problem.message) == ("UPLOAD_STALLED", True)


async def test_a_newer_stream_waits_until_the_older_has_left() -> None:
    writers = Writers(Admission(Limits(1, 1), Limits(1, 1)))
    older, newer = Writer(trickle(1, 30), 60, 60), Writer(trickle(1, 30), 60, 60)
    order = []

    async def write(name: str, writer: Writer) -> None:
        writers.enter("upload", writer, "", 0)
        try:
            await writers.take_over("upload", writer)
            order.append(f"{name} in")
            try:
                await writer.next()
            except SluiceError as replaced:
                order.append(f"{name} {replaced.code}")
                await asyncio.sleep(0.02)
            order.append(f"{name} out")
        finally:
            writers.leave("upload", writer)

    first = asyncio.create_task(write("older", older))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(write("newer", newer))
    await first
    await asyncio.sleep(0.01)
    assert order == ["older in", "older WRITER_REPLACED", "older out", "newer in"]
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert not writers.receives("upload")


async def test_a_waiting_stream_becomes_the_writer_when_the_other_leaves() -> None:
    admission = Admission(Limits(1, 1), Limits(1, 1))
    writers = Writers(admission)
    first, second, third = (Writer(trickle(1, 30), 60, 60) for _ in range(3))
    for writer in (first, second, third):
        writers.enter("upload", writer, "", 0)
    assert (writers.writes("upload", first), first.leaving) == (True, False)
    # Only the newest stream may wait without bytes.
    assert (second.leaving, third.leaving) == (True, False)
    writers.leave("upload", second)
    writers.leave("upload", first)
    assert writers.writes("upload", third)
    with pytest.raises(SluiceError):
        admission.take("", 0)
    writers.leave("upload", third)
    admission.take("", 0)


@pytest.mark.parametrize(
    ("client", "size", "refused"),
    [
        ("other", 60, ""),
        ("other", 61, "The limit of bytes received at once is 100; 40 are being received."),
        ("same", 10, ""),
        (
            "same",
            11,
            "The limit of bytes received at once from one client is 50; 40 are being received.",
        ),
        ("same", 0, ""),
    ],
)
def test_bytes_in_flight_are_limited_per_client_and_in_total(
    client: str, size: int, refused: str
) -> None:
    admission = Admission(Limits(3, 100), Limits(2, 50))
    admission.take("same", 40).received = 3
    if not refused:
        admission.check(client, size)
        return
    with pytest.raises(SluiceError) as full:
        admission.take(client, size)
    assert full.value.code == "TOO_MANY_UPLOADS"
    assert full.value.problem.message == refused


def test_uploads_are_limited_per_client_and_a_single_file_may_have_any_size() -> None:
    admission = Admission(Limits(2, 2000), Limits(1, 50))
    admission.take("one", 1000)
    with pytest.raises(SluiceError) as full:
        admission.take("one", 1)
    message = "The limit of concurrent uploads from one client is reached: 1."
    assert full.value.problem.message == message
    two = admission.take("two", 1000)
    with pytest.raises(SluiceError) as full:
        admission.take("three", 0)
    assert full.value.problem.message == "The limit of concurrent uploads is reached: 2."
    admission.give_back(two)
    admission.take("three", 1)


async def test_received_bytes_count_if_no_size_was_announced() -> None:
    admission = Admission(Limits(9, 100), Limits(9, 100))
    writers, writer = Writers(admission), Writer(trickle(60, 0), 60, 60)
    writers.enter("a", writer, "", 0)
    await writer.next()
    admission.check("", 40)
    with pytest.raises(SluiceError):
        admission.check("", 41)


def test_rejected_clients_retry_at_different_times() -> None:
    waits = {int(too_many("Full.").metadata["retry_after_s"]) for _ in range(200)}
    assert min(waits) >= RETRY_AFTER_S[0] > 0
    assert max(waits) <= RETRY_AFTER_S[1]
    assert len(waits) > 3


def test_streams_that_wait_for_a_slot_are_limited() -> None:
    admission = Admission(Limits(1, 1), Limits(1, 1))
    with ExitStack() as judged:
        for _ in range(MAX_WAITING):
            judged.enter_context(admission.waiting())
        with pytest.raises(SluiceError) as full, admission.waiting(needs_slot=False):
            pass
        assert full.value.code == "TOO_MANY_UPLOADS"
    slot = admission.take("", 0)
    with pytest.raises(SluiceError), admission.waiting():
        pass
    with admission.waiting(needs_slot=False):
        admission.give_back(slot)
