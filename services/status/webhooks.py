"""Webhooks: who is told of the end of a datasource's tasks, what was tried, and telling it until it is heard.

The delivery of a task's end is written by the table itself in the transaction of the end (migration 0008). A sender takes it for a while,
posts it, and notes the answer; one that died meanwhile is followed by another after that while. So each is sent at least once.
"""

import asyncio
import hashlib
import hmac
import json
import random
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time
from typing import TypeVar

import asyncpg

from services.common import errors, logs
from services.common.errors import SluiceError
from services.status import webhook_targets
from services.status.postgres import Connection, Database
from services.status.webhook_targets import Network
from sluice.common.v1.errors_pb2 import ErrorReason

ATTEMPTS = 15
"""Tries of one delivery, over about a day."""

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 7200.0

HOLD_S = 60.0
"""Seconds for which a delivery that is being sent belongs to its sender."""

AT_ONCE = 8
POLL_S = 5.0

Post = Callable[[webhook_targets.Target, bytes, dict[str, str]], Awaitable[int]]
"""Sends a body with headers; the status of the answer. Raises OSError or TimeoutError where there is none."""

Result = TypeVar("Result")

_DUE = """
UPDATE webhook_deliveries SET attempts = attempts + 1, next_try_at = clock_timestamp() + make_interval(secs => $2)
WHERE id IN (SELECT id FROM webhook_deliveries WHERE next_try_at <= now() ORDER BY next_try_at LIMIT $1 FOR UPDATE SKIP LOCKED)
RETURNING id, attempts
"""

_CONTENT = """
SELECT d.id, d.status, w.url, w.secret, t.task_id, t.datasource_name, t.original_filename, t.message, t.row_count, t.rows_rejected,
    t.file_size, t.retry_of, t.problem, t.created_at, t.completed_at
FROM webhook_deliveries d JOIN ingestion_tasks t USING (task_id) LEFT JOIN webhooks w ON w.datasource_name = d.datasource_name
WHERE d.id = $1
"""

_NOTE = """
UPDATE webhook_deliveries SET delivered = $3, last_status = $4, last_error = $5,
    next_try_at = clock_timestamp() + make_interval(secs => $6), ended_at = CASE WHEN $6 IS NULL THEN clock_timestamp() END
WHERE id = $1 AND attempts = $2 AND ended_at IS NULL
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
    """`allowed` are networks beside the public internet that may be told."""

    def __init__(self, database: Database, post: Post, allowed: Sequence[Network], patience_s: float) -> None:
        self._database = database
        self._post = post
        self._allowed = allowed
        self._patience_s = patience_s
        self._wake = asyncio.Event()

    async def put(self, datasource: str, url: str, secret: str) -> tuple[Webhook, str]:
        """Sets who is told, in place of who was; with the secret, made where none is given.

        Raises:
            SluiceError: WEBHOOK_TARGET_FORBIDDEN, DATABASE_UNAVAILABLE.
        """
        await webhook_targets.check(url, self._allowed)
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
            raise errors.error(ErrorReason.ERROR_REASON_WEBHOOK_NOT_FOUND, message, value=datasource)
        return _webhook(rows[0])

    async def delete(self, datasource: str) -> None:
        """Nobody is told any more, also not of what was not delivered yet. Harmless when repeated."""
        await self._fetch("DELETE FROM webhooks WHERE datasource_name = $1", datasource)

    async def deliveries(self, datasource: str, limit: int) -> list[Delivery]:
        """The newest deliveries of a datasource's tasks."""
        sql = "SELECT * FROM webhook_deliveries WHERE datasource_name = $1 ORDER BY id DESC LIMIT $2"
        return [Delivery(**{name: row[name] for name in Delivery.__annotations__}) for row in await self._fetch(sql, datasource, limit)]

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Sends what is due, until cancelled."""
        while True:
            self._wake.clear()
            try:
                sent = await self.send_due()
            except SluiceError as failure:
                logs.get().warning("webhook.postponed", code=failure.code)
                sent = 0
            if not sent:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_S)

    async def send_due(self) -> int:
        """Tries each of at most AT_ONCE deliveries that are due once, side by side; how many there were.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE.
        """
        due = await self._fetch(_DUE, AT_ONCE, HOLD_S)
        await asyncio.gather(*(self._send(row["id"], row["attempts"]) for row in due))
        return len(due)

    async def _send(self, delivery_id: int, attempt: int) -> None:
        (row,) = await self._fetch(_CONTENT, delivery_id)
        if row["url"] is None:
            await self._note(delivery_id, attempt, None, "The webhook was removed.", None)
            return
        body = _body(row)
        status, fault = None, ""
        try:
            target = await webhook_targets.check(row["url"], self._allowed)
            status = await self._post(target, body, _headers(delivery_id, attempt, row["secret"], body, int(time())))
            if not 200 <= status < 300:
                fault = f"The receiver answered {status}."
        except SluiceError as failure:
            fault = failure.problem.message
        except (OSError, TimeoutError) as failure:
            fault = f"The receiver did not answer ({type(failure).__name__})."
        pause = None if not fault or attempt >= ATTEMPTS else pause_s(attempt)
        await self._note(delivery_id, attempt, status, fault, pause)
        facts = {"delivery": delivery_id, "task_id": row["task_id"], "attempt": attempt, "status": status}
        if fault:
            logs.get().warning("webhook.failed", reason=fault, again_s=pause and round(pause), **facts)
        else:
            logs.get().info("webhook.delivered", **facts)

    async def _note(self, delivery_id: int, attempt: int, status: int | None, fault: str, pause: float | None) -> None:
        await self._fetch(_NOTE, delivery_id, attempt, not fault, status, fault, pause)

    async def _fetch(self, sql: str, *parameters: object) -> list[asyncpg.Record]:
        async def work(connection: Connection) -> list[asyncpg.Record]:
            return await connection.fetch(sql, *parameters)

        return await self._database.run(work, self._patience_s)


def signature(secret: str, moment: int, body: bytes) -> str:
    """HMAC-SHA256 of the time and the body: whoever knows the secret can tell that both came from us, and when."""
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


def pause_s(attempt: int) -> float:
    """Seconds until the next try: each pause up to twice the one before, with jitter."""
    return min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** (attempt - 1)) * random.uniform(0.75, 1.0)  # noqa: S311 - jitter


def _headers(delivery_id: int, attempt: int, secret: str, body: bytes, moment: int) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "sluice-webhook",
        "Sluice-Delivery": str(delivery_id),
        "Sluice-Attempt": str(attempt),
        "Sluice-Signature": f"t={moment},v1={signature(secret, moment, body)}",
    }


def _body(row: asyncpg.Record) -> bytes:
    told = {
        "delivery_id": row["id"],
        "task_id": row["task_id"],
        "status": row["status"],
        "datasource_name": row["datasource_name"],
        "original_filename": row["original_filename"],
        "message": row["message"],
        "file_size": row["file_size"],
        "row_count": row["row_count"],
        "rows_rejected": row["rows_rejected"],
        "retry_of": row["retry_of"] or None,
        "error": row["problem"],
        "created_at": _iso(row["created_at"]),
        "completed_at": _iso(row["completed_at"]),
    }
    return json.dumps(told, ensure_ascii=False).encode()


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _webhook(row: asyncpg.Record) -> Webhook:
    return Webhook(row["datasource_name"], row["url"], row["created_at"], row["updated_at"])
