"""Each process starts while its dependencies are unavailable: it reports them, waits, and ends
cleanly on SIGTERM.
"""

import asyncio
import signal
import socket
from pathlib import Path
from time import monotonic

import httpx
import pytest
from grpc import aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.contract.services import SERVICES
from tests.processes import running

ROOT = Path(__file__).parents[2]
NOWHERE = "127.0.0.1:9"
"""The discard port, on which nothing listens."""

AWAY = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_ENDPOINT_URL_S3": f"http://{NOWHERE}",
    "S3_BUCKET_NAME": "bucket",
    "DATABASE_URL": f"postgresql://nobody:nothing@{NOWHERE}/sluice",
    "DRUID_URL": f"http://{NOWHERE}",
    "UPLOAD_ADDR": NOWHERE,
    "VALIDATION_ADDR": NOWHERE,
    "DRUID_GATEWAY_ADDR": NOWHERE,
    "STATUS_ADDR": NOWHERE,
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_it_listens(port: int) -> None:
    deadline = monotonic() + 20
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            assert monotonic() < deadline, "the process does not listen"
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return


async def ends_cleanly(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await process.wait() == 0


@pytest.mark.parametrize("name", SERVICES)
async def test_a_service_waits_for_its_stores(name: str, tmp_path: Path) -> None:
    port = free_port()
    environment = {**AWAY, "BIND_ADDR": f"127.0.0.1:{port}", "SPOOL_DIR": str(tmp_path)}
    async with running([f"services.{name}"], environment) as process:
        await until_it_listens(port)
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            asked = health_pb2.HealthCheckRequest(service=SERVICES[name].full_name)
            answer = await health_pb2_grpc.HealthStub(channel).Check(asked, timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        await ends_cleanly(process)


async def test_the_gateway_names_unavailable_services() -> None:
    port = free_port()
    async with (
        running(["gateway"], {**AWAY, "BIND_ADDR": f"127.0.0.1:{port}"}) as process,
        httpx.AsyncClient() as http,
    ):
        await until_it_listens(port)
        assert (await http.get(f"http://127.0.0.1:{port}/healthz")).status_code == 200
        ready = await http.get(f"http://127.0.0.1:{port}/readyz", timeout=20)
        assert ready.status_code == 503
        assert set(ready.json()["services"]) == set(SERVICES)
        assert set(ready.json()["services"].values()) == {"UNREACHABLE"}
        tasks = await http.get(f"http://127.0.0.1:{port}/api/ingest/tasks", timeout=20)
        assert (tasks.status_code, tasks.json()["code"]) == (503, "SERVICE_UNAVAILABLE")
        await ends_cleanly(process)


@pytest.mark.parametrize("module", ["gateway", *(f"services.{name}" for name in SERVICES)])
async def test_a_missing_variable_is_named(module: str) -> None:
    async with running([module], {}) as process:
        _, stderr = await process.communicate()
        assert process.returncode == 2
        assert (b"STATUS_ADDR" if module == "gateway" else b"BIND_ADDR") + b": is not set" in stderr


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with running(["services.upload"], {**AWAY, "BIND_ADDR": address}) as process:
            _, stderr = await process.communicate()
            assert process.returncode == 3
            assert f"BIND_ADDR={address}".encode() in stderr
