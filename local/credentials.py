"""Passwords and keys of one instance: generated once, kept in a file of mode 0600."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from local.paths import write_private


@dataclass(frozen=True)
class Credentials:
    """Credentials of an instance's stores. The values need no escaping in URLs and quotes."""

    postgres_admin_password: str
    postgres_password: str
    s3_access_key: str
    s3_secret_key: str

    @classmethod
    def load_or_create(cls, path: Path) -> Credentials:
        """Read the credentials from `path`, or create them."""
        if path.exists():
            stored = json.loads(path.read_text(encoding="utf-8"))
            return cls(**{field.name: stored[field.name] for field in fields(cls)})
        created = cls(
            postgres_admin_password=secrets.token_hex(20),
            postgres_password=secrets.token_hex(20),
            s3_access_key=secrets.token_hex(10).upper(),
            s3_secret_key=secrets.token_hex(20),
        )
        write_private(path, json.dumps(asdict(created), indent=2) + "\n")
        return created
