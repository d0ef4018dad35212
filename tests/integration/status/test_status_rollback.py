"""An older release on the database of a newer one: it works where the newer one only added, and
says what to do where not."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import grpc
import pytest
from grpc_health.v1 import health_pb2

from services.common import errors
from services.status.db import database as postgres
from services.status.db import migrate as module
from services.status.db.migrate import MigrationError, migrate
from sluice.common.v1.errors_pb2 import Actor
from sluice.common.v1.task_pb2 import TaskState
from tests.integration.status.conftest import Service, Services, until
from tests.integration.status.test_status_outages import health
from tests.processes import running

NEWEST = max(path.name[:4] for path in (module.MIGRATIONS / "versions").glob("0*.py"))

ADDS = "ALTER TABLE ingestion_tasks ADD COLUMN later TEXT NOT NULL DEFAULT ''"
BREAKS = "ALTER TABLE ingestion_tasks RENAME COLUMN message TO sentence"

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def connected(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(database_url)
    try:
        yield connection
    finally:
        await connection.close()


class Newer:
    """The release after this one, with a revision of its own."""

    def __init__(self, folder: Path, statement: str, breaks: bool) -> None:
        self._folder = folder / "migrations"
        self.revision = f"{int(NEWEST) + 1:04}"
        shutil.copytree(module.MIGRATIONS, self._folder)
        (self._folder / "versions" / f"{self.revision}_next.py").write_text(
            f"from alembic import op\n\nrevision = {self.revision!r}\ndown_revision = {NEWEST!r}\n"
            + (f"breaks_before = {self.revision!r}\n" if breaks else "")
            + f"\n\ndef upgrade() -> None:\n    op.execute({statement!r})\n"
        )

    async def migrate(self, database_url: str) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "MIGRATIONS", self._folder)
            await migrate(database_url)


async def migrate_by_command(database_url: str) -> tuple[int, str]:
    """Exit status and output of `python -m services.status migrate`."""
    environment = {
        "BIND_ADDR": "127.0.0.1:0",
        "DATABASE_URL": database_url,
        "VALIDATION_ADDR": "127.0.0.1:9",
        "DRUID_GATEWAY_ADDR": "127.0.0.1:9",
        "UPLOAD_ADDR": "127.0.0.1:9",
    }
    async with running(["services.status", "migrate"], environment) as process:
        out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, (out + err).decode()


async def becomes(service: Service, wanted: int) -> None:
    async def is_so() -> bool:
        return bool(await health(service.port) == wanted)

    await until(is_so)


async def refusal(service: Service) -> errors.SluiceError:
    with pytest.raises(grpc.RpcError) as failure:
        await service.get("00000000-0000-4000-8000-000000000000")
    return errors.from_rpc(failure.value, "status")


async def test_it_works_where_a_newer_release_only_added(
    services: Services,
    database_url: str,
    tmp_path: Path,
) -> None:
    newer = Newer(tmp_path, ADDS, breaks=False)
    await newer.migrate(database_url)
    status, output = await migrate_by_command(database_url)
    assert (status, "Traceback" in output) == (0, False)
    assert newer.revision in output
    service = await services.start()
    await becomes(service, SERVING)
    task = await service.upload()
    assert (await service.ended(task.task_id)).state == TaskState.TASK_STATE_SUCCEEDED
    await newer.migrate(database_url)


async def test_it_says_what_to_do_where_a_newer_release_breaks_it(
    services: Services,
    database_url: str,
    tmp_path: Path,
) -> None:
    newer = Newer(tmp_path, BREAKS, breaks=True)
    await newer.migrate(database_url)
    status, output = await migrate_by_command(database_url)
    assert (status, "Traceback" in output) == (1, False)
    assert "DATABASE_TOO_NEW: " in output
    assert newer.revision in output
    assert "restore the PostgreSQL backup" in output

    service = await services.start()
    await becomes(service, NOT_SERVING)
    refused = await refusal(service)
    assert refused.code == "DATABASE_TOO_NEW"
    assert newer.revision in refused.problem.message
    assert "restore the PostgreSQL backup" in refused.problem.action
    assert refused.problem.actor == Actor.ACTOR_ADMIN
    async with connected(database_url) as sql:
        assert await sql.fetchval("SELECT version_num FROM alembic_version") == newer.revision

    await restore(database_url)
    await becomes(service, SERVING)


async def restore(database_url: str) -> None:
    """As from a backup made before the upgrade."""
    async with connected(database_url) as sql, sql.transaction():
        schema = await sql.fetchval("SELECT current_schema()")
        await sql.execute(f"DROP SCHEMA {schema} CASCADE")
        await sql.execute(f"CREATE SCHEMA {schema}")
    await migrate(database_url)


async def test_a_running_service_is_not_ready_once_it_is_broken(
    service: Service,
    database_url: str,
    tmp_path: Path,
) -> None:
    await becomes(service, SERVING)
    await Newer(tmp_path, BREAKS, breaks=True).migrate(database_url)
    await becomes(service, NOT_SERVING)


async def test_a_revision_of_somebody_else_is_named(database_url: str) -> None:
    async with connected(database_url) as sql:
        await sql.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY)")
        await sql.execute("INSERT INTO alembic_version VALUES ('ae1027a6')")
    with pytest.raises(MigrationError) as failure:
        await migrate(database_url)
    assert failure.value.code == "DATABASE_TOO_NEW"
    assert "ae1027a6" in str(failure.value)


async def test_migrating_goes_on_after_a_fault_of_ours(
    services: Services,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults = [KeyError("revision"), RuntimeError("no script")]

    async def failing(url: str) -> None:
        if faults:
            raise faults.pop()
        await migrate(url)

    monkeypatch.setattr(postgres, "migrate", failing)
    service = await services.start()
    await becomes(service, SERVING)
    assert not faults
