"""Results of queries: batches, limits, incomplete results, cancelling."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import SluiceError
from services.druid_gateway.http.array_lines import MAX_LINE_BYTES, lines
from services.druid_gateway.queries import querying
from services.druid_gateway.queries.querying import Batch, Header, Summary, run
from tests.unit.druid_gateway.fake_druid import FakeDruid

HEADER = [b'["a","b"]', b'["LONG","STRING"]', b'["BIGINT","VARCHAR"]']


async def answer(
    druid: FakeDruid, limit: int = 100, max_bytes: int = 10**9
) -> tuple[Header, list[Batch], Summary]:
    header, *batches, summary = [
        step async for step in run(druid, "SELECT 1", limit, 1000, max_bytes)
    ]
    assert isinstance(header, Header)
    assert isinstance(summary, Summary)
    return header, [batch for batch in batches if isinstance(batch, Batch)], summary


async def test_rows_are_passed_on_unchanged() -> None:
    row = b'[9223372036854775807,"\\u00e4",1.0E-7,1234567890.123456789]'
    druid = FakeDruid(lines=[*HEADER, row, b'[null,""]'])
    header, batches, summary = await answer(druid)
    assert header.columns == [("a", "BIGINT"), ("b", "VARCHAR")]
    assert batches == [Batch(b"[" + row + b',[null,""]]', 2)]
    assert (summary.rows, summary.truncated) == (2, False)
    assert druid.cancelled == []


@pytest.mark.parametrize(
    ("rows", "limit", "given_", "truncated"),
    [(0, 1, 0, False), (1, 1, 1, False), (2, 1, 1, True), (7, 5, 5, True)],
)
async def test_limits(rows: int, limit: int, given_: int, truncated: bool) -> None:
    druid = FakeDruid(lines=[*HEADER, *(b"[%d]" % i for i in range(rows))])
    _, batches, summary = await answer(druid, limit)
    assert [row for batch in batches for row in json.loads(batch.json)] == [
        [i] for i in range(given_)
    ]
    assert sum(batch.count for batch in batches) == given_
    assert (summary.rows, summary.truncated) == (given_, truncated)
    assert druid.queries == [("SELECT 1", limit + 1, 1000)]
    # Reads only one row beyond the limit.
    assert druid.lines_read == 3 + min(rows, limit + 1)
    assert len(druid.cancelled) == truncated


@given(st.lists(st.integers(1, 200_000), max_size=30), st.integers(1, 40))
def test_batches_are_small_and_lose_nothing(sizes: list[int], limit: int) -> None:
    rows = [b'["' + b"x" * size + b'"]' for size in sizes]

    async def check() -> None:
        _, batches, summary = await answer(FakeDruid(lines=[*HEADER, *rows]), limit)
        assert b",".join(batch.json[1:-1] for batch in batches) == b",".join(rows[:limit])
        assert all(len(batch.json) < querying.BATCH_BYTES + 200_010 for batch in batches)
        assert summary.rows == min(limit, len(rows))

    asyncio.run(check())


async def test_too_many_bytes_end_the_query() -> None:
    druid = FakeDruid(lines=[*HEADER, *[b'["xxxxxxxxxx"]'] * 100])
    with pytest.raises(SluiceError) as raised:
        await answer(druid, max_bytes=1000)
    assert raised.value.code == "QUERY_TOO_LARGE"
    assert len(druid.cancelled) == 1


async def test_a_caller_that_stops_reading_cancels_the_query() -> None:
    druid = FakeDruid(lines=[*HEADER, *[b"[1]"] * querying.BATCH_ROWS * 3])
    async with aclosing(run(druid, "SELECT 1", 10**6, 1000, 10**9)) as steps:
        header = await anext(steps)
        await anext(steps)
    assert isinstance(header, Header)
    assert druid.cancelled == [header.query_id]


async def test_forbidden_queries_do_not_reach_druid() -> None:
    druid = FakeDruid()
    with pytest.raises(SluiceError) as raised:
        await anext(run(druid, "DROP TABLE x", 1, 1, 1))
    assert raised.value.code == "QUERY_FORBIDDEN"
    assert (druid.queries, druid.cancelled) == ([], [])


async def test_a_response_without_header_is_an_error() -> None:
    with pytest.raises(SluiceError) as raised:
        await answer(FakeDruid(lines=HEADER[:2]))
    assert raised.value.code == "QUERY_FAILED"


async def split(chunks: Sequence[bytes]) -> list[bytes]:
    async def arriving() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return [line async for line in lines(arriving())]


@given(
    st.lists(st.binary(min_size=1).filter(lambda line: b"\n" not in line)),
    st.lists(st.integers(0, 500)),
)
def test_lines_do_not_depend_on_how_they_arrive(whole: list[bytes], cuts: list[int]) -> None:
    text = b"".join(line + b"\n" for line in whole) + b"\n"
    at = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[start:end] for start, end in pairwise(at)]
    assert asyncio.run(split(chunks)) == whole
    # Every shorter result was cut off.
    for end in {0, len(text) // 2, len(text) - 1}:
        with pytest.raises(SluiceError):
            asyncio.run(split([text[:end]]))


async def test_nothing_may_follow_the_end() -> None:
    for rest in (b"x", b"x\n", b"\nx\n"):
        with pytest.raises(SluiceError):
            await split([b"[1]\n\n" + rest])


async def test_an_endless_line_is_rejected() -> None:
    with pytest.raises(SluiceError) as raised:
        await split([b"x" * (MAX_LINE_BYTES + 1)])
    assert raised.value.code == "QUERY_TOO_LARGE"
