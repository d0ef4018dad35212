"""Webhooks of datasources, and the outcomes of their deliveries.

A trigger inserts a delivery in the transaction that ends the task (migration 0008);
webhooks/sender.py sends it.
"""

import secrets

import asyncpg

from services.common import errors
from services.status.db.database import Connection, Database
from services.status.tasks.machine import State
from services.status.tasks.messages import state_value, time_stamp
from services.status.webhooks.targets import Targets
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1.status_pb2 import Webhook, WebhookDelivery

_DELETE = "DELETE FROM webhooks WHERE datasource_name = $1"

# Executed after the deletion, so that it sees deliveries of tasks that ended while that waited.
_END_PENDING = """
UPDATE webhook_deliveries SET next_try_at = NULL, ended_at = clock_timestamp(),
    last_error = 'The webhook was removed.'
WHERE datasource_name = $1 AND ended_at IS NULL
"""


class Webhooks:
    """Webhooks and deliveries. `patience_s` as in store.Store."""

    def __init__(self, database: Database, targets: Targets, patience_s: float) -> None:
        self._database = database
        self._targets = targets
        self._patience_s = patience_s

    async def put(self, datasource: str, url: str, secret: str) -> tuple[Webhook, str]:
        """Sets or replaces the webhook of a datasource. Returns it with its secret, which is
        generated unless specified.

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
        """Returns the webhook of a datasource.

        Raises:
            SluiceError: WEBHOOK_NOT_FOUND, DATABASE_UNAVAILABLE.
        """
        sql = "SELECT * FROM webhooks WHERE datasource_name = $1"
        row = await self._database.fetchrow(sql, datasource, patience_s=self._patience_s)
        if row is None:
            raise errors.error(
                ErrorReason.ERROR_REASON_WEBHOOK_NOT_FOUND,
                f"No webhook is configured for {datasource}.",
                value=datasource,
            )
        return _webhook(row)

    async def delete(self, datasource: str) -> None:
        """Deletes the webhook of a datasource and ends its pending deliveries. Idempotent."""

        async def work(connection: Connection) -> None:
            async with connection.transaction():
                await connection.execute(_DELETE, datasource)
                await connection.execute(_END_PENDING, datasource)

        await self._database.run(work, self._patience_s)

    async def deliveries(self, datasource: str, limit: int) -> list[WebhookDelivery]:
        """Returns the newest deliveries of a datasource."""
        sql = (
            "SELECT * FROM webhook_deliveries WHERE datasource_name = $1 ORDER BY id DESC LIMIT $2"
        )
        rows = await self._database.fetch(sql, datasource, limit, patience_s=self._patience_s)
        return [_delivery(row) for row in rows]


def _webhook(row: asyncpg.Record) -> Webhook:
    return Webhook(
        datasource=row["datasource_name"],
        url=row["url"],
        create_time=time_stamp(row["created_at"]),
        update_time=time_stamp(row["updated_at"]),
    )


def _delivery(row: asyncpg.Record) -> WebhookDelivery:
    return WebhookDelivery(
        id=row["id"],
        task_id=row["task_id"],
        state=state_value(State(row["status"])),
        attempts=row["attempts"],
        delivered=row["delivered"],
        last_http_status=row["last_status"],
        last_error=row["last_error"],
        create_time=time_stamp(row["created_at"]),
        next_try_time=time_stamp(row["next_try_at"]),
        end_time=time_stamp(row["ended_at"]),
    )
