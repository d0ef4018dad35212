"""The queue of webhook deliveries: claim, record the outcome, release."""

from collections.abc import Mapping, Sequence

from services.status.db.database import Database
from services.status.webhooks.webhook import ClaimedDelivery

# Reads at most $4 rows of each webhook, however long its backlog is.
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


class WebhookDeliveries:
    """Implements ports.WebhookDeliveries. `patience_s` as in store.Store."""

    def __init__(self, database: Database, patience_s: float) -> None:
        self._database = database
        self._patience_s = patience_s

    async def claim(
        self, limit: int, busy: Mapping[str, int], per_target: int, hold_s: float
    ) -> list[ClaimedDelivery]:
        """Claims at most `limit` due deliveries for `hold_s` seconds; with those in `busy` (target
        -> deliveries), at most `per_target` of each target.
        """
        rows = await self._database.fetch(
            _CLAIM,
            limit,
            list(busy),
            list(busy.values()),
            per_target,
            hold_s,
            patience_s=self._patience_s,
        )
        return [
            ClaimedDelivery(
                row["id"], row["attempts"], row["target"], row["url"], row["secret"], dict(row)
            )
            for row in rows
        ]

    async def record(
        self,
        delivery: ClaimedDelivery,
        *,
        delivered: bool,
        status: int | None,
        error: str,
        pause_s: float | None,
    ) -> None:
        """Records the outcome of an attempt; the next one is due in `pause_s` seconds, if any. Does
        nothing if another process has claimed the delivery since.
        """
        await self._database.execute(
            _RECORD,
            delivery.id,
            delivery.attempt,
            delivered,
            status,
            error,
            pause_s,
            patience_s=self._patience_s,
        )

    async def release(self, deliveries: Sequence[ClaimedDelivery], patience_s: float) -> None:
        """Makes claimed deliveries due at once, for any process."""
        ids = [delivery.id for delivery in deliveries]
        attempts = [delivery.attempt for delivery in deliveries]
        await self._database.fetch(_RELEASE, ids, attempts, patience_s=patience_s)
