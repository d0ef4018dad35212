"""Webhooks: which receiver is notified when a datasource's tasks end, and each delivery's outcome.

A delivery is written by the table itself in the transaction that ends the task (migration 0008);
webhook_sender.py sends it.
"""

import secrets

import asyncpg

from services.common import errors
from services.status.db.database import Connection, Database
from services.status.webhooks.targets import Targets
from services.status.webhooks.webhook import Delivery, Webhook
from sluice.common.v1.errors_pb2 import ErrorReason

_DELETE = "DELETE FROM webhooks WHERE datasource_name = $1"

# A statement after the deletion: it sees the deliveries of the tasks that ended while that waited.
_END_PENDING = """
UPDATE webhook_deliveries SET next_try_at = NULL, ended_at = clock_timestamp(),
    last_error = 'The webhook was removed.'
WHERE datasource_name = $1 AND ended_at IS NULL
"""


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
        [row] = await self._database.fetch(
            sql, datasource, url, secret, patience_s=self._patience_s
        )
        return _webhook(row), secret

    async def get(self, datasource: str) -> Webhook:
        """Who is told.

        Raises:
            SluiceError: WEBHOOK_NOT_FOUND, DATABASE_UNAVAILABLE.
        """
        sql = "SELECT * FROM webhooks WHERE datasource_name = $1"
        row = await self._database.fetchrow(sql, datasource, patience_s=self._patience_s)
        if row is None:
            message = f"Nobody is told of the tasks of {datasource}."
            raise errors.error(
                ErrorReason.ERROR_REASON_WEBHOOK_NOT_FOUND, message, value=datasource
            )
        return _webhook(row)

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
        rows = await self._database.fetch(sql, datasource, limit, patience_s=self._patience_s)
        return [Delivery(**{name: row[name] for name in Delivery.__annotations__}) for row in rows]


def _webhook(row: asyncpg.Record) -> Webhook:
    return Webhook(row["datasource_name"], row["url"], row["created_at"], row["updated_at"])
