"""The status service on a real PostgreSQL, in a schema of its own, between fakes of its neighbours
over real gRPC.
"""

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import asyncpg
import pytest

from local.stack import Stack
from services.common.serving import channels
from services.status.app import build
from services.status.db.migrate import migrate
from services.status.settings import Settings
from sluice.common.v1.task_pb2 import LoadMode, TaskState, UploadMode
from sluice.status.v1 import status_pb2
from sluice.status.v1.status_pb2_grpc import StatusServiceStub
from tests.integration.status.neighbours import (
    FakeFiles,
    serve_druid_gateway,
    serve_upload,
    serve_validation,
)
from tests.unit.status.fakes import FakeLoads, FakeValidation

SIZE = 1234


@pytest.fixture(scope="session")
def postgres_url(request: pytest.FixtureRequest) -> str:
    """TEST_DATABASE_URL, a PostgreSQL whose user may create schemas; without it the stack's."""
    if given := os.environ.get("TEST_DATABASE_URL"):
        return given
    stack: Stack = request.getfixturevalue("stack")
    return stack.database_url


@pytest.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A schema without tables."""
    schema = f"it_status_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute(f"CREATE SCHEMA {schema}")
        separator = "&" if "?" in postgres_url else "?"
        yield f"{postgres_url}{separator}search_path={schema}&application_name={schema}"
        await connection.execute(f"DROP SCHEMA {schema} CASCADE")
    finally:
        await connection.close()


@pytest.fixture
async def sql(database_url: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection to the migrated schema, to look at the tables from outside."""
    await migrate(database_url)
    connection = await asyncpg.connect(
        database_url, server_settings={"application_name": "observer"}
    )
    yield connection
    await connection.close()


async def terminate(
    sql: "asyncpg.Connection[asyncpg.Record]", purpose: str = "", share: float = 1.0
) -> bool:
    """Whether a connection of the services on this schema was killed: all, or those of one purpose,
    or a random share.
    """
    killed = await sql.fetch(
        """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name LIKE current_schema() || ' ' || $1 || '%' AND random() < $2""",
        purpose,
        share,
    )
    return bool(killed)


@dataclass
class Service:
    """A running status service and its neighbours."""

    database_url: str
    stub: StatusServiceStub
    port: int
    validation: FakeValidation
    loads: FakeLoads
    files: FakeFiles
    settings: Settings
    life: AsyncExitStack
    """Closing it stops this process's part, as SIGTERM does."""

    async def create(self, **other: Any) -> status_pb2.Task:
        """A task in PENDING."""
        answer: status_pb2.CreateTaskResponse = await self.stub.CreateTask(create_request(**other))
        return answer.task

    async def upload(self, **other: Any) -> status_pb2.Task:
        """A task in UPLOADED."""
        task = await self.create(**other)
        request = status_pb2.CompleteUploadRequest(task_id=task.task_id, file_size=SIZE)
        answer: status_pb2.CompleteUploadResponse = await self.stub.CompleteUpload(request)
        return answer.task

    async def get(self, task_id: str) -> status_pb2.Task:
        answer: status_pb2.GetTaskResponse = await self.stub.GetTask(
            status_pb2.GetTaskRequest(task_id=task_id)
        )
        return answer.task

    async def events(self, task_id: str, from_sequence: int = 0) -> list[status_pb2.TaskEvent]:
        """All events to the end of the task."""
        request = status_pb2.WatchTaskRequest(task_id=task_id, from_sequence=from_sequence)
        return [answer.event async for answer in self.stub.WatchTask(request, timeout=60)]

    async def ended(self, task_id: str) -> status_pb2.Task:
        """The task in its terminal state."""
        await self.events(task_id)
        return await self.get(task_id)

    async def reached(self, task_id: str, state: "TaskState.ValueType") -> None:
        """Returns when the task has entered the state."""
        async for answer in self.stub.WatchTask(
            status_pb2.WatchTaskRequest(task_id=task_id), timeout=60
        ):
            if answer.event.state == state:
                return
        raise AssertionError(f"the task ended without entering {TaskState.Name(state)}")


def create_request(**other: Any) -> status_pb2.CreateTaskRequest:
    task_id = str(uuid.uuid4())
    values = {
        "request_id": f"request {task_id}",
        "task_id": task_id,
        "datasource": "sales",
        "filename": "sales.csv",
        "file_uri": f"s3://bucket/uploads/sales/{task_id}.csv",
        "upload_mode": UploadMode.UPLOAD_MODE_ONE_SHOT,
        "load_mode": LoadMode.LOAD_MODE_APPEND,
        "allow_duplicate": True,
    }
    return status_pb2.CreateTaskRequest(**{**values, **other})


@dataclass
class Services:
    """Starts status services on one database, with the same neighbours."""

    database_url: str
    stack: AsyncExitStack
    validation: FakeValidation = field(default_factory=FakeValidation)
    loads: FakeLoads = field(default_factory=FakeLoads)
    files: FakeFiles = field(default_factory=FakeFiles)
    addresses: dict[str, str] = field(default_factory=dict)

    async def start(self, **other: Any) -> Service:
        if not self.addresses:
            self.addresses["upload_addr"] = await serve_upload(self.stack, self.files)
            self.addresses["validation_addr"] = await serve_validation(
                self.stack, self.validation, self.files
            )
            self.addresses["druid_gateway_addr"] = await serve_druid_gateway(self.stack, self.loads)
        defaults: dict[str, Any] = {
            "lease_s": 2,
            "retry_first_s": 0.2,
            "retry_max_s": 0.5,
            "verify_settle_s": 0.5,
            "shutdown_grace_s": 0.5,
        }
        settings = Settings(
            bind_addr="127.0.0.1:0",
            database_url=self.database_url,
            **{**defaults, **self.addresses, **other},
        )
        life = await self.stack.enter_async_context(AsyncExitStack())
        port = await build(life, settings)
        channel = channels.connect(f"127.0.0.1:{port}")
        self.stack.push_async_callback(channel.close)
        return Service(
            self.database_url,
            StatusServiceStub(channel),
            port,
            self.validation,
            self.loads,
            self.files,
            settings,
            life,
        )


@pytest.fixture
async def services(database_url: str) -> AsyncIterator[Services]:
    async with AsyncExitStack() as stack:
        yield Services(database_url, stack)


@pytest.fixture
async def service(services: Services, database_url: str) -> Service:
    await migrate(database_url)
    return await services.start()


async def until(condition: Callable[[], Awaitable[bool]], within_s: float = 20) -> float:
    """Seconds until the condition holds; fails when it does not within the time."""
    began = monotonic()
    while not await condition():
        assert monotonic() - began < within_s, f"not within {within_s:g} s"
        await asyncio.sleep(0.02)
    return monotonic() - began
