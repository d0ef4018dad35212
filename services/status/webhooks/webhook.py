"""Webhooks and their deliveries as the domain sees them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Webhook:
    """The receiver of a datasource, without its secret."""

    datasource: str
    url: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Delivery:
    """The delivery of one task's end, with the outcome of its last attempt."""

    id: int
    task_id: str
    status: str
    attempts: int
    delivered: bool
    last_status: int | None
    last_error: str
    created_at: datetime
    next_try_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True)
class ClaimedDelivery:
    """A delivery that this process has to send."""

    id: int
    attempt: int
    target: str
    """Host and port of the URL; concurrency is limited per target."""
    url: str
    secret: str
    task: Mapping[str, Any]
    """Columns of the ended task, for the body."""
