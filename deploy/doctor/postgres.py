"""PostgreSQL: reachable, recent enough, with our tables and rights, and a clock like ours."""

import time
from pathlib import Path
from typing import TypeAlias

import asyncpg

from deploy.doctor.findings import Finding, clock, fault, ok, warning

OLDEST = 15
MIGRATIONS = Path(__file__).parents[2] / "services" / "status" / "migrations" / "versions"
SUBJECT = "postgresql"


async def check(url: str) -> list[Finding]:
    """All of it; a connection that fails is the only finding."""
    try:
        connection = await asyncpg.connect(url, timeout=5, command_timeout=10)
    except asyncpg.InvalidPasswordError:
        return [
            fault(
                SUBJECT,
                "refuses the password of DATABASE_URL",
                "Its volume was made with another docker.env: restore that file, or `ALTER ROLE sluice PASSWORD ...` as the user postgres.",
            )
        ]
    except asyncpg.InvalidCatalogNameError:
        return [
            fault(
                SUBJECT,
                "has no database of the name in DATABASE_URL",
                "CREATE DATABASE ... OWNER sluice, then run the migrations.",
            )
        ]
    except (OSError, TimeoutError, asyncpg.PostgresError) as failure:
        return [
            fault(
                SUBJECT,
                f"does not answer: {type(failure).__name__}",
                "Check the host and port of DATABASE_URL, and that it runs.",
            )
        ]
    try:
        return [
            await _version(connection),
            await _clock(connection),
            await _rights(connection),
            await _tables(connection),
            await _room(connection),
        ]
    finally:
        await connection.close()


Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def _version(connection: Connection) -> Finding:
    number = int(await connection.fetchval("SHOW server_version_num")) // 10_000
    if number < OLDEST:
        return fault(SUBJECT, f"is version {number}", f"Sluice needs {OLDEST} or newer.")
    return ok(SUBJECT, f"version {number}")


async def _clock(connection: Connection) -> Finding:
    theirs = float(await connection.fetchval("SELECT extract(epoch FROM clock_timestamp())"))
    return clock(SUBJECT, theirs - time.time())


async def _rights(connection: Connection) -> Finding:
    if await connection.fetchval("SELECT has_schema_privilege(current_user, 'public', 'CREATE')"):
        return ok(SUBJECT, "the role may make tables")
    return fault(
        SUBJECT,
        "the role may not make tables, so it cannot migrate",
        "GRANT CREATE ON SCHEMA public TO sluice, or make it the owner.",
    )


async def _tables(connection: Connection) -> Finding:
    if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
        return fault(SUBJECT, "has none of our tables", "docker compose run --rm migrate")
    found = str(await connection.fetchval("SELECT version_num FROM alembic_version"))
    newest = max((file.stem for file in MIGRATIONS.glob("[0-9]*.py")), default="")
    if newest.startswith(found):
        return ok(SUBJECT, f"tables at revision {found}")
    return warning(
        SUBJECT,
        f"tables at revision {found}, this checkout has {newest}",
        "docker compose run --rm migrate, or check out what is deployed.",
    )


async def _room(connection: Connection) -> Finding:
    used, most = await connection.fetchrow(
        "SELECT count(*), current_setting('max_connections')::int FROM pg_stat_activity"
    ) or (0, 0)
    if used > 0.8 * most:
        return warning(
            SUBJECT,
            f"{used} of {most} connections are in use",
            "Raise max_connections, or lower DATABASE_CONNECTIONS of status.",
        )
    return ok(SUBJECT, f"{used} of {most} connections in use")
