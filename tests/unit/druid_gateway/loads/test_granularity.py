"""Segment granularity of a load."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.druid_gateway.loads.granularity import (
    EARLIEST_MILLIS,
    FREE_CHUNKS,
    LATEST_MILLIS,
    MAX_CHUNKS,
    ROWS_PER_CHUNK,
    Granularity,
    align,
    choose,
    chunks,
    iso,
    iso_interval,
    millis_of,
)
from services.druid_gateway.loads.load import Mode

moments = st.integers(EARLIEST_MILLIS, LATEST_MILLIS)
spans = st.tuples(moments, moments).map(sorted)
granularities = st.sampled_from(Granularity)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("rows", "first", "last", "append", "replace"),
    [
        (1, "2020-02-29", "2020-02-29", "DAY", "DAY"),
        (1_000, "2020-01-01T10:00", "2020-01-01T10:59", "DAY", "DAY"),
        (1_000_000, "2020-01-01T00:00", "2020-01-01T19:59", "HOUR", "HOUR"),
        (1_000_000, "2020-01-01T00:00", "2020-01-01T23:59", "DAY", "DAY"),
        (1_000, "2020-01-01", "2020-01-12", "MONTH", "DAY"),
        (1_000, "2020-01-01", "2020-01-04", "DAY", "DAY"),
        (1_000, "2020-01-01", "2020-01-31", "MONTH", "MONTH"),
        (300, "2020-07-01", "2020-09-30", "MONTH", "MONTH"),
        (300, "2020-01-01", "2020-12-31", "YEAR", "MONTH"),
        (10_194, "2019-01-03", "2022-12-30", "YEAR", "YEAR"),
        (2_300_000, "2019-01-01", "2020-12-31", "MONTH", "MONTH"),
        (2_300_000, "2020-01-01", "2020-02-10", "DAY", "DAY"),
        (50_000_000, "2000-01-01", "2020-12-31", "YEAR", "YEAR"),
        (100, "1800-01-01", "2020-12-31", "YEAR", "YEAR"),
    ],
)
def test_examples(rows: int, first: str, last: str, append: str, replace: str) -> None:
    assert choose(Mode.APPEND, rows, at(first), at(last)).value == append
    assert choose(Mode.REPLACE, rows, at(first), at(last)).value == replace


@given(st.sampled_from(Mode), st.integers(1, 10**9), spans)
def test_no_more_chunks_than_allowed_unless_years(mode: Mode, rows: int, span: list[int]) -> None:
    chosen = choose(mode, rows, *span)
    count = chunks(chosen, *span)
    assert (
        count <= max(FREE_CHUNKS[mode], min(MAX_CHUNKS, rows // ROWS_PER_CHUNK))
        or chosen is Granularity.YEAR
    )


@given(granularities, spans)
def test_the_interval_contains_the_span_in_whole_chunks(
    granularity: Granularity, span: list[int]
) -> None:
    first, last = span
    interval = align(granularity, first, last)
    assert interval.start_millis <= first <= last < interval.end_millis
    assert align(granularity, interval.start_millis, interval.end_millis - 1) == interval
    assert chunks(granularity, interval.start_millis, interval.end_millis - 1) == chunks(
        granularity, first, last
    )
    # Tight: one chunk less on either side would lose a row.
    assert align(granularity, first, first).start_millis == interval.start_millis
    assert align(granularity, last, last).end_millis == interval.end_millis


@given(granularities, moments)
def test_neighbouring_chunks_touch(granularity: Granularity, moment: int) -> None:
    chunk = align(granularity, moment, moment)
    assert chunks(granularity, chunk.start_millis, chunk.end_millis - 1) == 1
    if chunk.end_millis <= LATEST_MILLIS:
        assert (
            align(granularity, chunk.end_millis, chunk.end_millis).start_millis == chunk.end_millis
        )


@given(moments)
def test_times_round_trip(moment: int) -> None:
    assert millis_of(iso(moment)) == moment


def test_intervals_are_formatted_like_druid() -> None:
    month = align(Granularity.MONTH, at("2020-02-29"), at("2020-02-29"))
    assert iso_interval(month) == "2020-02-01T00:00:00.000Z/2020-03-01T00:00:00.000Z"
    assert iso(at("2019-12-31T23:59:59.999")) == "2019-12-31T23:59:59.999Z"
    assert iso_interval(align(Granularity.YEAR, at("0001-05-01"), at("0001-05-01"))).startswith(
        "0001-01-01T"
    )
