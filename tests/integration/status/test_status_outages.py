"""What happens when something is away or dies: PostgreSQL, a neighbour, or the status process
itself.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.common import errors
from services.common.serving import channels
from services.status.db.migrate import migrate
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1 import status_pb2
from sluice.status.v1.status_pb2_grpc import StatusServiceStub
from tests.integration.status.conftest import Service, Services, create_request, terminate, until
from tests.integration.status.neighbours import serve_druid_gateway, serve_upload, serve_validation
from tests.unit.status.fakes import ROWS

ROOT = Path(__file__).parents[3]


class Proxy:
    """A way to PostgreSQL that can be cut and mended."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._target)
        self._open |= {writer, up_writer}
        try:
            await asyncio.gather(_copy(reader, up_writer), _copy(up_reader, writer))
        finally:
            for each in (writer, up_writer):
                each.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[Proxy]:
    parts = urlsplit(database_url)
    made = Proxy(parts.hostname or "", parts.port or 5432)
    await made.mend()
    yield made
    await made.cut()


@pytest.fixture
def proxied_url(database_url: str, proxy: Proxy) -> str:
    parts = urlsplit(database_url)
    return database_url.replace(f":{parts.port}/", f":{proxy.port}/").replace(
        str(parts.hostname), "127.0.0.1"
    )


async def health(port: int) -> "health_pb2.HealthCheckResponse.ServingStatus.ValueType":
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        return (
            await health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=5
            )
        ).status


async def test_migrations_may_run_twice_and_at_once(database_url: str) -> None:
    await asyncio.gather(*(migrate(database_url) for _ in range(4)))
    await migrate(database_url)
    connection = await asyncpg.connect(database_url)
    assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    await connection.close()


async def test_it_starts_while_postgresql_is_away(
    proxied_url: str, proxy: Proxy, database_url: str
) -> None:
    await proxy.cut()
    async with AsyncExitStack() as stack:
        service = await Services(proxied_url, stack).start()
        with pytest.raises(grpc.RpcError) as failure:
            await service.get("00000000-0000-4000-8000-000000000000")
        assert errors.from_rpc(failure.value, "status").code == "DATABASE_UNAVAILABLE"
        assert await health(service.port) == health_pb2.HealthCheckResponse.NOT_SERVING
        await proxy.mend()

        async def serving() -> bool:
            return bool(await health(service.port) == health_pb2.HealthCheckResponse.SERVING)

        await until(serving)
        task = await service.upload()
        assert (await service.ended(task.task_id)).state == TaskState.TASK_STATE_SUCCEEDED


async def test_an_outage_of_postgresql_costs_nothing(proxied_url: str, proxy: Proxy) -> None:
    async with AsyncExitStack() as stack:
        service = await Services(proxied_url, stack).start()
        service.loads.gate.clear()
        task = await service.upload()
        await service.reached(task.task_id, TaskState.TASK_STATE_INGESTING)
        await asyncio.wait_for(service.loads.began.wait(), 5)
        await proxy.cut()
        service.loads.gate.set()
        with pytest.raises(grpc.RpcError):
            await service.get(task.task_id)
        await proxy.mend()
        ended = await service.ended(task.task_id)
        assert (ended.state, ended.rows_loaded, service.loads.submits) == (
            TaskState.TASK_STATE_SUCCEEDED,
            ROWS,
            1,
        )


async def test_backends_that_die_in_a_stream_cost_nothing(
    service: Service, sql: "asyncpg.Connection[asyncpg.Record]"
) -> None:
    async def kill() -> None:
        while True:
            await terminate(sql, share=0.3)
            await asyncio.sleep(0.1)

    made = [(await service.upload()).task_id for _ in range(20)]
    killing = asyncio.create_task(kill())

    async def all_ended() -> bool:
        return bool(
            await sql.fetchval(
                "SELECT count(*) = 20 FROM ingestion_tasks WHERE completed_at IS NOT NULL"
            )
        )

    try:
        await until(all_ended, 60)
    finally:
        killing.cancel()
        await asyncio.wait([killing])
    for task_id in made:
        ended = await service.ended(task_id)
        assert (ended.state, service.loads.rows_of(task_id)) == (
            TaskState.TASK_STATE_SUCCEEDED,
            ROWS,
        )
        assert [event.sequence for event in await service.events(task_id)] == list(
            range(1, ended.last_sequence + 1)
        )


async def test_a_neighbour_that_is_away_is_waited_for(
    services: Services, database_url: str
) -> None:
    await migrate(database_url)
    async with AsyncExitStack() as life:
        address = await serve_druid_gateway(life, services.loads)
        services.addresses["druid_gateway_addr"] = address
        services.loads.gate.clear()
        services.addresses["upload_addr"] = await serve_upload(services.stack, services.files)
        services.addresses["validation_addr"] = await serve_validation(
            services.stack, services.validation, services.files
        )
        service = await services.start(stage_attempts=1)
        task = await service.upload()
        await service.reached(task.task_id, TaskState.TASK_STATE_INGESTING)
    retries = 0
    async for answer in service.stub.WatchTask(status_pb2.WatchTaskRequest(task_id=task.task_id)):
        if answer.event.kind == status_pb2.EVENT_KIND_RETRY:
            assert "trying again in" in answer.event.message
            assert answer.event.problem.code
            retries += 1
        if retries == 3:
            break
    services.loads.gate.set()
    await serve_druid_gateway(services.stack, services.loads, address)
    assert (await service.ended(task.task_id)).state == TaskState.TASK_STATE_SUCCEEDED


async def test_a_stopped_process_hands_over_within_two_seconds(
    services: Services, database_url: str
) -> None:
    await migrate(database_url)
    one = await services.start(lease_s=30)
    services.loads.gate.clear()
    task = await one.upload()
    await one.reached(task.task_id, TaskState.TASK_STATE_INGESTING)
    await asyncio.wait_for(services.loads.began.wait(), 5)
    two = await services.start(lease_s=30)
    services.loads.gate.set()
    services.loads.gate.clear()
    before = (await one.get(task.task_id)).attempt
    began = monotonic()
    await one.life.aclose()

    async def taken() -> bool:
        return (await two.get(task.task_id)).attempt > before

    await until(taken)
    assert monotonic() - began < 2
    services.loads.gate.set()
    ended = await two.ended(task.task_id)
    assert (ended.state, services.loads.submits) == (TaskState.TASK_STATE_SUCCEEDED, 1)


@asynccontextmanager
async def process(
    service: Service,
) -> AsyncIterator[tuple[asyncio.subprocess.Process, StatusServiceStub]]:
    """A status process of its own, with the neighbours of `service`; killed at the end if it still
    runs.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "BIND_ADDR": "127.0.0.1:0",
        "DATABASE_URL": service.database_url,
        "VALIDATION_ADDR": service.settings.validation_addr,
        "DRUID_GATEWAY_ADDR": service.settings.druid_gateway_addr,
        "UPLOAD_ADDR": service.settings.upload_addr,
        "LEASE_S": "2",
    }
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.status",
        cwd=ROOT,
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    assert started.stderr is not None
    port = 0
    while not port:
        line = json.loads(await started.stderr.readline())
        port = line.get("port", 0)
    draining = asyncio.create_task(started.stderr.read())
    channel = channels.connect(f"127.0.0.1:{port}")
    try:
        yield started, StatusServiceStub(channel)
    finally:
        await channel.close()
        if started.returncode is None:
            started.kill()
        await started.wait()
        await draining


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP], ids=lambda how: how.name
)
async def test_a_process_may_die_at_any_moment(
    services: Services, database_url: str, how: signal.Signals
) -> None:
    await migrate(database_url)
    other = await services.start(pipeline_workers=0)
    services.loads.gate.clear()
    async with process(other) as (running, stub):
        task = (await stub.CreateTask(create_request(), timeout=10)).task
        await stub.CompleteUpload(
            status_pb2.CompleteUploadRequest(task_id=task.task_id, file_size=1)
        )
        await asyncio.wait_for(services.loads.began.wait(), 10)
        running.send_signal(how)
        began = monotonic()
        second = await services.start()
        services.loads.gate.set()
        ended = await second.ended(task.task_id)
        assert monotonic() - began < 6
        if how is signal.SIGTERM:
            assert await asyncio.wait_for(running.wait(), 5) == 0
        if how is signal.SIGSTOP:
            running.send_signal(signal.SIGCONT)
            # The frozen worker has to have noticed, which it tells by ending when asked to.
            running.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(running.wait(), 10) == 0
            assert (await second.get(task.task_id)) == ended
    assert (ended.state, ended.rows_loaded, services.loads.submits) == (
        TaskState.TASK_STATE_SUCCEEDED,
        ROWS,
        1,
    )
