"""Invalid environments and the error messages of the processes. Needs no container."""

import asyncio
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.processes import running

ROOT = Path(__file__).parents[2]
NOWHERE = "127.0.0.1:9"
"""The discard port, on which nothing listens."""

RIGHT = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "very-secret",
    "AWS_ENDPOINT_URL_S3": f"http://{NOWHERE}",
    "S3_BUCKET_NAME": "bucket",
    "DATABASE_URL": f"postgresql://sluice:very-secret@{NOWHERE}/sluice",
    "DRUID_URL": f"http://{NOWHERE}",
    "DRUID_INPUT": "s3",
    "UPLOAD_ADDR": NOWHERE,
    "VALIDATION_ADDR": NOWHERE,
    "DRUID_GATEWAY_ADDR": NOWHERE,
    "STATUS_ADDR": NOWHERE,
}
MISSING = None

REFUSED = [
    ("services.upload", "BIND_ADDR", MISSING, "is not set. Address that the process listens on"),
    ("services.upload", "BIND_ADDR", "50051", "Address that the process listens on, host:port"),
    ("services.upload", "AWS_ACCESS_KEY_ID", MISSING, "is not set. Access key of the object store"),
    (
        "services.upload",
        "AWS_SECRET_ACCESS_KEY",
        MISSING,
        "is not set. Secret key of the object store",
    ),
    ("services.upload", "AWS_SECRET_ACCESS_KEY", "", "Secret key of the object store"),
    (
        "services.upload",
        "AWS_ENDPOINT_URL_S3",
        "seaweedfs:8333",
        "Address of an S3 server other than AWS",
    ),
    ("services.upload", "S3_BUCKET_NAME", MISSING, "is not set. Bucket that holds"),
    ("services.upload", "S3_BUCKET_NAME", "ab", "Bucket that holds"),
    ("services.upload", "STATUS_ADDR", MISSING, "is not set. Address of the status service"),
    (
        "services.upload",
        "STATUS_ADDR",
        "http://status:50054",
        "Address of the status service, host:port",
    ),
    ("services.upload", "MAX_FILE_SIZE_BYTES", "500MB", "Maximum size of a file, in bytes"),
    ("services.upload", "PART_SIZE_BYTES", "1024", "Size of a part in the object store"),
    ("services.upload", "AUTH_MODE", "none", "Authentication"),
    ("services.validation", "S3_BUCKET_NAME", MISSING, "is not set. Bucket that holds"),
    ("services.validation", "SPOOL_MAX_BYTES", "-1", "Limit of SPOOL_DIR in bytes"),
    (
        "services.validation",
        "CHILD_MEMORY_BYTES",
        "1",
        "Memory limit in bytes of a file that is read alone",
    ),
    ("services.status", "DATABASE_URL", MISSING, "is not set. The PostgreSQL database"),
    (
        "services.status",
        "DATABASE_URL",
        "mysql://sluice@localhost/sluice",
        "The PostgreSQL database, postgresql://",
    ),
    ("services.status", "DATABASE_URL", "localhost:5432", "The PostgreSQL database, postgresql://"),
    (
        "services.status",
        "VALIDATION_ADDR",
        MISSING,
        "is not set. Address of the validation service",
    ),
    (
        "services.status",
        "DRUID_GATEWAY_ADDR",
        "druid_gateway",
        "Address of the Druid gateway service, host:port",
    ),
    ("services.status", "UPLOAD_ADDR", MISSING, "is not set. Address of the upload service"),
    ("services.status", "LEASE_S", "soon", "Seconds after the last heartbeat"),
    ("services.druid_gateway", "DRUID_URL", MISSING, "is not set. URL of Druid's router"),
    (
        "services.druid_gateway",
        "DRUID_URL",
        "router:8888",
        "URL of Druid's router, for example http://",
    ),
    ("services.druid_gateway", "DRUID_INPUT", "hdfs", "How Druid reads the parts"),
    ("gateway", "UPLOAD_ADDR", MISSING, "is not set. Address of the upload service"),
    ("gateway", "STATUS_ADDR", "status", "Address of the status service, host:port"),
    ("gateway", "LOG_LEVEL", "loud", "Minimum severity of log lines"),
]
"""Module, variable, its invalid value, and the text after its name in the message."""


async def outcome(arguments: list[str], environment: Mapping[str, str]) -> tuple[int | None, str]:
    """Run a process that must exit; return its exit status and output."""
    async with running(arguments, environment) as process, asyncio.timeout(90):
        stdout, stderr = await process.communicate()
        return process.returncode, (stdout + stderr).decode()


def complete(folder: Path) -> dict[str, str]:
    return {**RIGHT, "BIND_ADDR": "127.0.0.1:0", "SPOOL_DIR": str(folder)}


@pytest.mark.parametrize(
    ("module", "variable", "value", "said"),
    REFUSED,
    ids=[f"{row[0]}-{row[1]}-{row[2]}" for row in REFUSED],
)
async def test_a_wrong_variable_is_named(
    tmp_path: Path, module: str, variable: str, value: str | None, said: str
) -> None:
    environment = complete(tmp_path)
    environment.pop(variable, None)
    if module == "gateway" and variable != "BIND_ADDR":
        environment["BIND_ADDR"] = "127.0.0.1:0"
    if value is not None:
        environment[variable] = value
    status, output = await outcome([module], environment)
    assert status == 2, output
    lines = output.splitlines()
    assert lines[0] == "Invalid configuration:"
    assert [line for line in lines[1:] if line.startswith(f"  {variable}:") and said in line], (
        output
    )
    assert len(lines) == 2, "one wrong variable, one line"
    assert "Traceback" not in output
    assert "very-secret" not in output


async def test_all_missing_variables_are_reported_together() -> None:
    status, output = await outcome(["services.upload"], {})
    assert status == 2
    for variable in (
        "BIND_ADDR",
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "S3_BUCKET_NAME",
        "STATUS_ADDR",
    ):
        assert f"  {variable}: is not set." in output


async def test_druid_with_presigned_urls_needs_the_object_store(tmp_path: Path) -> None:
    environment = {**complete(tmp_path), "DRUID_INPUT": "http"}
    del environment["AWS_SECRET_ACCESS_KEY"]
    status, output = await outcome(["services.druid_gateway"], environment)
    assert status == 2
    assert "  AWS_SECRET_ACCESS_KEY: is not set." in output


AWAY = [
    ("services.upload", "s3", {}),
    ("services.validation", "s3", {}),
    ("services.status", "postgresql", {}),
    (
        "services.status",
        "postgresql",
        {"DATABASE_URL": "postgresql://sluice:very-secret@no-such-host.invalid:5432/sluice"},
    ),
    ("services.druid_gateway", "druid_router", {}),
    ("services.druid_gateway", "druid_router", {"DRUID_URL": "http://no-such-host.invalid:8888"}),
]


@pytest.mark.parametrize(
    ("module", "store", "wrong"),
    AWAY,
    ids=[f"{row[0]}-{'host' if row[2] else 'port'}" for row in AWAY],
)
async def test_an_unavailable_store_is_named_and_waited_for(
    tmp_path: Path, module: str, store: str, wrong: dict[str, str]
) -> None:
    """The process does not exit: it logs which store does not answer, and why, and waits."""
    async with running([module], {**complete(tmp_path), **wrong}) as process, asyncio.timeout(30):
        assert process.stderr is not None
        seen: dict[str, Any] = {}
        while seen.get("event") != "readiness.changed":
            line = await process.stderr.readline()
            assert line, "the process ended"
            assert b"very-secret" not in line
            seen = json.loads(line) if line.startswith(b"{") else {}
        assert seen["ready"] is False
        assert store in seen["failing"]
        assert seen["failing"][store]
        assert process.returncode is None


async def test_migrations_without_a_database(tmp_path: Path) -> None:
    status, output = await outcome(["services.status", "migrate"], complete(tmp_path))
    assert status == 1
    assert "The database sluice of PostgreSQL at 127.0.0.1:9 was not migrated: " in output
    assert output.endswith("Check host and port in DATABASE_URL, and that PostgreSQL runs.\n")
    assert "Traceback" not in output
    assert "very-secret" not in output


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        status, output = await outcome(
            ["services.upload"], {**complete(tmp_path), "BIND_ADDR": address}
        )
    assert status == 3
    assert f"Cannot bind to BIND_ADDR={address}" in output


async def test_the_bucket_without_keys() -> None:
    status, output = await outcome(["deploy.bucket"], {})
    assert status == 2
    assert "  AWS_ACCESS_KEY_ID: is not set." in output


async def test_the_probe_says_what_is_wrong() -> None:
    assert await outcome(["deploy.probe"], {}) == (1, "BIND_ADDR is not set: no address to ask\n")
    status, output = await outcome(["deploy.probe"], {"BIND_ADDR": "0.0.0.0:9"})
    assert (status, output) == (1, "no answer on port 9: UNAVAILABLE\n")
    status, output = await outcome(["deploy.probe", "http"], {"BIND_ADDR": "0.0.0.0:9"})
    assert status == 1
    assert output.startswith("no answer on port 9")
