"""The deployment of docker-compose.yml, from build to removal. The tests run in order."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import boto3
import httpx
import pytest

from tests.compose.stack import OURS, PROJECT, ROOT, Compose, docker
from tests.e2e.gateway import Gateway
from tests.processes import running
from tests.tables import sales_csv

MIB = 1024 * 1024
OWN_LAYERS_MAX_BYTES = 200 * MIB
ROWS = 10_194
METRICS_PORT = 9464
PROMETHEUS = "prom/prometheus:v3.5.0"
ANSWERED = "sluice_rpcs_total"
RECEIVING = 'sluice_rpcs_running{method="sluice.upload.v1.UploadService/WriteUpload"}'


def superstore(hard_files: Path) -> Path:
    return hard_files / "sales" / "Sample - Superstore.csv"


def test_layers_are_small(compose: Compose, say: Callable[[str], None]) -> None:
    base = json.loads(docker("image", "inspect", "python:3.11-slim"))[0]
    lines = [f"python:3.11-slim {base['Size'] / MIB:.0f} MiB"]
    for name in OURS:
        image = json.loads(docker("image", "inspect", f"sluice/{name}:test"))[0]
        assert (
            image["RootFS"]["Layers"][: len(base["RootFS"]["Layers"])] == base["RootFS"]["Layers"]
        )
        own = image["Size"] - base["Size"]
        lines.append(f"sluice/{name} {own / MIB:.0f} MiB over its base")
        assert own <= OWN_LAYERS_MAX_BYTES, lines
    say("\n".join(lines))


@pytest.mark.parametrize("name", OURS)
def test_nothing_in_an_image_that_does_not_belong(compose: Compose, name: str) -> None:
    """No compiler, caches, installer leftovers, secrets or code of other services."""
    script = (
        "id -u; command -v gcc cc strip uv git; find / -xdev \\( -name docker.env -o -name .env \\) 2>/dev/null;"
        " ls -A /root/.cache /build /wheel 2>/dev/null; ls -A /app/services 2>/dev/null"
    )
    found = docker(
        "run", "--rm", "--entrypoint", "sh", f"sluice/{name}:test", "-c", script
    ).splitlines()
    assert found[0] == "10001"
    assert set(found[1:]) == {"__init__.py", "common", *({name} if name != "gateway" else set())}
    assert (
        json.loads(docker("image", "inspect", f"sluice/{name}:test"))[0]["Config"]["User"]
        == "10001:10001"
    )


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
    has_keys, has_database = (
        bool(environment.get("AWS_SECRET_ACCESS_KEY")),
        bool(environment.get("DATABASE_URL")),
    )
    assert (has_keys, has_database) == (name in {"upload", "validation"}, name == "status")
    assert not environment.get("POSTGRES_PASSWORD")


def test_ports_are_on_the_loopback_only(compose: Compose) -> None:
    for service, container in compose.containers().items():
        for bindings in container["HostConfig"]["PortBindings"].values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}, service


async def test_superstore(
    compose: Compose, gateway: Gateway, hard_files: Path, new_datasource: Callable[[str], str]
) -> None:
    """With curl, as in the README."""
    datasource = new_datasource("superstore")
    command = [
        "curl",
        "-sS",
        "-F",
        f"datasource_name={datasource}",
        "-F",
        f"file=@{superstore(hard_files)}",
        f"{compose.gateway}/api/ingest/upload",
    ]
    sent = await asyncio.to_thread(
        subprocess.run, command, capture_output=True, text=True, check=True
    )
    accepted = json.loads(sent.stdout)
    assert accepted["status"] == "ACCEPTED", accepted
    task = await gateway.succeeded(accepted["task_id"], 240)
    assert (task["row_count"], task["rows_read"], task["rows_rejected"]) == (ROWS, ROWS, 0)
    assert await gateway.rows_in_druid(datasource) == ROWS


def test_the_page_is_on_both_ports(compose: Compose) -> None:
    pages = [
        httpx.get(f"http://127.0.0.1:{compose.ports[name]}/")
        for name in ("GATEWAY_PORT", "PAGE_PORT")
    ]
    assert [page.status_code for page in pages] == [200, 200]
    assert "<html" in pages[1].text
    assert pages[0].text == pages[1].text


async def test_the_page_works_in_a_browser(
    compose: Compose, gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    """On port 3000, in Chromium: all requests go to the page's host and port."""
    program = (
        os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    )
    if program is None:
        pytest.skip("no Chromium is installed (CHROMIUM=... names one)")
    name = f"shown-{uuid4().hex[:8]}.csv"
    await gateway.upload(name, sales_csv(100), new_datasource("shown"))
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=8000",
        "--timeout=20000",
        "--dump-dom",
    ]
    page = await output(program, *options, f"http://127.0.0.1:{compose.ports['PAGE_PORT']}/")
    assert name in page, page[:4000]


def kill(compose: Compose, service: str) -> None:
    """Send SIGKILL from inside the container; Docker does not restart containers that it killed."""
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
async def test_a_killed_container_is_restarted(
    compose: Compose,
    gateway: Gateway,
    new_datasource: Callable[[str], str],
    service: str,
    state: str,
) -> None:
    """With a running task, which must end correctly."""
    before = compose.containers()[service]["RestartCount"]
    datasource, rows = new_datasource("killed"), 60_000
    task_id = await gateway.upload("killed.csv", sales_csv(rows), datasource)
    await gateway.until(task_id, {state, "INGESTING", "VERIFYING"}, 60)
    await asyncio.to_thread(kill, compose, service)
    task = await gateway.succeeded(task_id, 240)
    assert task["row_count"] == rows
    # The task may have ended before the kill; the query needs the service again.
    await gateway.ready()
    assert await gateway.rows_in_druid(datasource) == rows
    await healthy(compose, service)
    assert compose.containers()[service]["RestartCount"] == before + 1


async def healthy(compose: Compose, service: str) -> None:
    deadline = monotonic() + 180
    while compose.containers()[service]["State"].get("Health", {}).get("Status") != "healthy":
        assert monotonic() < deadline, f"{service} is not healthy again"
        await asyncio.sleep(0.5)


def bucket(compose: Compose) -> Any:
    """An S3 client of the bucket."""
    s3 = boto3.resource(
        "s3",
        endpoint_url=f"http://127.0.0.1:{compose.ports['S3_PORT']}",
        region_name="us-east-1",
        aws_access_key_id=compose.secret("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=compose.secret("AWS_SECRET_ACCESS_KEY"),
    )
    return s3.Bucket(compose.secret("S3_BUCKET_NAME"))


def test_segments_and_task_logs_are_in_the_bucket(compose: Compose) -> None:
    for prefix in ("druid/segments/", "druid/indexing-logs/", "uploads/", "tasks/"):
        assert list(bucket(compose).objects.filter(Prefix=prefix).limit(1)), prefix


def test_druid_read_by_its_own_keys_and_keeps_its_metadata_in_postgresql(compose: Compose) -> None:
    sql = "SELECT convert_from(payload, 'UTF8') FROM druid_tasks WHERE id LIKE 'sluice-%' LIMIT 1"
    payload = compose.run(
        "exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "druid", "-Atc", sql
    ).stdout
    source = json.loads(payload)["spec"]["ioConfig"]["inputSource"]
    assert source["type"] == "s3"
    assert all(uri.startswith("s3://") for uri in source["uris"])
    assert "Signature" not in payload


@pytest.mark.parametrize("name", OURS)
def test_a_stop_ends_within_its_grace(compose: Compose, name: str) -> None:
    began = monotonic()
    compose.run("stop", name)
    took, status = monotonic() - began, compose.containers()[name]["State"]["ExitCode"]
    compose.run("start", name)
    assert status == 0, f"it ended with status {status} after {took:.0f} s"
    assert took < 14, "it was killed when its grace was over"


async def test_up_again_changes_nothing(compose: Compose) -> None:
    """The one-time containers are idempotent."""
    before = {name: item["Id"] for name, item in compose.containers().items()}
    compose.run("up", "--detach", "--wait", "--wait-timeout", "240")
    assert {name: item["Id"] for name, item in compose.containers().items()} == before
    assert "already exists" in compose.run("logs", "bucket").stdout


WRONG = [
    pytest.param(
        "migrate",
        {"DATABASE_URL": "postgresql://sluice:wrong@postgres:5432/sales_analytics"},
        "Check user and password in DATABASE_URL",
        id="password",
    ),
    pytest.param(
        "migrate",
        {"DATABASE_URL": "postgresql://sluice:wrong@nowhere:5432/sales_analytics"},
        "nowhere|Name or service|resolution",
        id="no such host",
    ),
    pytest.param(
        "bucket",
        {"AWS_SECRET_ACCESS_KEY": "wrong"},
        "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        id="secret key",
    ),
    pytest.param(
        "bucket",
        {"AWS_ACCESS_KEY_ID": "nobody"},
        "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        id="access key",
    ),
    pytest.param("bucket", {"S3_BUCKET_NAME": "Not A Bucket"}, "S3_BUCKET_NAME", id="bucket name"),
]


@pytest.mark.parametrize(("service", "wrong", "said"), WRONG)
def test_wrong_credentials_are_named(
    compose: Compose, service: str, wrong: dict[str, str], said: str
) -> None:
    variables = [part for name, value in wrong.items() for part in ("-e", f"{name}={value}")]
    done = compose.run(
        "run", "--rm", "--no-deps", "-T", *variables, service, check=False, timeout=120
    )
    assert done.returncode not in {0, 137}
    output = done.stdout + done.stderr
    assert any(part in output for part in said.split("|")), output[-2000:]
    assert not any(value in output for name, value in wrong.items() if "SECRET" in name)


async def logs(container: str) -> str:
    """Return its whole log."""
    process = await asyncio.create_subprocess_exec(
        "docker",
        "logs",
        container,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode()


async def failing(container: str, seconds: float = 60) -> dict[str, str]:
    """Wait until the container logs failing stores; return store -> failure."""
    deadline = monotonic() + seconds
    while True:
        lines = (await logs(container)).splitlines()
        changes = [json.loads(line) for line in lines if '"readiness.changed"' in line]
        if changes and not changes[-1]["ready"]:
            return dict(changes[-1]["failing"])
        assert monotonic() < deadline, lines[-5:]
        await asyncio.sleep(0.5)


WRONG_STORES = [
    (
        "status",
        "DATABASE_URL",
        "postgresql://sluice:wrong-one@postgres/sales_analytics",
        "postgresql",
        "Check user and password in DATABASE_URL",
    ),
    ("upload", "AWS_SECRET_ACCESS_KEY", "wrong-one", "s3", "403"),
    ("validation", "AWS_ACCESS_KEY_ID", "nobody", "s3", "403"),
    ("validation", "S3_BUCKET_NAME", "no-such-bucket", "s3", "404"),
    ("druid_gateway", "DRUID_URL", "http://seaweedfs:8333", "druid_router", "40"),
]


@pytest.mark.parametrize(
    ("service", "variable", "value", "store", "said"),
    WRONG_STORES,
    ids=[f"{row[0]}-{row[1]}" for row in WRONG_STORES],
)
async def test_a_store_that_rejects_is_named_and_retried(
    compose: Compose, service: str, variable: str, value: str, store: str, said: str
) -> None:
    """The process neither exits nor restarts: it is not ready, and logs why."""
    container = compose.run(
        "run", "--detach", "--no-deps", "-e", f"{variable}={value}", service
    ).stdout.split()[-1]
    try:
        failures = await failing(container)
        assert said in failures[store]
        assert "wrong-one" not in await logs(container)
        assert json.loads(await asyncio.to_thread(docker, "inspect", container))[0]["State"][
            "Running"
        ]
    finally:
        await asyncio.to_thread(docker, "rm", "--force", container)


async def test_stores_that_start_late(
    compose: Compose, gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    """Services that start before their stores log what they wait for, do not exit, and work once
    the stores are available.
    """
    stores = ("postgres", "seaweedfs", "router")
    ids = {name: container["Id"] for name, container in compose.containers().items()}
    compose.run("stop", *OURS, *stores)
    docker("start", *(ids[name] for name in OURS))
    for name, store in {
        "status": "postgresql",
        "upload": "s3",
        "validation": "s3",
        "druid_gateway": "druid_router",
    }.items():
        assert store in await failing(ids[name])
    docker("start", *(ids[name] for name in stores))
    for name in (*stores, *OURS):
        await healthy(compose, name)
    assert {name: compose.containers()[name]["RestartCount"] for name in OURS} == dict.fromkeys(
        OURS, 0
    )
    datasource = new_datasource("late")
    await gateway.succeeded(await gateway.upload("late.csv", sales_csv(100), datasource), 240)
    assert await gateway.rows_in_druid(datasource) == 100


def doctor(compose: Compose) -> subprocess.CompletedProcess[str]:
    """Run `make doctor` on this deployment."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "deploy.doctor",
            "--env-file",
            compose.folder / "docker.env",
            "--gateway",
            compose.gateway,
        ],
        cwd=ROOT,
        env={**compose.environment, "COMPOSE_PROJECT_NAME": PROJECT},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


async def test_the_doctor(compose: Compose) -> None:
    """No problems; then a stopped service is reported."""
    well = await asyncio.to_thread(doctor, compose)
    assert well.stdout.endswith("\nNo problems found.\n"), well.stdout + well.stderr
    assert well.returncode == 0
    compose.run("stop", "validation")
    ill = await asyncio.to_thread(doctor, compose)
    compose.run("start", "validation")
    assert ill.returncode == 1
    assert "FAULT   validation: is UNREACHABLE" in ill.stdout
    assert all(
        compose.secret(name) not in well.stdout + ill.stdout
        for name in ("AWS_SECRET_ACCESS_KEY", "SLUICE_DATABASE_PASSWORD")
    )
    await healthy(compose, "validation")


def addresses(compose: Compose) -> dict[str, str]:
    """Return service -> host:port published by the layer `grpc`."""
    return {
        name: f"127.0.0.1:{compose.ports[f'{name.upper()}_PORT']}"
        for name in OURS
        if name != "gateway"
    }


async def test_grpc_from_outside(
    compose: Compose, gateway: Gateway, hard_files: Path, new_datasource: Callable[[str], str]
) -> None:
    """With the layer `grpc`: the command line, and grpcurl with only an address."""
    compose.run("up", "--detach", "--wait", "--wait-timeout", "240", layers=("grpc",))
    address, datasource = addresses(compose), new_datasource("superstore_grpc")
    command = [
        "sluice_client.cli",
        "upload",
        str(superstore(hard_files)),
        "--datasource",
        datasource,
        "--watch",
        "--json",
    ]
    async with (
        running(command, {f"{name.upper()}_ADDR": at for name, at in address.items()}) as process,
        asyncio.timeout(240),
    ):
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    task = json.loads(out)
    assert (task["status"], task["row_count"]) == ("SUCCEEDED", ROWS)
    assert await gateway.rows_in_druid(datasource) == ROWS
    grpcurl = [str(ROOT / ".venv/bin/grpcurl"), "-plaintext"]
    assert "sluice.upload.v1.UploadService" in await output(*grpcurl, address["upload"], "list")
    asked = json.dumps({"task_id": task["task_id"]})
    answer = json.loads(
        await output(
            *grpcurl, "-d", asked, address["status"], "sluice.status.v1.StatusService/GetTask"
        )
    )
    assert (answer["task"]["state"], answer["task"]["rows_loaded"]) == (
        "TASK_STATE_SUCCEEDED",
        str(ROWS),
    )


async def output(*command: str | Path) -> str:
    """Run a program that must succeed; return its standard output."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode()


def test_vite_in_place_of_the_gateway(compose: Compose) -> None:
    """The layer for work on the page: serves its sources on 3000 and proxies everything else."""
    compose.run(
        "up", "--detach", "--build", "--wait", "--wait-timeout", "240", layers=("dev",), timeout=500
    )
    page = f"http://127.0.0.1:{compose.ports['PAGE_PORT']}"
    with httpx.Client(base_url=page, trust_env=False, timeout=30) as http:
        assert "/@vite/client" in http.get("/").text
        assert "createRoot" in http.get("/src/main.tsx").text
        assert http.get("/api/ingest/tasks").json()["tasks"]
    compose.run("rm", "--stop", "--force", "page", layers=("dev",))


def replicas(service: str) -> list[str]:
    """Return the ids of the service's running containers, without those of `docker run`, which have
    the labels of the image.
    """
    project = (
        "--filter",
        f"label=com.docker.compose.project={PROJECT}",
        "--filter",
        "label=com.docker.compose.oneoff=False",
    )
    return docker(
        "ps", "--quiet", *project, "--filter", f"label=com.docker.compose.service={service}"
    ).split()


async def figure(container: str, name: str) -> float:
    """Return the sum of a metric over its labels. The replica may just have been killed."""
    [network] = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"].values()
    async with httpx.AsyncClient(
        transport=httpx.AsyncHTTPTransport(retries=8), trust_env=False
    ) as http:
        text = (await http.get(f"http://{network['IPAddress']}:{METRICS_PORT}/metrics")).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


async def accepted(gateway: Gateway, name: str, content: bytes, datasource: str) -> str:
    """Upload a file, retrying 503 responses like `curl --retry`; return the task id."""
    deadline = monotonic() + 30
    while True:
        answer = await gateway.post_file(name, content, datasource)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text
            return str(answer.json()["task_id"])
        assert monotonic() < deadline, answer.text
        await asyncio.sleep(0.5)


async def test_two_of_each(
    compose: Compose,
    gateway: Gateway,
    new_datasource: Callable[[str], str],
    say: Callable[[str], None],
) -> None:
    """Both replicas share the load. If one of each is killed during uploads, every accepted file is
    in Druid once.
    """
    compose.run("up", "--detach", "--wait", "--wait-timeout", "240", layers=("replicas",))
    datasource, rows = new_datasource("replicas"), 500
    services = [name for name in OURS if name != "gateway"]
    assert all(len(replicas(name)) == 2 for name in OURS)
    first = [
        await accepted(gateway, f"{seed}.csv", sales_csv(rows, seed), datasource)
        for seed in range(6)
    ]
    for task_id in first:
        await gateway.succeeded(task_id, 300)
    spread = {
        name: [int(await figure(container, ANSWERED)) for container in replicas(name)]
        for name in services
    }
    assert all(min(counts) > 0 for counts in spread.values()), spread
    say(
        "calls answered by each of two replicas: "
        + ", ".join(f"{name} {counts}" for name, counts in spread.items())
    )
    second = []
    for seed, name in enumerate(services, start=10):
        second.append(await accepted(gateway, f"{seed}.csv", sales_csv(rows, seed), datasource))
        await asyncio.to_thread(
            docker, "exec", replicas(name)[0], "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)"
        )
    for task_id in second:
        await gateway.succeeded(task_id, 300)
    assert await gateway.rows_in_druid(datasource) == rows * (len(first) + len(second))


async def test_prometheus_reads_each_replica(compose: Compose) -> None:
    """The layer `observability`: every target responds, every alert can be evaluated."""
    layers = ("replicas", "observability")
    if compose.run(
        "pull", "prometheus", layers=layers, check=False, timeout=120
    ).returncode and not docker("images", "-q", PROMETHEUS):
        pytest.skip(f"{PROMETHEUS} is not here and cannot be pulled")
    compose.run(
        "up",
        "--detach",
        "--no-deps",
        "--wait",
        "--wait-timeout",
        "120",
        "prometheus",
        layers=layers,
    )
    address = f"http://127.0.0.1:{compose.ports['PROMETHEUS_PORT']}/api/v1"
    wanted, deadline = dict.fromkeys(OURS, 2), monotonic() + 90
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            targets = (await http.get(f"{address}/targets")).json()["data"]["activeTargets"]
            up = Counter(
                target["labels"]["service"] for target in targets if target["health"] == "up"
            )
            rules = [
                rule
                for group in (await http.get(f"{address}/rules")).json()["data"]["groups"]
                for rule in group["rules"]
            ]
            if up == wanted and {rule["health"] for rule in rules} == {"ok"}:
                break
            assert monotonic() < deadline, (targets, rules)
            await asyncio.sleep(1)
    compose.run("rm", "--stop", "--force", "prometheus", layers=layers)


@asynccontextmanager
async def half_sent(datasource: str, rows: int) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a client in a separate container that has sent half of a file and waits for a line."""
    script, name = (
        (ROOT / "tests/compose/paused_upload.py").read_text(encoding="utf-8"),
        f"{PROJECT}-client",
    )
    process = await asyncio.create_subprocess_exec(
        *(
            "docker",
            "run",
            "--rm",
            "--interactive",
            "--name",
            name,
            "--network",
            f"{PROJECT}_default",
            "sluice/upload:test",
        ),
        *("python", "-c", script, datasource, str(rows)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"half\n"
        yield process
    finally:
        if process.returncode is None:
            await asyncio.to_thread(docker, "rm", "--force", name)
        await process.communicate()


async def test_an_upload_survives_the_kill_of_any_one(
    compose: Compose, gateway: Gateway, new_datasource: Callable[[str], str]
) -> None:
    """One replica of each service is killed, of upload the one that receives the file: the upload
    resumes with the other.
    """
    compose.run("up", "--detach", "--wait", "--wait-timeout", "240", layers=("replicas",))
    datasource, rows = new_datasource("survivor"), 400_000
    async with half_sent(datasource, rows) as process:
        receiving = [
            container for container in replicas("upload") if await figure(container, RECEIVING)
        ]
        assert len(receiving) == 1
        for container in (
            *receiving,
            *(replicas(name)[0] for name in ("validation", "druid_gateway", "status")),
        ):
            await asyncio.to_thread(
                docker, "exec", container, "sh", "-c", "kill -9 $(cat /proc/1/task/1/children)"
            )
        async with asyncio.timeout(120):
            out, err = await process.communicate(b"go on\n")
    assert process.returncode == 0, err.decode()
    task = await gateway.succeeded(out.decode().strip(), 300)
    assert task["row_count"] == rows
    assert await gateway.rows_in_druid(datasource) == rows


def copy_out(bucket: Any, folder: Path) -> None:
    """Like `aws s3 sync s3://... folder`."""
    for item in bucket.objects.all():
        (folder / item.key).parent.mkdir(parents=True, exist_ok=True)
        bucket.download_file(item.key, str(folder / item.key))


def copy_in(bucket: Any, folder: Path) -> None:
    """Like `aws s3 sync folder s3://...`."""
    for file in folder.rglob("*"):
        if file.is_file():
            bucket.upload_file(str(file), str(file.relative_to(folder)))


async def test_backup_and_restore(
    compose: Compose,
    gateway: Gateway,
    hard_files: Path,
    new_datasource: Callable[[str], str],
    tmp_path: Path,
) -> None:
    """As in the runbook: dump and copy, remove everything, restore into empty volumes; all rows and
    tasks are back.
    """
    datasource = new_datasource("restored")
    task_id = await gateway.upload("restored.csv", superstore(hard_files), datasource)
    await gateway.succeeded(task_id, 240)
    dump = compose.run(
        "exec", "-T", "postgres", "pg_dumpall", "-U", "postgres", "--clean", "--if-exists"
    ).stdout
    copy_out(bucket(compose), tmp_path)
    compose.run("down", "--volumes", "--remove-orphans")
    compose.run("up", "--detach", "--wait", "--wait-timeout", "240", "postgres", "seaweedfs")
    compose.run("run", "--rm", "-T", "bucket")
    compose.run("exec", "-T", "postgres", "psql", "-U", "postgres", "-q", stdin=dump)
    copy_in(bucket(compose), tmp_path)
    compose.run("up", "--detach", "--wait", "--wait-timeout", "400", timeout=500)
    assert (await gateway.task(task_id))["status"] == "SUCCEEDED"
    deadline = monotonic() + 120
    while await gateway.rows_in_druid(datasource) != ROWS:
        assert monotonic() < deadline, "the historicals did not fetch the segments again"
        await asyncio.sleep(1)
    again = new_datasource("after_restore")
    await gateway.succeeded(await gateway.upload("again.csv", superstore(hard_files), again), 240)
    well = await asyncio.to_thread(doctor, compose)
    assert well.stdout.endswith("\nNo problems found.\n"), well.stdout + well.stderr


def test_down_leaves_nothing(compose: Compose) -> None:
    """Must be the last test, because it removes everything."""
    compose.run("down", "--volumes", "--remove-orphans", layers=("observability",))
    label = f"label=com.docker.compose.project={PROJECT}"
    assert docker("ps", "--all", "--quiet", "--filter", label) == ""
    assert docker("volume", "ls", "--quiet", "--filter", label) == ""
    assert docker("network", "ls", "--quiet", "--filter", label) == ""
