"""Settings from the environment, checked at start, with one clear message for everything that is
missing or wrong.
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
"""A list in one variable, separated by commas."""


Networks = Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)]
"""Networks in CIDR notation, and single addresses, separated by commas."""


class ServiceSettings(BaseSettings):
    """What every one of our processes reads. Field names in capitals are the environment's
    variables; units are in the names.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    bind_addr: Address = Field(description="Address that the process listens on, host:port.")
    auth_mode: Literal["open"] = Field(
        "open",
        description="Who may call. Only `open` (no credentials asked) so far: keep it on loopback.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe log lines that are written."
    )
    log_format: Literal["json", "text"] = Field(
        "json", description="json: one object a line; text: for a terminal."
    )
    shutdown_grace_s: float = Field(
        2.0, ge=0, description="Seconds that running calls get to end after SIGTERM."
    )


class GrpcSettings(ServiceSettings):
    """What the four services read."""

    metrics_addr: Address | None = Field(
        None,
        description="Address at which Prometheus reads the figures of this process, host:port. Unset: there is none.",
    )


class S3Settings(BaseSettings):
    """Where the object store is. The names are the AWS SDK's own."""

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
    """The settings of one process from its environment.

    Ends the process with status 2 and one line for each variable that is missing or wrong, saying
    what it is for. Values are not repeated, as they may be secrets.
    """
    try:
        return kind()
    except ValidationError as error:
        lines = [
            _explain(kind, str(fault["loc"][0]) if fault["loc"] else "", fault["msg"])
            for fault in error.errors()
        ]
        print("\n".join(["The environment is not complete:", *lines]), file=sys.stderr)
        raise SystemExit(2) from None


def _explain(kind: type[BaseSettings], field: str, fault: str) -> str:
    variable = field.upper()
    known = kind.model_fields.get(field)
    purpose = known.description if known and known.description else "no description"
    what = fault if variable in os.environ else "is not set"
    return f"  {variable}: {what}. {purpose}"
