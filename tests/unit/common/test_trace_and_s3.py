"""Trace headers and S3 addresses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import s3, trace


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


@given(
    bucket=st.from_regex(r"[a-z0-9.-]{3,20}", fullmatch=True), key=st.text(min_size=1, max_size=50)
)
def test_uris_split_where_they_were_joined(bucket: str, key: str) -> None:
    assert s3.split_uri(f"s3://{bucket}/{key}") == (bucket, key)


@pytest.mark.parametrize(
    "uri",
    ["", "s3://", "s3://bucket", "s3://bucket/", "http://bucket/key", "/bucket/key", "s3:///key"],
)
def test_invalid_uris(uri: str) -> None:
    with pytest.raises(ValueError, match="not an S3 URI"):
        s3.split_uri(uri)
