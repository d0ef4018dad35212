"""Settings of the service."""

from typing import Literal

from pydantic import Field

from services.common.settings import GrpcSettings


class Settings(GrpcSettings):
    """Settings of druid_gateway. With DRUID_INPUT=http it also needs S3Settings, to presign URLs."""

    druid_url: str = Field(
        pattern=r"^https?://",
        description="URL of Druid's router, for example http://127.0.0.1:8888.",
    )
    druid_input: Literal["http", "s3"] = Field(
        "http",
        description="How Druid reads the parts. http: by presigned URLs; s3: with druid-s3-extensions and its own keys.",
    )
    druid_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Timeout of a request to Druid in seconds, except for users' queries.",
    )
    druid_outage_s: float = Field(
        30.0,
        ge=0,
        description="Seconds without a response from Druid after which watching a load fails with DRUID_UNAVAILABLE.",
    )
    query_max_bytes: int = Field(
        512 * 1024 * 1024, gt=0, description="Maximum size of a query result in bytes."
    )
    query_max_rows: int = Field(
        10_000_000,
        gt=0,
        lt=2**31 - 1,
        description="Maximum number of rows that a query without a limit returns as CSV or NDJSON, or to the "
        "Python client. With more rows, it fails.",
    )
