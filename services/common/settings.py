"""Settings from environment variables, checked at start.

One message lists all that are missing or invalid.
"""

import os
import sys
from typing import Annotated, Literal, TypeVar

from pydantic import BeforeValidator, Field, IPvAnyNetwork, StringConstraints, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Address = Annotated[str, StringConstraints(pattern=r"^[^\s:/]+:\d{1,5}$")]
"""host:port, for example 127.0.0.1:50051."""


def _split(value: object) -> object:
    return (
        tuple(name.strip() for name in value.split(",") if name.strip())
        if isinstance(value, str)
        else value
    )


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list, separated by commas."""

Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)]
"""Networks in CIDR notation and single addresses, separated by commas."""


class ServiceSettings(BaseSettings):
    """Settings of all processes. Variables have the names of the fields, in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    bind_addr: Address = Field(description="Address that the process listens on, host:port.")
    auth_mode: Literal["open"] = Field(
        "open",
        description="Authentication. Only `open` (no credentials) so far: keep it on loopback.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum severity of log lines."
    )
    log_format: Literal["json", "text"] = Field(
        "json", description="json: one object per line; text: for a terminal."
    )
    shutdown_grace_s: float = Field(
        2.0, ge=0, description="Seconds that running calls may take after SIGTERM."
    )


class GrpcSettings(ServiceSettings):
    """Settings of the four services."""

    metrics_addr: Address | None = Field(
        None,
        description="Address of the Prometheus metrics of this process, host:port. Unset: none.",
    )


class S3Settings(BaseSettings):
    """Settings of the object store, with the names of the AWS SDK."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    aws_access_key_id: str = Field(min_length=1, description="Access key of the object store.")
    aws_secret_access_key: str = Field(
        min_length=1, description="Secret key of the object store.", repr=False
    )
    aws_default_region: str = Field("us-east-1", description="Region that requests are signed for.")
    aws_endpoint_url_s3: str | None = Field(
        None,
        pattern=r"^https?://",
        description="Address of an S3 server other than AWS, for example http://127.0.0.1:8333.",
    )
    s3_bucket_name: str = Field(min_length=3, description="Bucket that holds uploads/ and tasks/.")


Settings = TypeVar("Settings", bound=BaseSettings)


def load(kind: type[Settings]) -> Settings:
    """Load the settings of a process from its environment.

    If any are missing or invalid, print a line for each with its description, and exit with
    status 2. The values are not printed, because they may be secrets.
    """
    try:
        return kind()
    except ValidationError as error:
        lines = [
            _explain(kind, str(fault["loc"][0]) if fault["loc"] else "", fault["msg"])
            for fault in error.errors()
        ]
        print("\n".join(["Invalid configuration:", *lines]), file=sys.stderr)
        raise SystemExit(2) from None


def _explain(kind: type[BaseSettings], field: str, fault: str) -> str:
    variable = field.upper()
    known = kind.model_fields.get(field)
    purpose = known.description if known and known.description else "no description"
    reason = fault if variable in os.environ else "is not set"
    return f"  {variable}: {reason}. {purpose}"
