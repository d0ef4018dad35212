"""Brings the database to the newest revision. Safe to run at any time and by several processes at once."""

from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

CONNECT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_S = 300.0

_LOCK = "SELECT pg_advisory_xact_lock(7303014, 2)"


async def migrate(database_url: str) -> None:
    """Runs what is missing, in one transaction, under a lock that all replicas take.

    Raises:
        OSError, asyncpg.PostgresError, sqlalchemy.exc.DBAPIError: PostgreSQL does not answer, or a revision failed; nothing was changed.
    """

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(database_url, timeout=CONNECT_TIMEOUT_S, command_timeout=STATEMENT_TIMEOUT_S)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(_LOCK))
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
