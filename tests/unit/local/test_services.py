"""Each of our processes gets the keys that it needs, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.services import PORTS, Services, everything
from local.stack import Stack

STACK = Stack(
    instance="default",
    gateway_url="http://127.0.0.1:8000",
    addresses={name: f"127.0.0.1:{50_000 + number}" for number, name in enumerate(PORTS)},
    database_url="postgresql://sluice:secret@127.0.0.1:5433/sluice",
    s3_endpoint="http://127.0.0.1:8333",
    s3_region="us-east-1",
    s3_bucket="sluice",
    s3_access_key="key",
    s3_secret_key="secret",
    druid_url="http://127.0.0.1:8888",
    supervisor_socket="/run/s.sock",
    logs="/logs",
    programs=("postgres",),
    ports={"GATEWAY": 8000},
)
SERVICES = Services(STACK, Path("/spool"))


@pytest.mark.parametrize("name", PORTS)
def test_the_database_is_known_to_status_alone(name: str) -> None:
    assert ("DATABASE_URL" in SERVICES.environment(name)) == (name == "status")


@pytest.mark.parametrize("name", PORTS)
def test_the_keys_of_the_object_store_go_to_those_that_use_it(name: str) -> None:
    expected = name in {"upload", "validation", "druid_gateway"}
    assert ("AWS_SECRET_ACCESS_KEY" in SERVICES.environment(name)) == expected


@pytest.mark.parametrize("name", PORTS)
def test_druid_is_known_to_its_gateway_alone(name: str) -> None:
    assert ("DRUID_URL" in SERVICES.environment(name)) == (name == "druid_gateway")


@pytest.mark.parametrize("name", PORTS)
def test_every_process_binds_where_the_others_look_for_it(name: str) -> None:
    assert SERVICES.environment(name)["BIND_ADDR"] == STACK.addresses[name]


def test_the_printed_environment_reaches_everything() -> None:
    environment = everything(STACK, Path("/spool"))
    assert {"DATABASE_URL", "DRUID_URL", "AWS_ENDPOINT_URL_S3", "STATUS_ADDR"} <= set(environment)


def test_a_stack_is_read_as_it_was_written_and_private(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    STACK.write(path)
    assert Stack.read(path) == STACK
    assert path.stat().st_mode & 0o777 == 0o600
