"""The addresses of a deployment: docker.env, with container names replaced by published ports."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

NEEDED: Mapping[str, str] = {
    "AWS_ACCESS_KEY_ID": "access key of the object store",
    "AWS_SECRET_ACCESS_KEY": "secret key of the object store",
    "S3_BUCKET_NAME": "bucket of the files and of Druid's segments",
    "DATABASE_URL": "the PostgreSQL database",
    "DRUID_URL": "Druid's router",
}
"""Variable -> its purpose."""

_PUBLISHED = {
    "postgres": ("POSTGRES_PORT", 5433),
    "seaweedfs": ("S3_PORT", 8333),
    "router": ("ROUTER_PORT", 8888),
}
"""Container name -> variable and default of its published port."""


@dataclass(frozen=True)
class Target:
    """A deployment, as reached from this machine."""

    variables: Mapping[str, str]
    gateway_url: str

    @property
    def database_url(self) -> str:
        """The address of PostgreSQL."""
        return published(self.variables["DATABASE_URL"])

    @property
    def druid_url(self) -> str:
        """The address of Druid's router."""
        return published(self.variables["DRUID_URL"]).rstrip("/")

    @property
    def s3_endpoint(self) -> str | None:
        """The address of the S3 server; None for AWS."""
        endpoint = self.variables.get("AWS_ENDPOINT_URL_S3", "")
        return published(endpoint) if endpoint else None


def published(url: str) -> str:
    """Return the address with a container name replaced by its published port on this machine."""
    parts = urlsplit(url)
    if parts.hostname not in _PUBLISHED:
        return url
    variable, default = _PUBLISHED[parts.hostname]
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(
        parts._replace(netloc=f"{user}{at}127.0.0.1:{os.environ.get(variable, default)}")
    )


def read(path: Path) -> dict[str, str]:
    """Return the variables of an environment file.

    Raises:
        FileNotFoundError: the file does not exist.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return {
        name: value
        for name, _, value in (
            line.partition("=") for line in lines if re.match(r"[A-Za-z_]\w*=", line)
        )
    }
