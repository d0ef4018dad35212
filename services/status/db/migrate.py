"""Migrates the database to the newest revision. Safe to run at any time and concurrently.

The database may be newer than this release: after a rollback, and during an upgrade. It records
which releases work with it (migration 0012).
"""

from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from services.common import errors, logs
from sluice.common.v1.errors_pb2 import ErrorReason

MIGRATIONS = Path(__file__).parents[1] / "migrations"

CONNECT_TIMEOUT_S = 3.0
STATEMENT_TIMEOUT_S = 300.0

OLDEST = "SELECT oldest_revision FROM schema_compatibility"
"""The newest revision of the oldest release that works with the database."""

_LOCK = "SELECT pg_advisory_xact_lock(7303014, 2)"
_HAS_OLDEST = "SELECT to_regclass('schema_compatibility') IS NOT NULL"
_RAISE_OLDEST = """
UPDATE schema_compatibility SET oldest_revision = :oldest WHERE oldest_revision < :oldest
"""


class MigrationError(Exception):
    """The migration failed and changed nothing. The text says why and what to do."""

    reason = ErrorReason.ERROR_REASON_DATABASE_UNAVAILABLE

    @property
    def code(self) -> str:
        """The error code."""
        return errors.code_of(self.reason)


class DatabaseTooNewError(MigrationError):
    """A newer release, incompatible with this one, has migrated the database."""

    reason = ErrorReason.ERROR_REASON_DATABASE_TOO_NEW

    def __init__(self, found: str) -> None:
        self.what = f"The database is of a newer release: {found}. This one ends at {newest()}."
        super().__init__(f"{self.what} {errors.info_of(self.reason).action}")


async def migrate(database_url: str) -> None:
    """Runs the missing revisions in one transaction, under a lock that all replicas take. Does not
    change a newer database that works with this release.

    Raises:
        MigrationError: PostgreSQL does not respond or raises an error, or a revision failed.
        DatabaseTooNewError: the database is newer and does not work with this release.
    """
    try:
        await _migrate(database_url)
    except (OSError, asyncpg.PostgresError, DBAPIError, CommandError) as failure:
        raise MigrationError(_explained(failure, database_url)) from failure


def newest() -> str:
    """Returns the newest revision of this release."""
    return _scripts(MIGRATIONS).get_current_head() or ""


def check(oldest: str, revision: str = "") -> None:
    """Checks that this release works with a database that requires revision `oldest` or newer.

    Raises:
        DatabaseTooNewError: it does not.
    """
    if oldest > newest():
        found = f"its revision is {revision}, and " if revision else ""
        raise DatabaseTooNewError(f"{found}it needs a release with revision {oldest} or newer")


def _explained(failure: Exception, database_url: str) -> str:
    """Returns one line without the password: what failed, why, and what to do."""
    url = urlsplit(database_url)
    # SQLAlchemy wraps its own error, which wraps the driver's.
    match (
        (failure.orig.__cause__ or failure.orig)
        if isinstance(failure, DBAPIError) and failure.orig
        else failure
    ):
        case asyncpg.InvalidAuthorizationSpecificationError():
            todo = "Check user and password in DATABASE_URL; a volume of PostgreSQL keeps the passwords that it was created with."
        case asyncpg.InvalidCatalogNameError():
            todo = "Check the database's name in DATABASE_URL, or create that database."
        case OSError():
            todo = "Check host and port in DATABASE_URL, and that PostgreSQL runs."
        case _:
            todo = "Nothing was changed. Check PostgreSQL's log; the user of DATABASE_URL must own the database."
    what = str(failure).partition("\n")[0] or type(failure).__name__
    return f"The database {url.path.lstrip('/')} of PostgreSQL at {url.hostname}:{url.port or 5432} was not migrated: {what}. {todo}"


async def _migrate(database_url: str) -> None:

    async def connect() -> "asyncpg.Connection[asyncpg.Record]":
        return await asyncpg.connect(
            database_url, timeout=CONNECT_TIMEOUT_S, command_timeout=STATEMENT_TIMEOUT_S
        )

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=NullPool)
    try:
        async with engine.begin() as connection:
            await connection.execute(text(_LOCK))
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    scripts = _scripts(MIGRATIONS)
    known = {script.revision: script.module for script in scripts.walk_revisions()}
    found = MigrationContext.configure(connection).get_current_heads()
    if not known.keys() >= set(found):
        _check_newer(connection, ", ".join(found))
        return
    config = _config(MIGRATIONS)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
    broken = [getattr(module, "breaks_before", "") for module in known.values()]
    connection.execute(text(_RAISE_OLDEST), {"oldest": max(broken)})


def _check_newer(connection: Connection, revision: str) -> None:
    # Without the table, no release of Sluice has migrated it.
    if not connection.scalar(text(_HAS_OLDEST)):
        raise DatabaseTooNewError(f"its revision is {revision}")
    oldest = connection.scalar(text(OLDEST))
    check(oldest, revision)
    logs.get().warning("database.newer", revision=revision, known=newest(), needed=oldest)


def _config(folder: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(folder))
    return config


@cache
def _scripts(folder: Path) -> ScriptDirectory:
    return ScriptDirectory.from_config(_config(folder))
