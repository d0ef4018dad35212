"""Connections to PostgreSQL: a pool that survives restarts of the server, with retries within a
budget.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

import asyncpg

from services.common import errors, logs
from services.common.backoff import Backoff
from services.common.serving.cancelling import cancel
from services.status.db.migrate import OLDEST, DatabaseTooNewError, MigrationError, migrate
from services.status.db.migrate import check as check_release
from sluice.common.v1.errors_pb2 import ErrorReason

CONNECT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_S = 5.0
SERVER_SETTINGS: dict[str, str] = {
    # Limits how long a process that is frozen inside a transaction holds its locks.
    "idle_in_transaction_session_timeout": "5000",
    # A connection caches its plans: one that was made for a small table must not scan it when it
    # is large. Every statement here has an index and takes milliseconds.
    "enable_seqscan": "off",
    "jit": "off",
}
"""Settings of the pool's connections."""
RETRY = Backoff(first_s=0.05, longest_s=1.0)

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

Connection: TypeAlias = "PoolConnectionProxy[asyncpg.Record]"
Result = TypeVar("Result")

AWAY: tuple[type[Exception], ...] = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.TransactionRollbackError,
    asyncpg.InternalClientError,
)
"""Raised by a query if the server is unavailable, restarts, is full, or rolled the transaction back
in favor of another one: retry.
"""

FAILURES: tuple[type[Exception], ...] = (*AWAY, asyncpg.PostgresError)
"""AWAY and every other error of PostgreSQL."""


def name(database_url: str, purpose: str) -> str:
    """Returns a connection's application_name: the one of the URL, else sluice-status, and the
    purpose.
    """
    base = parse_qs(urlsplit(database_url).query).get("application_name", ["sluice-status"])[-1]
    return f"{base} {purpose}"


async def connect(database_url: str, purpose: str) -> "asyncpg.Connection[asyncpg.Record]":
    """Opens a connection outside the pool."""
    return await asyncpg.connect(
        database_url,
        timeout=CONNECT_TIMEOUT_S,
        command_timeout=STATEMENT_TIMEOUT_S,
        server_settings={"application_name": name(database_url, purpose)},
    )


class Database:
    """A connection pool that can be opened before the server responds. It replaces dead connections
    on demand.
    """

    def __init__(self, database_url: str, connections: int) -> None:
        self._url = database_url
        self._connections = connections
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self.migrated = asyncio.Event()
        """Set once the tables exist."""
        self._attempted = asyncio.Event()
        self._not_migrated: Exception = ConnectionError("the tables do not exist yet")

    async def open(self, stack: AsyncExitStack) -> None:
        """Opens the pool without connecting, and migrates as soon as the server responds."""
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=self._connections,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=STATEMENT_TIMEOUT_S,
            init=_use_json,
            reset=_keep_session,
            server_settings={"application_name": name(self._url, "pool"), **SERVER_SETTINGS},
        )
        stack.callback(self._pool.terminate)
        migrating = asyncio.create_task(self._migrate(), name="migrate")
        stack.push_async_callback(cancel, migrating)

    async def check(self) -> None:
        """Readiness: returns if the server responds, and its tables work with this release."""
        await self._attempted.wait()
        if not self.migrated.is_set():
            raise self._not_migrated
        async with self._acquired() as connection:
            check_release(await connection.fetchval(OLDEST))

    async def run(
        self, work: Callable[[Connection], Awaitable[Result]], patience_s: float
    ) -> Result:
        """Returns the result of `work`. Retries it for `patience_s` seconds while the server is
        unavailable, so it must be idempotent.

        Raises:
            SluiceError: DATABASE_UNAVAILABLE after that time; DATABASE_TOO_NEW.
        """
        until = monotonic() + patience_s
        pauses = RETRY.pauses()
        while True:
            try:
                if isinstance(self._not_migrated, DatabaseTooNewError):
                    raise errors.error(self._not_migrated.reason, self._not_migrated.what)
                if not self.migrated.is_set():
                    raise ConnectionError("the tables do not exist yet")
                async with self._acquired() as connection:
                    return await work(connection)
            except AWAY as failure:
                # asyncpg's interface errors include parameters of a wrong type.
                if isinstance(failure, ValueError):
                    raise
                pause_s = next(pauses)
                if monotonic() + pause_s >= until:
                    logs.get().warning(
                        "database.away", reason=f"{type(failure).__name__}: {failure}"[:300]
                    )
                    raise errors.error(
                        ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE,
                        "PostgreSQL does not respond.",
                    ) from failure
            await asyncio.sleep(pause_s)

    async def fetch(self, sql: str, *args: object, patience_s: float) -> "list[asyncpg.Record]":
        """Executes one statement and returns its rows; retries and raises like `run`."""
        return await self.run(lambda connection: connection.fetch(sql, *args), patience_s)

    async def fetchrow(self, sql: str, *args: object, patience_s: float) -> "asyncpg.Record | None":
        """Returns the first row of one statement, or None."""
        return await self.run(lambda connection: connection.fetchrow(sql, *args), patience_s)

    async def fetchval(self, sql: str, *args: object, patience_s: float) -> Any:
        """Returns the first column of the first row of one statement, or None."""
        return await self.run(lambda connection: connection.fetchval(sql, *args), patience_s)

    async def execute(self, sql: str, *args: object, patience_s: float) -> None:
        """Executes one statement."""
        await self.run(lambda connection: connection.execute(sql, *args), patience_s)

    def _acquired(self) -> Any:
        if self._pool is None:
            raise RuntimeError("Database.open was not called")
        return self._pool.acquire(timeout=CONNECT_TIMEOUT_S)

    async def _migrate(self) -> None:
        pauses = RETRY.pauses()
        while True:
            try:
                await migrate(self._url)
                break
            except MigrationError as failure:
                self._not_yet(failure, None)
            except Exception as bug:
                self._not_yet(bug, bug)
            self._attempted.set()
            await asyncio.sleep(next(pauses))
        self._not_migrated = ConnectionError("the tables do not exist yet")
        self.migrated.set()
        self._attempted.set()
        logs.get().info("database.migrated")

    def _not_yet(self, failure: Exception, bug: Exception | None) -> None:
        if str(failure) != str(self._not_migrated):
            logs.get().warning("database.migration_waits", reason=str(failure), exc_info=bug)
        self._not_migrated = failure


async def _use_json(connection: "asyncpg.Connection[asyncpg.Record] | Connection") -> None:
    await connection.set_type_codec(
        "jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads
    )


async def _keep_session(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Returns a connection to the pool without resetting its session. asyncpg's default costs a
    round trip per call, and nothing here outlives its transaction.
    """
