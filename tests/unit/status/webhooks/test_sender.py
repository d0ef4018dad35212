"""A sender that stops gives back every delivery that it has claimed."""

import asyncio
import base64
from datetime import UTC, datetime
from ipaddress import ip_network
from time import time
from typing import Any, cast

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.status.db.database import Database
from services.status.db.webhook_deliveries import WebhookDeliveries
from services.status.webhooks import sender as webhook_sender
from services.status.webhooks.sender import WebhookSender
from services.status.webhooks.targets import Targets
from services.status.webhooks.webhook import ClaimedDelivery

_NOW = datetime.now(UTC)
_CLAIMED = {
    "id": 7,
    "attempts": 2,
    "target": "host",
    "url": "http://127.0.0.1/",
    "secret": "secret",
    "status": "SUCCEEDED",
    "task_id": "task",
    "datasource_name": "sales",
    "original_filename": "sales.csv",
    "message": "",
    "row_count": 1,
    "rows_rejected": 0,
    "file_size": 1,
    "retry_of": "",
    "problem": None,
    "created_at": _NOW,
    "completed_at": _NOW,
}


class _SlowDatabase:
    """Commits a claim at once and responds when `answers` is set; records released deliveries."""

    def __init__(self) -> None:
        self.claimed, self.answers = asyncio.Event(), asyncio.Event()
        self.released: list[tuple[Any, ...]] = []

    async def fetch(self, sql: str, *given: Any, patience_s: float) -> list[dict[str, Any]]:
        if "RETURNING d.id" in sql:
            self.claimed.set()
            await self.answers.wait()
            return [_CLAIMED]
        self.released.append(given)
        return []


async def test_a_claim_that_is_under_way_when_the_sender_stops_is_given_back() -> None:
    database = _SlowDatabase()

    async def post(*_request: object) -> int:
        await asyncio.Event().wait()
        return 204

    deliveries = WebhookDeliveries(cast(Database, database), patience_s=1)
    sender = WebhookSender(deliveries, Targets([ip_network("127.0.0.0/8")], 1), post)
    running = asyncio.create_task(sender.run())
    await database.claimed.wait()
    running.cancel()
    await asyncio.sleep(0)
    database.answers.set()
    await asyncio.wait([running])
    assert database.released == [([7], [2])]


@pytest.mark.parametrize("secret", ["secret", "whsec_c2VjcmV0", "Schlüssel mit ß"])
def test_receivers_verify_a_delivery_with_a_standard_webhooks_library(secret: str) -> None:
    body = '{"original_filename": "Käse.csv"}'.encode()
    delivery = ClaimedDelivery(7, 2, "host", "http://host/", secret, {})
    headers = webhook_sender._headers(delivery, body, int(time()))
    receiver = Webhook("whsec_" + base64.b64encode(secret.encode()).decode())
    assert receiver.verify(body, headers) == {"original_filename": "Käse.csv"}
    assert headers["webhook-id"] == "7"
    with pytest.raises(WebhookVerificationError):
        receiver.verify(body + b" ", headers)
