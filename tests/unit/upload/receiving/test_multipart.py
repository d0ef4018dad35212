"""Chunks of any size become the same parts, with a bounded number of them in memory."""

import asyncio
import hashlib
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.timing import Timings
from services.upload.receiving.multipart import MAX_PARTS, PartWriter, part_size_for
from services.upload.storing.stored import Stored
from tests.unit.upload.fakes import FakeStore, Faults

MIB = 1024 * 1024
URI = "s3://bucket/uploads/sales/x.csv"


async def written(
    chunks: list[bytes], part_size: int, in_flight: int = 3, full_at: int = 0
) -> tuple[FakeStore, PartWriter, bytes]:
    store = FakeStore(Faults())
    store.full_at = full_at
    writer = PartWriter(store, URI, Stored(0, part_size), in_flight, Timings())
    async with asyncio.TaskGroup() as group:
        writer.start(group)
        for chunk in chunks:
            await writer.write(chunk)
        sha256 = await writer.drain()
    return store, writer, sha256


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@settings(max_examples=60)
@given(
    data=st.binary(min_size=1, max_size=400),
    cuts=st.lists(st.integers(0, 10_000), max_size=30),
    part_size=st.integers(1, 97),
)
async def test_any_chunking_gives_the_same_parts(
    data: bytes, cuts: list[int], part_size: int
) -> None:
    store, writer, sha256 = await written(cut(data, cuts), part_size)
    assert sha256 == hashlib.sha256(data).digest()
    assert writer.size == len(data)
    parts = [data[start : start + part_size] for start in range(0, len(data), part_size)]
    if len(data) < part_size:
        assert not store.multiparts
    else:
        assert store.multiparts[URI, writer.multipart_id] == dict(enumerate(parts, start=1))
    await writer.complete()
    assert store.objects == {URI: data}
    assert not store.multiparts


@pytest.mark.timeout(30)
async def test_parts_in_flight_reach_their_limit_and_never_exceed_it() -> None:
    store, _, _ = await written([b"x" * 1000], part_size=10, in_flight=3, full_at=3)
    assert store.most_at_once == 3


async def test_nothing_is_visible_before_complete() -> None:
    for size in (5, 50):
        store, writer, _ = await written([b"x" * size], part_size=10)
        assert not store.objects
        assert not writer.completing


async def test_a_failed_part_ends_the_group_while_it_waits_for_bytes() -> None:
    store = FakeStore(Faults(at=2))  # open_multipart, then this part
    writer = PartWriter(store, URI, Stored(0, 10), 3, Timings())

    async def write_and_wait() -> None:
        async with asyncio.TaskGroup() as group:
            writer.start(group)
            await writer.write(b"x" * 10)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as failures:
        await write_and_wait()
    assert [str(failure) for failure in failures.value.exceptions] == [
        "STORAGE_UNAVAILABLE: put_part failed as planned"
    ]


async def test_the_id_of_a_multipart_is_known_even_if_the_opening_was_interrupted() -> None:
    faults = Faults(at=1, fault="leave")
    store = FakeStore(faults)
    writer = PartWriter(store, URI, Stored(0, 10), 3, Timings())

    async def write() -> None:
        async with asyncio.TaskGroup() as group:
            writer.start(group)
            await writer.write(b"x" * 10)

    writing = asyncio.create_task(write())
    await faults.leave.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert await writer.discard() == "m1"
    assert (URI, "m1") in store.multiparts


@given(size=st.integers(0, 50 * 1024**4), smallest=st.integers(5, 512).map(lambda mib: mib * MIB))
def test_ten_thousand_parts_suffice(size: int, smallest: int) -> None:
    part_size = part_size_for(size, smallest)
    assert part_size >= smallest
    assert -(-size // part_size) <= MAX_PARTS
    assert part_size == smallest or -(-size // (part_size - MIB)) > MAX_PARTS


def test_ordinary_files_have_parts_of_the_configured_size() -> None:
    assert part_size_for(500 * MIB, 8 * MIB) == 8 * MIB
