"""Sending webhooks: each delivery is tried with growing pauses until its receiver accepts it.

A sender claims a delivery for HOLD_S, posts it and records the answer; where the sender died,
another one claims it after that time. So each is sent at least once. Deliveries do not wait for
each other: whatever a receiver does costs at most PER_TARGET slots, each for at most DELIVERY_S.
"""

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from time import time

import asyncpg

from services.common import logs
from services.common.backoff import Backoff
from services.common.errors import SluiceError
from services.status.db.database import Connection, Database
from services.status.webhooks.targets import Target, Targets

ATTEMPTS = 15
"""Tries of one delivery, over about a day."""

RETRY = Backoff(first_s=5.0, longest_s=7200.0, jitter=0.25)

DELIVERY_S = 10.0
"""Seconds that a try may take in all, from the name's lookup to the head of the answer."""

HOLD_S = 90.0
"""Seconds for which a claimed delivery belongs to its sender: longer than a try takes."""

AT_ONCE = 32
"""Concurrency limit of this process."""

PER_TARGET = 4
"""Concurrency limit of one receiver, the host and port of the URL."""

POLL_S = 5.0
STOP_PATIENCE_S = 1.0

Post = Callable[[Target, bytes, dict[str, str]], Awaitable[int]]
"""Sends a body with headers; the status of the answer. Raises OSError where there is none. The
caller sets the deadline."""

# At most PER_TARGET rows of each webhook are looked at, however long its backlog is.
_CLAIM = """
WITH sending AS (SELECT * FROM unnest($2::text[], $3::int[]) AS s (target, tries)),
waiting AS (
    SELECT d.id, d.next_try_at, target,
        row_number() OVER (PARTITION BY target ORDER BY d.next_try_at) + coalesce(tries, 0) AS place
    FROM webhooks w
    CROSS JOIN LATERAL (SELECT lower(substring(w.url FROM '://([^/?#]*)')) AS target) AS parsed
    LEFT JOIN sending USING (target)
    CROSS JOIN LATERAL (
        SELECT id, next_try_at FROM webhook_deliveries
        WHERE datasource_name = w.datasource_name AND next_try_at <= now()
        ORDER BY next_try_at LIMIT $4) AS d
    WHERE coalesce(tries, 0) < $4),
due AS (
    SELECT d.id, target FROM webhook_deliveries d JOIN waiting ON waiting.id = d.id
    WHERE place <= $4 AND d.next_try_at <= now()
    ORDER BY d.next_try_at LIMIT $1 FOR UPDATE OF d SKIP LOCKED)
UPDATE webhook_deliveries d
SET attempts = attempts + 1, next_try_at = clock_timestamp() + make_interval(secs => $5)
FROM due, ingestion_tasks t, webhooks w
WHERE d.id = due.id AND t.task_id = d.task_id AND w.datasource_name = d.datasource_name
RETURNING d.id, d.attempts, d.status, target, w.url, w.secret, t.task_id, t.datasource_name,
    t.original_filename, t.message, t.row_count, t.rows_rejected, t.file_size, t.retry_of,
    t.problem, t.created_at, t.completed_at
"""

_RECORD = """
UPDATE webhook_deliveries SET delivered = $3, last_status = $4, last_error = $5,
    next_try_at = clock_timestamp() + make_interval(secs => $6),
    ended_at = CASE WHEN $6 IS NULL THEN clock_timestamp() END
WHERE id = $1 AND attempts = $2 AND ended_at IS NULL
"""

_RELEASE = """
WITH released AS (
    UPDATE webhook_deliveries SET next_try_at = clock_timestamp()
    WHERE (id, attempts) IN (SELECT * FROM unnest($1::bigint[], $2::int[])) AND ended_at IS NULL
    RETURNING 1)
SELECT pg_notify('sluice_webhook', '') FROM released LIMIT 1
"""


@dataclass(frozen=True)
class _Claim:
    id: int
    attempt: int
    target: str


class WebhookSender:
    """Sends what is due. `patience_s`: seconds for which a try waits to record its outcome while
    PostgreSQL is away."""

    def __init__(self, database: Database, targets: Targets, post: Post, patience_s: float) -> None:
        self._database = database
        self._targets = targets
        self._post = post
        self._patience_s = patience_s
        self._wake = asyncio.Event()
        self._claiming: asyncio.Task[bool] | None = None
        self._sending: dict[asyncio.Task[None], _Claim] = {}

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; then what is being sent is given back for another process to send."""
        try:
            while True:
                self._wake.clear()
                # Not cancelled with us: what a claim had got would be nobody's for HOLD_S.
                self._claiming = asyncio.create_task(self._begin(), name="webhook claim")
                if not await asyncio.shield(self._claiming):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), POLL_S)
        finally:
            await self._stop()

    async def _begin(self) -> bool:
        """Begins what is due, within the limits. Whether there was anything."""
        free = AT_ONCE - len(self._sending)
        if not free:
            return False
        busy = Counter(claim.target for claim in self._sending.values())
        try:
            rows = await self._fetch(
                self._patience_s,
                _CLAIM,
                free,
                list(busy),
                list(busy.values()),
                PER_TARGET,
                HOLD_S,
            )
        except SluiceError as failure:
            logs.get().warning("webhook.postponed", code=failure.code)
            return False
        for row in rows:
            sending = asyncio.create_task(self._send(row), name="webhook")
            self._sending[sending] = _Claim(row["id"], row["attempts"], row["target"])
            sending.add_done_callback(self._ended)
        return bool(rows)

    def _ended(self, sending: "asyncio.Task[None]") -> None:
        claim = self._sending.pop(sending, None)
        self._wake.set()
        if claim and not sending.cancelled() and (failure := sending.exception()):
            # It is sent again after HOLD_S.
            logs.get().error("webhook.not_recorded", delivery=claim.id, exc_info=failure)

    async def _stop(self) -> None:
        if self._claiming:
            await asyncio.wait([self._claiming], timeout=STOP_PATIENCE_S)
            self._claiming.cancel()
            await asyncio.wait([self._claiming])
        sending, self._sending = self._sending, {}
        for task in sending:
            task.cancel()
        if sending:
            await asyncio.wait(sending)
        broken_off = [claim for task, claim in sending.items() if task.cancelled()]
        if not broken_off:
            return
        ids, attempts = [claim.id for claim in broken_off], [claim.attempt for claim in broken_off]
        try:
            await self._fetch(STOP_PATIENCE_S, _RELEASE, ids, attempts)
        except SluiceError as failure:
            logs.get().warning("webhook.not_released", code=failure.code, deliveries=ids)

    async def _send(self, row: asyncpg.Record) -> None:
        delivery_id, attempt, body = row["id"], row["attempts"], _body(row)
        headers = _headers(delivery_id, attempt, row["secret"], body, int(time()))
        status, fault = None, ""
        try:
            async with asyncio.timeout(DELIVERY_S):
                target = await self._targets.check(row["url"])
                status = await self._post(target, body, headers)
            if not 200 <= status < 300:
                fault = f"The receiver answered {status}."
        except SluiceError as failure:
            fault = failure.problem.message
        except TimeoutError:
            fault = f"The receiver did not answer within {DELIVERY_S:g} s."
        except OSError as failure:
            fault = f"The receiver did not answer ({failure})."
        except Exception as bug:
            # Recorded like any other fault, so that it counts against the budget.
            logs.get().error("webhook.broke", delivery=delivery_id, exc_info=bug)
            fault = "Sending failed on our side."
        pause = None if not fault or attempt >= ATTEMPTS else RETRY.pause_s(attempt)
        outcome = (not fault, status, fault, pause)
        await self._fetch(self._patience_s, _RECORD, delivery_id, attempt, *outcome)
        log = logs.get().bind(delivery=delivery_id, task_id=row["task_id"], attempt=attempt)
        if fault:
            log.warning("webhook.failed", reason=fault, again_s=pause, status=status)
        else:
            log.info("webhook.delivered", status=status)

    async def _fetch(self, patience_s: float, sql: str, *given: object) -> list[asyncpg.Record]:
        async def work(connection: Connection) -> list[asyncpg.Record]:
            return await connection.fetch(sql, *given)

        return await self._database.run(work, patience_s)


def signature(secret: str, moment: int, body: bytes) -> str:
    """HMAC-SHA256 of the time and the body: whoever knows the secret can verify the sender and the
    time."""
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


def _headers(delivery: int, attempt: int, secret: str, body: bytes, moment: int) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "User-Agent": "sluice-webhook",
        "Sluice-Delivery": str(delivery),
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
