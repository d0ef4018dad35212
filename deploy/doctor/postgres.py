"""Checks of PostgreSQL: connection, version, clock, privileges, tables and connection limit."""

import time
from pathlib import Path
from typing import TypeAlias

import asyncpg

from deploy.doctor.findings import Finding, clock, fault, ok, warning

VERSION_MIN = 15
MIGRATIONS = Path(__file__).parents[2] / "services" / "status" / "migrations" / "versions"
SUBJECT = "postgresql"


async def check(url: str) -> list[Finding]:
    """Run all checks. A failed connection is the only finding."""
    try:
        connection = await asyncpg.connect(url, timeout=5, command_timeout=10)
    except asyncpg.InvalidPasswordError:
        return [
            fault(
                SUBJECT,
                "rejects the password of DATABASE_URL",
                "Its volume was created with another docker.env: restore that file, or run `ALTER ROLE sluice PASSWORD ...` "
                "as the user postgres.",
            )
        ]
    except asyncpg.InvalidCatalogNameError:
        return [
            fault(
                SUBJECT,
                "does not have the database of DATABASE_URL",
                "CREATE DATABASE ... OWNER sluice, then run the migrations.",
            )
        ]
    except (OSError, TimeoutError, asyncpg.PostgresError) as failure:
        return [
            fault(
                SUBJECT,
                f"does not answer: {type(failure).__name__}",
                "Check the host and port of DATABASE_URL, and that it is running.",
            )
        ]
    try:
        return [
            await _version(connection),
            await _clock(connection),
            await _privileges(connection),
            await _tables(connection),
            await _connections(connection),
        ]
    finally:
        await connection.close()


Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def _version(connection: Connection) -> Finding:
    number = int(await connection.fetchval("SHOW server_version_num")) // 10_000
    if number < VERSION_MIN:
        return fault(SUBJECT, f"is version {number}", f"Sluice requires {VERSION_MIN} or newer.")
    return ok(SUBJECT, f"version {number}")


async def _clock(connection: Connection) -> Finding:
    server_s = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    return clock(SUBJECT, server_s - time.time())


async def _privileges(connection: Connection) -> Finding:
    if await connection.fetchval("SELECT has_schema_privilege(current_user, 'public', 'CREATE')"):
        return ok(SUBJECT, "the role may create tables")
    return fault(
        SUBJECT,
        "the role may not create tables, so migrations fail",
        "GRANT CREATE ON SCHEMA public TO sluice, or make it the owner.",
    )


async def _tables(connection: Connection) -> Finding:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return fault(SUBJECT, "has no Sluice tables", "docker compose run --rm migrate")
    found = str(await connection.fetchval("SELECT version_num FROM alembic_version"))
    newest = max((file.stem for file in MIGRATIONS.glob("[0-9]*.py")), default="")
    if newest.startswith(found):
        return ok(SUBJECT, f"tables at revision {found}")
    return warning(
        SUBJECT,
        f"tables at revision {found}, but this checkout has {newest}",
        "docker compose run --rm migrate, or check out the deployed version.",
    )


async def _connections(connection: Connection) -> Finding:
    used, limit = await connection.fetchrow(
        "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
    ) or (0, 0)
    if used > 0.8 * limit:
        return warning(
            SUBJECT,
            f"{used} of {limit} connections in use",
            "Raise max_connections, or lower DATABASE_CONNECTIONS of status.",
        )
    return ok(SUBJECT, f"{used} of {limit} connections in use")
