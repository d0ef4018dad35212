"""Trace headers."""

from hypothesis import given
from hypothesis import strategies as st

from services.common import trace


def test_a_valid_header_is_continued() -> None:
    assert (
        trace.begin("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        == "0af7651916cd43dd8448eb211c80319c"
    )
    assert trace.traceparent().split("-")[1] == "0af7651916cd43dd8448eb211c80319c"


@given(st.text())
def test_an_invalid_header_starts_a_new_trace(header: str) -> None:
    first, second = trace.begin(header), trace.begin(header)
    assert len(first) == 32
    assert first != second


def test_a_stored_trace_is_continued() -> None:
    assert trace.begin(trace_id="ab" * 16) == "ab" * 16 == trace.current()
