"""The deployment of docker-compose.yml, from building it to removing it. The tests of this file run in its order."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic

import boto3
import httpx
import pytest

from sluice_client import SluiceClient
from tests.compose.stack import OURS, PROJECT, ROOT, Compose, docker
from tests.e2e.edge import Edge
from tests.tables import sales_csv

MIB = 1024 * 1024
OWN_LAYERS_MAX_BYTES = 200 * MIB
ROWS = 10_194


def superstore(hard_files: Path) -> Path:
    return hard_files / "sales" / "Sample - Superstore.csv"


def test_layers_are_small(compose: Compose, say: Callable[[str], None]) -> None:
    base = json.loads(docker("image", "inspect", "python:3.11-slim"))[0]
    lines = [f"python:3.11-slim {base['Size'] / MIB:.0f} MiB"]
    for name in OURS:
        image = json.loads(docker("image", "inspect", f"sluice/{name}:test"))[0]
        assert image["RootFS"]["Layers"][: len(base["RootFS"]["Layers"])] == base["RootFS"]["Layers"]
        own = image["Size"] - base["Size"]
        lines.append(f"sluice/{name} {own / MIB:.0f} MiB over its base")
        assert own <= OWN_LAYERS_MAX_BYTES, lines
    say("\n".join(lines))


@pytest.mark.parametrize("name", OURS)
def test_nothing_in_an_image_that_does_not_belong(compose: Compose, name: str) -> None:
    """No compiler, no cache, no installer's leftovers, no secret, no code of another service."""
    script = (
        "id -u; command -v gcc cc strip uv git; find / -xdev \\( -name docker.env -o -name .env \\) 2>/dev/null;"
        " ls -A /root/.cache /build /wheel 2>/dev/null; ls -A /app/services 2>/dev/null"
    )
    found = docker("run", "--rm", "--entrypoint", "sh", f"sluice/{name}:test", "-c", script).splitlines()
    assert found[0] == "10001"
    assert set(found[1:]) == {"__init__.py", "common", *({name} if name != "gateway" else set())}
    assert json.loads(docker("image", "inspect", f"sluice/{name}:test"))[0]["Config"]["User"] == "10001:10001"


@pytest.mark.parametrize("name", OURS)
def test_each_process_is_confined(compose: Compose, name: str) -> None:
    container = compose.containers()[name]
    host = container["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["Memory"] > 0
    assert "no-new-privileges:true" in host["SecurityOpt"]
    environment = dict(item.split("=", 1) for item in container["Config"]["Env"])
    has_keys, has_database = bool(environment.get("AWS_SECRET_ACCESS_KEY")), bool(environment.get("DATABASE_URL"))
    assert (has_keys, has_database) == (name in {"upload", "validation"}, name == "status")
    assert not environment.get("POSTGRES_PASSWORD")


def test_ports_are_on_the_loopback_only(compose: Compose) -> None:
    for service, container in compose.containers().items():
        for bindings in container["HostConfig"]["PortBindings"].values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}, service


async def test_superstore(compose: Compose, edge: Edge, hard_files: Path, new_datasource: Callable[[str], str]) -> None:
    """By curl, as the README says it."""
    datasource = new_datasource("superstore")
    command = [
        "curl",
        "-sS",
        "-F",
        f"datasource_name={datasource}",
        "-F",
        f"file=@{superstore(hard_files)}",
        f"{compose.edge}/api/ingest/upload",
    ]
    sent = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    accepted = json.loads(sent.stdout)
    assert accepted["status"] == "ACCEPTED", accepted
    task = await edge.succeeded(accepted["task_id"], 240)
    assert (task["row_count"], task["rows_read"], task["rows_rejected"]) == (ROWS, ROWS, 0)
    assert await edge.rows_in_druid(datasource) == ROWS


def test_the_page_is_on_both_ports(compose: Compose) -> None:
    pages = [httpx.get(f"http://127.0.0.1:{compose.ports[name]}/") for name in ("GATEWAY_PORT", "PAGE_PORT")]
    assert [page.status_code for page in pages] == [200, 200]
    assert "<html" in pages[1].text
    assert pages[0].text == pages[1].text


def kill(compose: Compose, service: str) -> None:
    """SIGKILL to the process of a container from inside: docker itself would count its own kill as a wish that it stays down."""
    compose.run("exec", "-T", service, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")


@pytest.mark.parametrize(
    ("service", "state"),
    [
        ("status", "INGESTING"),
        ("druid_gateway", "INGESTING"),
        ("validation", "VALIDATING"),
        ("upload", "VALIDATING"),
        ("gateway", "INGESTING"),
    ],
)
async def test_a_killed_container_comes_back(
    compose: Compose, edge: Edge, new_datasource: Callable[[str], str], service: str, state: str
) -> None:
    """With a task running, which ends right."""
    before = compose.containers()[service]["RestartCount"]
    datasource, rows = new_datasource("killed"), 60_000
    task_id = await edge.upload("killed.csv", sales_csv(rows), datasource)
    await edge.until(task_id, {state, "INGESTING", "VERIFYING"}, 60)
    await asyncio.to_thread(kill, compose, service)
    task = await edge.succeeded(task_id, 240)
    assert task["row_count"] == rows
    assert await edge.rows_in_druid(datasource) == rows
    await healthy(compose, service)
    assert compose.containers()[service]["RestartCount"] == before + 1


async def healthy(compose: Compose, service: str) -> None:
    deadline = monotonic() + 90
    while compose.containers()[service]["State"].get("Health", {}).get("Status") != "healthy":
        assert monotonic() < deadline, f"{service} is not healthy again"
        await asyncio.sleep(0.5)


def test_segments_and_task_logs_are_in_the_bucket(compose: Compose) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{compose.ports['S3_PORT']}",
        region_name="us-east-1",
        aws_access_key_id=compose.secret("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=compose.secret("AWS_SECRET_ACCESS_KEY"),
    )
    for prefix in ("druid/segments/", "druid/indexing-logs/", "uploads/", "tasks/"):
        assert s3.list_objects_v2(Bucket=compose.secret("S3_BUCKET_NAME"), Prefix=prefix).get("KeyCount"), prefix


def test_druid_read_by_its_own_keys_and_keeps_its_metadata_in_postgresql(compose: Compose) -> None:
    sql = "SELECT convert_from(payload, 'UTF8') FROM druid_tasks WHERE id LIKE 'sluice-%' LIMIT 1"
    payload = compose.run("exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "druid", "-Atc", sql).stdout
    source = json.loads(payload)["spec"]["ioConfig"]["inputSource"]
    assert source["type"] == "s3"
    assert all(uri.startswith("s3://") for uri in source["uris"])
    assert "Signature" not in payload


@pytest.mark.parametrize("name", OURS)
def test_a_stop_ends_within_its_grace(compose: Compose, name: str) -> None:
    began = monotonic()
    compose.run("stop", name)
    assert monotonic() - began < 14, "it was killed when its grace was over"
    assert compose.containers()[name]["State"]["ExitCode"] == 0
    compose.run("start", name)


async def test_up_again_changes_nothing(compose: Compose) -> None:
    """The containers that run once may run again: the bucket is there, the tables are there."""
    before = {name: item["Id"] for name, item in compose.containers().items()}
    compose.run("up", "--detach", "--wait", "--wait-timeout", "240")
    assert {name: item["Id"] for name, item in compose.containers().items()} == before
    assert "was there" in compose.run("logs", "bucket").stdout


WRONG = [
    pytest.param(
        "migrate",
        {"DATABASE_URL": "postgresql://sluice:wrong@postgres:5432/sales_analytics"},
        "password authentication failed",
        id="password",
    ),
    pytest.param(
        "migrate",
        {"DATABASE_URL": "postgresql://sluice:wrong@nowhere:5432/sales_analytics"},
        "nowhere|Name or service|resolution",
        id="no such host",
    ),
    pytest.param("bucket", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", id="secret key"),
    pytest.param("bucket", {"AWS_ACCESS_KEY_ID": "nobody"}, "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", id="access key"),
    pytest.param("bucket", {"S3_BUCKET_NAME": "Not A Bucket"}, "S3_BUCKET_NAME", id="bucket name"),
]


@pytest.mark.parametrize(("service", "wrong", "said"), WRONG)
def test_wrong_credentials_are_named(compose: Compose, service: str, wrong: dict[str, str], said: str) -> None:
    variables = [part for name, value in wrong.items() for part in ("-e", f"{name}={value}")]
    done = compose.run("run", "--rm", "--no-deps", "-T", *variables, service, check=False, timeout=120)
    assert done.returncode not in {0, 137}
    output = done.stdout + done.stderr
    assert any(part in output for part in said.split("|")), output[-2000:]
    assert not any(value in output for name, value in wrong.items() if "SECRET" in name)


def doctor(compose: Compose) -> subprocess.CompletedProcess[str]:
    """`make doctor` on this deployment."""
    return subprocess.run(
        [sys.executable, "-m", "deploy.doctor", "--env-file", compose.folder / "docker.env", "--gateway", compose.edge],
        cwd=ROOT,
        env={**compose.environment, "COMPOSE_PROJECT_NAME": PROJECT},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


async def test_the_doctor(compose: Compose) -> None:
    """Nothing is wrong; then a service is away, and that is what it says."""
    well = await asyncio.to_thread(doctor, compose)
    assert well.stdout.endswith("\nNothing is wrong.\n"), well.stdout + well.stderr
    assert well.returncode == 0
    compose.run("stop", "validation")
    ill = await asyncio.to_thread(doctor, compose)
    compose.run("start", "validation")
    assert ill.returncode == 1
    assert "FAULT   validation: is UNREACHABLE" in ill.stdout
    assert all(compose.secret(name) not in well.stdout + ill.stdout for name in ("AWS_SECRET_ACCESS_KEY", "SLUICE_DATABASE_PASSWORD"))
    await healthy(compose, "validation")


async def test_grpc_from_outside(compose: Compose, edge: Edge, hard_files: Path, new_datasource: Callable[[str], str]) -> None:
    """With the override file: the client of the services, and grpcurl with nothing but an address."""
    compose.run("up", "--detach", "--wait", "--wait-timeout", "240", layers=("grpc",))
    address = {name: f"127.0.0.1:{compose.ports[f'{name.upper()}_PORT']}" for name in OURS if name != "gateway"}
    datasource = new_datasource("superstore_grpc")
    async with SluiceClient(
        upload_addr=address["upload"],
        status_addr=address["status"],
        validation_addr=address["validation"],
        druid_gateway_addr=address["druid_gateway"],
    ) as client:
        task = await client.wait(await client.upload(superstore(hard_files), datasource))
    assert task.rows_loaded == ROWS, task
    listed = await asyncio.create_subprocess_exec(
        ROOT / ".venv/bin/grpcurl", "-plaintext", address["status"], "list", stdout=asyncio.subprocess.PIPE
    )
    assert b"sluice.status.v1.StatusService" in (await listed.communicate())[0]
    assert await edge.rows_in_druid(datasource) == ROWS


def replicas(service: str) -> list[str]:
    """Ids of its running containers."""
    project = ("--filter", f"label=com.docker.compose.project={PROJECT}")
    return docker("ps", "--quiet", *project, "--filter", f"label=com.docker.compose.service={service}").split()


def calls(container: str) -> int:
    """Lines that a service wrote about a task, each of which follows from a call to it."""
    done = subprocess.run(["docker", "logs", container], capture_output=True, text=True, check=True)
    return sum('"task_id"' in line for line in (done.stdout + done.stderr).splitlines())


async def accepted(edge: Edge, name: str, content: bytes, datasource: str) -> str:
    """Task id of a file that is sent again while the answer is 503, as `curl --retry` does."""
    deadline = monotonic() + 30
    while True:
        answer = await edge.post_file(name, content, datasource)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text
            return str(answer.json()["task_id"])
        assert monotonic() < deadline, answer.text
        await asyncio.sleep(0.5)


async def test_two_of_each(compose: Compose, edge: Edge, new_datasource: Callable[[str], str]) -> None:
    """Load spreads over both; with one of each killed while files come in, every accepted file ends in Druid, once."""
    compose.run("up", "--detach", "--wait", "--wait-timeout", "240", layers=("replicas",))
    datasource, rows = new_datasource("replicas"), 500
    services = [name for name in OURS if name != "gateway"]
    assert all(len(replicas(name)) == 2 for name in OURS)
    first = [await accepted(edge, f"{seed}.csv", sales_csv(rows, seed), datasource) for seed in range(6)]
    for task_id in first:
        await edge.succeeded(task_id, 300)
    spread = {name: [calls(container) for container in replicas(name)] for name in services}
    assert all(min(counts) > 0 for counts in spread.values()), spread
    second = []
    for seed, name in enumerate(services, start=10):
        second.append(await accepted(edge, f"{seed}.csv", sales_csv(rows, seed), datasource))
        await asyncio.to_thread(docker, "exec", replicas(name)[0], "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)")
    for task_id in second:
        await edge.succeeded(task_id, 300)
    assert await edge.rows_in_druid(datasource) == rows * (len(first) + len(second))


def test_down_leaves_nothing(compose: Compose) -> None:
    """Last: what it removes is not there for another test."""
    compose.run("down", "--volumes", "--remove-orphans")
    label = f"label=com.docker.compose.project={PROJECT}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""
    assert docker("volume", "ls", "--quiet", "--filter", label) == ""
    assert docker("network", "ls", "--quiet", "--filter", label) == ""
