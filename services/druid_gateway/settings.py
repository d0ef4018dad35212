"""What the service reads from its environment."""

from typing import Literal

from pydantic import Field

from services.common.settings import GrpcSettings


class Settings(GrpcSettings):
    """The settings of one druid_gateway. With DRUID_INPUT=http the object store's (S3Settings) are
    read too, to sign addresses.
    """

    druid_url: str = Field(
        pattern=r"^https?://",
        description="Address of Druid's router, for example http://127.0.0.1:8888.",
    )
    druid_input: Literal["http", "s3"] = Field(
        "http",
        description="How Druid reads the parts. http: by signed addresses; s3: by druid-s3-extensions with keys of its own.",
    )
    druid_timeout_s: float = Field(
        10.0,
        gt=0,
        description="Seconds that one request to Druid may take, queries of users excepted.",
    )
    druid_outage_s: float = Field(
        30.0,
        ge=0,
        description="Seconds without an answer of Druid after which a watched load is given up with DRUID_UNAVAILABLE.",
    )
    query_max_bytes: int = Field(
        512 * 1024 * 1024, gt=0, description="Most bytes that one query may answer."
    )
    query_max_rows: int = Field(
        10_000_000,
        gt=0,
        lt=2**31 - 1,
        description="Most rows that a query without a limit of its own may answer as CSV or NDJSON, "
        "or to the Python client. One with more rows ends as an error.",
    )
