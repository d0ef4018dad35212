"""The LISTEN connection of a process. A dead connection is replaced, after which all listeners read
the tables.

A notification is only a hint that saves time: polling finds everything that it announces.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg

from services.common import logs
from services.status.db.database import FAILURES, RETRY, Database, connect

EVENT, CANCEL, DUE, WEBHOOK = "sluice_event", "sluice_cancel", "sluice_due", "sluice_webhook"
"""Channels: a task has a new event; a task was cancelled (both carry the task's id); a task is due;
a webhook delivery is due.
"""

HEARTBEAT_S = 2.0


class Listener:
    """Calls `on_notify` with channel and payload, and `on_connect` after each (re)connection, when
    notifications may have been missed.
    """

    def __init__(
        self,
        database: Database,
        database_url: str,
        on_notify: Callable[[str, str], None],
        on_connect: Callable[[], None],
    ) -> None:
        self._database = database
        self._url = database_url
        self._on_notify = on_notify
        self._on_connect = on_connect

    async def run(self) -> None:
        """Listens until cancelled."""
        await self._database.migrated.wait()
        pauses = RETRY.pauses()
        while True:
            connection: asyncpg.Connection[asyncpg.Record] | None = None
            try:
                connection = await connect(self._url, "listen")
                ended = asyncio.Event()
                connection.add_termination_listener(lambda *_, ended=ended: ended.set())
                for channel in (EVENT, CANCEL, DUE, WEBHOOK):
                    await connection.add_listener(channel, self._notified)
                pauses = RETRY.pauses()
                self._on_connect()
                await self._keep(connection, ended)
                logs.get().warning("listener.connection_ended")
            except FAILURES as failure:
                logs.get().warning(
                    "listener.reconnects", reason=f"{type(failure).__name__}: {failure}"[:300]
                )
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(next(pauses))

    @staticmethod
    async def _keep(connection: "asyncpg.Connection[asyncpg.Record]", ended: asyncio.Event) -> None:
        """Returns when the connection has ended; raises if it no longer responds."""
        while not ended.is_set():
            try:
                await asyncio.wait_for(ended.wait(), HEARTBEAT_S)
            except TimeoutError:
                await connection.execute("SELECT 1")

    def _notified(self, _connection: Any, _pid: int, channel: str, payload: object) -> None:
        self._on_notify(channel, str(payload))
