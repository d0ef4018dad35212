"""A sender that stops gives back every delivery that it has claimed."""

import asyncio
from datetime import UTC, datetime
from typing import Any, cast

from services.status.db.database import Database
from services.status.db.webhook_deliveries import WebhookDeliveries
from services.status.webhooks.sender import WebhookSender
from services.status.webhooks.targets import Targets

_NOW = datetime.now(UTC)
_CLAIMED = {
    "id": 7,
    "attempts": 2,
    "target": "host",
    "url": "http://host/",
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
    """Commits a claim at once and answers it when `answers` is set; keeps every statement."""

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
        raise AssertionError("nothing is sent any more")

    deliveries = WebhookDeliveries(cast(Database, database), patience_s=1)
    sender = WebhookSender(deliveries, Targets([], 1), post)
    running = asyncio.create_task(sender.run())
    await database.claimed.wait()
    running.cancel()
    await asyncio.sleep(0)
    database.answers.set()
    await asyncio.wait([running])
    assert database.released == [([7], [2])]
