"""Where the parts of a deployment are: docker.env, with the names that only containers know turned
into published ports.
"""

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
"""Variable -> what it is for."""

_PUBLISHED = {
    "postgres": ("POSTGRES_PORT", 5433),
    "seaweedfs": ("S3_PORT", 8333),
    "router": ("ROUTER_PORT", 8888),
}
"""Name of a container -> variable and default of the port that it has on this machine."""


@dataclass(frozen=True)
class Target:
    """A deployment, as this machine reaches it."""

    variables: Mapping[str, str]
    gateway_url: str

    @property
    def database_url(self) -> str:
        """PostgreSQL."""
        return outside(self.variables["DATABASE_URL"])

    @property
    def druid_url(self) -> str:
        """Druid's router."""
        return outside(self.variables["DRUID_URL"]).rstrip("/")

    @property
    def s3_endpoint(self) -> str | None:
        """The S3 server; None is AWS."""
        endpoint = self.variables.get("AWS_ENDPOINT_URL_S3", "")
        return outside(endpoint) if endpoint else None


def outside(url: str) -> str:
    """The same address with a container's name replaced by the port that it is published on."""
    parts = urlsplit(url)
    if parts.hostname not in _PUBLISHED:
        return url
    variable, default = _PUBLISHED[parts.hostname]
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(
        parts._replace(netloc=f"{user}{at}127.0.0.1:{os.environ.get(variable, default)}")
    )


def read(path: Path) -> dict[str, str]:
    """Variables of an env file.

    Raises:
        FileNotFoundError: there is none.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return {
        name: value
        for name, _, value in (
            line.partition("=") for line in lines if re.match(r"[A-Za-z_]\w*=", line)
        )
    }
