"""A delivery of a webhook as its sender sees it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, repr=False)
class ClaimedDelivery:
    """A delivery that this process has to send. Without a repr, as it has the secret."""

    id: int
    attempt: int
    target: str
    """Host and port of the URL; concurrency is limited per target."""
    url: str
    secret: str
    task: Mapping[str, Any]
    """Columns of the ended task, for the body."""
