"""Sends webhooks: retries each delivery with backoff until its receiver accepts it.

A sender claims a delivery for HOLD_S, posts it and records the response. If the sender dies, another
one claims the delivery after that time. So each is sent at least once. A slow receiver occupies at
most PER_TARGET slots, each for at most DELIVERY_S, and does not delay other receivers.
"""

import asyncio
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from time import time

from standardwebhooks import Webhook

from services.common import logs
from services.common.backoff import Backoff
from services.common.errors import SluiceError
from services.common.serving.cancelling import cancel
from services.status.ports import WebhookDeliveries
from services.status.webhooks.targets import Target, Targets
from services.status.webhooks.webhook import ClaimedDelivery

ATTEMPTS = 15
"""Maximum number of attempts of a delivery, over about a day."""

RETRY = Backoff(first_s=5.0, longest_s=7200.0, jitter=0.25)

DELIVERY_S = 10.0
"""Deadline of an attempt in seconds, from the name's lookup to the head of the response."""

HOLD_S = 90.0
"""Seconds for which a claimed delivery belongs to its sender; longer than an attempt."""

AT_ONCE = 32
"""Concurrency limit of this process."""

PER_TARGET = 4
"""Concurrency limit of one receiver, the host and port of the URL."""

POLL_S = 5.0
STOP_PATIENCE_S = 1.0

Post = Callable[[Target, bytes, dict[str, str]], Awaitable[int]]
"""Posts a body with headers and returns the status of the response. Raises OSError if there is none.
The caller sets the deadline."""


class WebhookSender:
    """Sends due deliveries."""

    def __init__(self, deliveries: WebhookDeliveries, targets: Targets, post: Post) -> None:
        self._deliveries = deliveries
        self._targets = targets
        self._post = post
        self._wake = asyncio.Event()
        self._claiming: asyncio.Task[bool] | None = None
        self._sending: dict[asyncio.Task[None], ClaimedDelivery] = {}

    def wake(self) -> None:
        """Notifies the sender that a delivery may be due."""
        self._wake.set()

    async def run(self) -> None:
        """Sends until cancelled; then releases unfinished deliveries for another process."""
        try:
            while True:
                self._wake.clear()
                # Not cancelled with this task: deliveries of an aborted claim would be held for HOLD_S.
                self._claiming = asyncio.create_task(self._start(), name="webhook claim")
                if not await asyncio.shield(self._claiming):
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._wake.wait(), POLL_S)
        finally:
            await self._stop()

    async def _start(self) -> bool:
        """Starts due deliveries, up to the limits. Returns whether there were any."""
        free = AT_ONCE - len(self._sending)
        if not free:
            return False
        busy = Counter(delivery.target for delivery in self._sending.values())
        try:
            claimed = await self._deliveries.claim(free, busy, PER_TARGET, HOLD_S)
        except SluiceError as failure:
            logs.get().warning("webhook.postponed", code=failure.code)
            return False
        for delivery in claimed:
            sending = asyncio.create_task(self._send(delivery), name="webhook")
            self._sending[sending] = delivery
            sending.add_done_callback(self._ended)
        return bool(claimed)

    def _ended(self, sending: "asyncio.Task[None]") -> None:
        delivery = self._sending.pop(sending, None)
        self._wake.set()
        if delivery and not sending.cancelled() and (failure := sending.exception()):
            # It is retried after HOLD_S.
            logs.get().error("webhook.not_recorded", delivery=delivery.id, exc_info=failure)

    async def _stop(self) -> None:
        if self._claiming:
            await asyncio.wait([self._claiming], timeout=STOP_PATIENCE_S)
            await cancel(self._claiming)
        sending, self._sending = self._sending, {}
        await cancel(*sending)
        aborted = [delivery for task, delivery in sending.items() if task.cancelled()]
        if not aborted:
            return
        try:
            await self._deliveries.release(aborted, STOP_PATIENCE_S)
        except SluiceError as failure:
            ids = [delivery.id for delivery in aborted]
            logs.get().warning("webhook.not_released", code=failure.code, deliveries=ids)

    async def _send(self, delivery: ClaimedDelivery) -> None:
        body = _body(delivery)
        headers = _headers(delivery, body, int(time()))
        status, fault = None, ""
        try:
            async with asyncio.timeout(DELIVERY_S):
                target = await self._targets.check(delivery.url)
                status = await self._post(target, body, headers)
            if not 200 <= status < 300:
                fault = f"The receiver responded with {status}."
        except SluiceError as failure:
            fault = failure.problem.message
        except TimeoutError:
            fault = f"The receiver did not respond within {DELIVERY_S:g} s."
        except OSError as failure:
            fault = f"The receiver did not respond ({failure})."
        except Exception as bug:
            # Recorded like any other fault, so that it counts as an attempt.
            logs.get().error("webhook.broke", delivery=delivery.id, exc_info=bug)
            fault = "Sending failed by an internal error."
        attempt, task_id = delivery.attempt, delivery.task["task_id"]
        pause = None if not fault or attempt >= ATTEMPTS else RETRY.pause_s(attempt)
        await self._deliveries.record(
            delivery, delivered=not fault, status=status, error=fault, pause_s=pause
        )
        log = logs.get().bind(delivery=delivery.id, task_id=task_id, attempt=attempt)
        if fault:
            log.warning("webhook.failed", reason=fault, again_s=pause, status=status)
        else:
            log.info("webhook.delivered", status=status)


def signature(secret: str, moment: int, body: bytes) -> str:
    """Returns the HMAC-SHA256 of the time (Unix seconds) and the body, as hex digits. With the secret,
    a receiver can verify the sender and the time."""
    return hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()


def _headers(delivery: ClaimedDelivery, body: bytes, moment: int) -> dict[str, str]:
    """Sign a delivery twice: for one release with our own header, and as Standard Webhooks say
    (https://www.standardwebhooks.com). Their key is the secret in UTF-8, which receivers configure
    as "whsec_" + base64(secret).
    """
    standard = Webhook(delivery.secret.encode()).sign(
        str(delivery.id), datetime.fromtimestamp(moment, UTC), body.decode()
    )
    return {
        "Content-Type": "application/json",
        "User-Agent": "sluice-webhook",
        "Sluice-Delivery": str(delivery.id),
        "Sluice-Attempt": str(delivery.attempt),
        "Sluice-Signature": f"t={moment},v1={signature(delivery.secret, moment, body)}",
        "webhook-id": str(delivery.id),
        "webhook-timestamp": str(moment),
        "webhook-signature": standard,
    }


def _body(delivery: ClaimedDelivery) -> bytes:
    task = delivery.task
    document = {
        "delivery_id": delivery.id,
        "task_id": task["task_id"],
        "status": task["status"],
        "datasource_name": task["datasource_name"],
        "original_filename": task["original_filename"],
        "message": task["message"],
        "file_size": task["file_size"],
        "row_count": task["row_count"],
        "rows_rejected": task["rows_rejected"],
        "retry_of": task["retry_of"] or None,
        "error": task["problem"],
        "created_at": _iso(task["created_at"]),
        "completed_at": _iso(task["completed_at"]),
    }
    return json.dumps(document, ensure_ascii=False).encode()


def _iso(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
