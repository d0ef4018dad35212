"""S3 URIs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common import s3


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
