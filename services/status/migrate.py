"""Brings the database to the newest revision. Safe to run at any time and by several processes at once."""

from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

CONNECT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_S = 300.0

_LOCK = "SELECT pg_advisory_xact_lock(7303014, 2)"


class MigrationError(Exception):
    """What is wrong and what to do, for a person. Nothing was changed."""


async def migrate(database_url: str) -> None:
    """Runs what is missing, in one transaction, under a lock that all replicas take.

    Raises:
        MigrationError: PostgreSQL does not answer or refuses, or a revision failed.
    """
    try:
        await _migrate(database_url)
    except (OSError, asyncpg.PostgresError, DBAPIError) as failure:
        raise MigrationError(_explained(failure, database_url)) from failure


def _explained(failure: Exception, database_url: str) -> str:
    """One line without the password: who failed, how, and what to do."""
    url = urlsplit(database_url)
    # SQLAlchemy's error holds one of its own, and that the driver's.
    match (failure.orig.__cause__ or failure.orig) if isinstance(failure, DBAPIError) and failure.orig else failure:
        case asyncpg.InvalidAuthorizationSpecificationError():
            todo = "Check user and password in DATABASE_URL; a volume of PostgreSQL keeps the passwords that it was made with."
        case asyncpg.InvalidCatalogNameError():
            todo = "Check the database's name in DATABASE_URL, or make that database."
        case OSError():
            todo = "Check host and port in DATABASE_URL, and that PostgreSQL runs."
        case _:
            todo = "Nothing was changed. Look at PostgreSQL's log; the user of DATABASE_URL must own the database."
    what = str(failure).partition("\n")[0] or type(failure).__name__
    return f"The database {url.path.lstrip('/')} of PostgreSQL at {url.hostname}:{url.port or 5432} was not migrated: {what}. {todo}"


async def _migrate(database_url: str) -> None:

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
