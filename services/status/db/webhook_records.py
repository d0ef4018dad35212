"""Webhooks: which receiver is notified when a datasource's tasks end, and each delivery's outcome.

A delivery is written by the table itself in the transaction that ends the task (migration 0008);
webhook_sender.py sends it.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from services.common import errors
from services.status.db.database import Connection, Database
from services.status.webhooks.targets import Targets
from sluice.common.v1.errors_pb2 import ErrorReason

_DELETE = "DELETE FROM webhooks WHERE datasource_name = $1"

# A statement after the deletion: it sees the deliveries of the tasks that ended while that waited.
_END_PENDING = """
UPDATE webhook_deliveries SET next_try_at = NULL, ended_at = clock_timestamp(),
    last_error = 'The webhook was removed.'
WHERE datasource_name = $1 AND ended_at IS NULL
"""


@dataclass(frozen=True)
class Webhook:
    """Who is told. The secret is known to nobody but its two ends."""

    datasource: str
    url: str
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Delivery:
    """What became of telling one task's end."""

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


class Webhooks:
    """Setting and reading them."""

    def __init__(self, database: Database, targets: Targets, patience_s: float) -> None:
        self._database = database
        self._targets = targets
        self._patience_s = patience_s

    async def put(self, datasource: str, url: str, secret: str) -> tuple[Webhook, str]:
        """Sets who is told, in place of who was; with the secret, made where none is given.

        Raises:
            SluiceError: WEBHOOK_TARGET_FORBIDDEN, DATABASE_UNAVAILABLE.
        """
        await self._targets.check(url)
        secret = secret or secrets.token_urlsafe(32)
        sql = """INSERT INTO webhooks (datasource_name, url, secret) VALUES ($1, $2, $3)
            ON CONFLICT (datasource_name) DO UPDATE SET url = $2, secret = $3, updated_at = clock_timestamp()
            RETURNING *"""
        rows = await self._fetch(sql, datasource, url, secret)
        return _webhook(rows[0]), secret

    async def get(self, datasource: str) -> Webhook:
        """Who is told.

        Raises:
            SluiceError: WEBHOOK_NOT_FOUND, DATABASE_UNAVAILABLE.
        """
        rows = await self._fetch("SELECT * FROM webhooks WHERE datasource_name = $1", datasource)
        if not rows:
            message = f"Nobody is told of the tasks of {datasource}."
            raise errors.error(
                ErrorReason.ERROR_REASON_WEBHOOK_NOT_FOUND, message, value=datasource
            )
        return _webhook(rows[0])

    async def delete(self, datasource: str) -> None:
        """Nobody is told any more, also not of what was not delivered yet. Harmless when
        repeated.
        """

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute(_DELETE, datasource)
                await connection.execute(_END_PENDING, datasource)

        await self._database.run(work, self._patience_s)

    async def deliveries(self, datasource: str, limit: int) -> list[Delivery]:
        """The newest deliveries of a datasource's tasks."""
        sql = (
            "SELECT * FROM webhook_deliveries WHERE datasource_name = $1 ORDER BY id DESC LIMIT $2"
        )
        rows = await self._fetch(sql, datasource, limit)
        return [Delivery(**{name: row[name] for name in Delivery.__annotations__}) for row in rows]

    async def _fetch(self, sql: str, *parameters: object) -> list[asyncpg.Record]:
        async def work(connection: Connection) -> list[asyncpg.Record]:
            return await connection.fetch(sql, *parameters)

        return await self._database.run(work, self._patience_s)


def _webhook(row: asyncpg.Record) -> Webhook:
    return Webhook(row["datasource_name"], row["url"], row["created_at"], row["updated_at"])
