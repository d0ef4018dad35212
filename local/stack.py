"""`stack.json`: the addresses and settings of a running stack, for users and tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from local.errors import LocalStackError
from local.paths import write_private


@dataclass(frozen=True)
class Stack:
    """A running stack. The file contains its keys and is readable only by its owner."""

    instance: str
    gateway_url: str
    addresses: Mapping[str, str]
    """`host:port` of status, upload, validation, druid_gateway and gateway."""
    database_url: str
    s3_endpoint: str
    s3_region: str
    s3_bucket: str
    s3_access_key: str
    s3_secret_key: str
    druid_url: str
    """Druid's router."""
    supervisor_socket: str
    logs: str
    programs: tuple[str, ...]
    ports: Mapping[str, int]

    def write(self, path: Path) -> None:
        """Write the stack to `path` with mode 0600."""
        write_private(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Stack:
        """Read the stack from `path`.

        Raises:
            LocalStackError: the stack is not running.

        """
        try:
            fields = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise LocalStackError("the stack is not running: start it with `make up`") from None
        return cls(**{**fields, "programs": tuple(fields["programs"])})
