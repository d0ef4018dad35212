"""Five cells of a published comparison of PostgreSQL queue libraries, for Sluice's tasks: whether
any are lost, how soon they resume, and at which rate.

A real status process works on tasks in a real PostgreSQL. The other services are slow fakes, so
that the workers limit the rate, and a lost worker reduces it. Each cell has a separate schema.
"""

import asyncio
import os
import random
import sys
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import asyncpg
import structlog

from local.instance import Instance
from services.status.db.database import Database
from services.status.db.migrate import migrate
from services.status.db.store import Store
from services.status.tasks.machine import Move, State
from services.status.tasks.task import NewTask
from sluice.validation.v1.validation_pb2 import ValidateObjectRequest, ValidateObjectResponse
from tests.integration.status.neighbours import (
    FakeFiles,
    serve_druid_gateway,
    serve_upload,
    serve_validation,
)
from tests.unit.status.fakes import ROWS, FakeLoads, FakeValidation

ROOT = Path(__file__).parents[2]

JOB_S = (0.8, 2.4)
"""Range of the fake validation's random duration, so that workers do not end simultaneously."""

WORKERS = 16
WINDOW_S = 30.0
"""Duration of a rate measurement. With 10 s, random durations alone changed the rate by 3 %."""

RECOVERY_S = 15.0
"""Time within which the first job must end after the fault."""

END_S = 180.0

Sql = "asyncpg.Connection[asyncpg.Record]"


class _PacedValidation(FakeValidation):
    async def validate(
        self, request: ValidateObjectRequest, timeout_s: float
    ) -> AsyncGenerator[ValidateObjectResponse, None]:
        async for answer in super().validate(request, timeout_s):
            if answer.WhichOneof("step") == "report":
                await asyncio.sleep(random.uniform(*JOB_S))
            yield answer


@dataclass
class Result:
    """The result of a cell."""

    name: str
    jobs: int
    lost: int
    """Tasks that did not end SUCCEEDED."""
    doubled: int
    """Tasks whose rows were loaded more than once, or whose events have a gap."""
    recovery_s: float
    """From the end of the fault until the next job ended."""
    rate_before: float
    rate_after: float
    """Jobs per second."""

    @property
    def recovered(self) -> bool:
        return not self.lost and not self.doubled and self.recovery_s <= RECOVERY_S


class Worker:
    """A status process that is restarted when it dies."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._process: asyncio.subprocess.Process | None = None

    async def keep_running(self) -> None:
        """Run and restart the process until cancelled."""
        try:
            while True:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "services.status",
                    cwd=ROOT,
                    env=self._environment,
                    stderr=asyncio.subprocess.DEVNULL,
                )
                await self._process.wait()
        finally:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()

    def kill(self) -> None:
        """Send SIGKILL; do nothing during a restart."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()


@dataclass
class Bench:
    """What a cell can disrupt and observe."""

    instance: Instance
    worker: Worker
    url: str
    schema: str

    async def ended(self) -> int:
        """Return the number of ended tasks."""
        return await self.query(
            "SELECT count(*) FROM ingestion_tasks WHERE completed_at IS NOT NULL"
        )

    async def query(self, sql: str) -> int:
        """Return the number that the query selects, retrying while PostgreSQL is unavailable."""
        while True:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                # A new connection each time, because the cells kill and occupy connections.
                connection = await asyncpg.connect(
                    self.url, timeout=3, server_settings={"application_name": "observer"}
                )
                try:
                    return int(await connection.fetchval(sql, timeout=5))
                finally:
                    await connection.close(timeout=5)
            await asyncio.sleep(0.1)


async def _kill(bench: Bench) -> None:
    bench.worker.kill()


async def _kill_repeatedly(bench: Bench) -> None:
    for _ in range(4):
        bench.worker.kill()
        await asyncio.sleep(4)
    bench.worker.kill()


async def _stop_postgres(bench: Bench) -> None:
    await asyncio.to_thread(bench.instance.stop_program, "postgres")
    await asyncio.sleep(5)
    await asyncio.to_thread(bench.instance.start_program, "postgres")
    await asyncio.to_thread(bench.instance.wait_healthy, "postgres")


async def _terminate_backends(bench: Bench) -> None:
    """Terminate 10 backends per second for 10 s."""
    sql = await asyncpg.connect(bench.url, server_settings={"application_name": "observer"})
    try:
        for _ in range(100):
            await sql.execute(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE application_name LIKE $1 || ' %' ORDER BY random() LIMIT 1""",
                bench.schema,
            )
            await asyncio.sleep(0.1)
    finally:
        await sql.close()


async def _idle_connections(bench: Bench) -> None:
    """Occupy all connections of the server for 10 s with 300 idle clients."""
    held: list[asyncpg.Connection[asyncpg.Record]] = []

    async def hold() -> None:
        with suppress(
            asyncpg.TooManyConnectionsError, asyncpg.PostgresConnectionError, OSError, TimeoutError
        ):
            held.append(
                await asyncpg.connect(
                    bench.url, timeout=10, server_settings={"application_name": "idle"}
                )
            )

    await asyncio.gather(*(hold() for _ in range(300)))
    await held[0].execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE $1 || ' %'",
        bench.schema,
    )
    until = monotonic() + 10
    while monotonic() < until:
        # Occupy the connections that were freed.
        await hold()
        await asyncio.sleep(0.02)
    await asyncio.gather(*(connection.close() for connection in held))


CELLS: dict[str, Callable[[Bench], Awaitable[None]]] = {
    "SIGKILL and restart": _kill,
    "repeated kills": _kill_repeatedly,
    "PostgreSQL stopped and started": _stop_postgres,
    "a stream of pg_terminate_backend": _terminate_backends,
    "300 idle connections": _idle_connections,
}


async def run_cells(instance_name: str, jobs: int) -> list[Result]:
    """Run all cells, one after the other, on the instance's PostgreSQL; start it if necessary."""
    instance = Instance(instance_name, only=["postgres"])
    fresh = await asyncio.to_thread(instance.start)
    try:
        with structlog.testing.capture_logs():
            return [await _cell(name, fault, instance, jobs) for name, fault in CELLS.items()]
    finally:
        if fresh:
            await asyncio.to_thread(instance.stop)


async def _cell(
    name: str, fault: Callable[[Bench], Awaitable[None]], instance: Instance, jobs: int
) -> Result:
    loads, files = FakeLoads(), FakeFiles()
    async with AsyncExitStack() as stack:
        url, schema = await stack.enter_async_context(_schema(instance.stack.database_url))
        await _queue(url, jobs)
        environment = {
            "PATH": os.environ["PATH"],
            "BIND_ADDR": "127.0.0.1:0",
            "DATABASE_URL": url,
            "UPLOAD_ADDR": await serve_upload(stack, files),
            "VALIDATION_ADDR": await serve_validation(stack, _PacedValidation(), files),
            "DRUID_GATEWAY_ADDR": await serve_druid_gateway(stack, loads),
            "PIPELINE_WORKERS": str(WORKERS),
            "VALIDATION_WORKERS": str(WORKERS),
        }
        worker = Worker(environment)
        bench = Bench(instance, worker, url, schema)
        keeping = asyncio.create_task(worker.keep_running())
        stack.push_async_callback(_cancelled, keeping)
        await _more_than(bench, WORKERS, END_S)
        before = await _rate(bench)
        await fault(bench)
        began, had = monotonic(), await bench.ended()
        await _more_than(bench, had, END_S)
        recovery_s = monotonic() - began
        # The rate is steady only after the tasks that were waiting during the fault.
        await _more_than(bench, had + 2 * WORKERS, END_S)
        after = await _rate(bench)
        with suppress(TimeoutError):
            await _more_than(bench, jobs - 1, END_S)
        succeeded = await bench.query(
            "SELECT count(*) FROM ingestion_tasks WHERE status = 'SUCCEEDED'"
        )
        gaps = await bench.query(
            """SELECT count(*) FROM ingestion_tasks t WHERE last_sequence <>
            (SELECT count(*) FROM task_events e WHERE e.task_id = t.task_id AND e.sequence <= t.last_sequence)"""
        )
        twice = sum(loads.rows_of(task_id) != ROWS for task_id in loads.visible)
        return Result(name, jobs, jobs - succeeded, gaps + twice, recovery_s, before, after)


@asynccontextmanager
async def _schema(database_url: str) -> AsyncIterator[tuple[str, str]]:
    """Create and migrate a schema; yield its URL and name."""
    schema = f"chaos_{uuid.uuid4().hex[:12]}"
    url = f"{database_url}?search_path={schema}&application_name={schema}"
    await _execute(database_url, f"CREATE SCHEMA {schema}")
    try:
        await migrate(url)
        yield url, schema
    finally:
        await _execute(database_url, f"DROP SCHEMA {schema} CASCADE")


async def _execute(url: str, sql: str) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(sql)
    finally:
        await connection.close()


async def _queue(url: str, jobs: int) -> None:
    """Create tasks in UPLOADED."""
    async with AsyncExitStack() as stack:
        database = Database(url, 8)
        await database.open(stack)
        store = Store(database, patience_s=30)
        await database.migrated.wait()
        for number in range(jobs):
            task_id = str(uuid.uuid4())
            await store.create(
                NewTask(
                    task_id,
                    task_id,
                    f"sales_{number}",
                    "a.csv",
                    "s3://b/k",
                    10,
                    b"",
                    "ONE_SHOT",
                    "APPEND",
                    True,
                    "0" * 32,
                )
            )
            await store.move(
                task_id,
                State.PENDING,
                Move(State.UPLOADED, "The file is complete.", columns={"file_size": 10}),
            )


async def _more_than(bench: Bench, number: int, within_s: float) -> None:
    """Wait until more than `number` tasks have ended."""
    async with asyncio.timeout(within_s):
        while True:
            if await bench.ended() > number:
                return
            await asyncio.sleep(0.05)


async def _rate(bench: Bench) -> float:
    """Return the number of jobs that end per second."""
    began, had = monotonic(), await bench.ended()
    await asyncio.sleep(WINDOW_S)
    now = await bench.ended()
    return (now - had) / (monotonic() - began)


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.wait([task])
