"""Shares of the memory never exceed it, and every deployment has enough."""

from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from services.validation.process import memory
from services.validation.process.memory import (
    BASE_BYTES,
    LEAST_BYTES,
    MIB,
    Memory,
    MemoryTooSmallError,
    share_out,
)
from services.validation.settings import Settings
from tests.conftest import ROOT

GIB = 1024 * MIB
MEMORY_SETTINGS = [
    "memory_max_bytes",
    "max_children",
    "max_inspections",
    "child_memory_bytes",
    "inspect_memory_bytes",
]
UNITS = {"k": 1024, "m": MIB, "g": GIB, "Ki": 1024, "Mi": MIB, "Gi": GIB}


def sum_of(shares: Memory) -> int:
    """Largest memory of all processes while files are read concurrently."""
    inspections = shares.inspections * shares.inspection_bytes
    return BASE_BYTES + shares.children * shares.child_bytes + inspections


@given(
    total=st.integers(BASE_BYTES + LEAST_BYTES, 64 * GIB),
    children=st.integers(1, 64),
    inspections=st.integers(0, 64),
    child_bytes=st.integers(LEAST_BYTES, 16 * GIB),
    inspection_bytes=st.integers(LEAST_BYTES, 4 * GIB),
)
def test_the_shares_never_exceed_the_total(
    total: int,
    children: int,
    inspections: int,
    child_bytes: int,
    inspection_bytes: int,
) -> None:
    shares = share_out(total, children, inspections, child_bytes, inspection_bytes)
    assert sum_of(shares) <= total
    assert BASE_BYTES + shares.alone_bytes <= total
    assert 1 <= shares.children <= children
    assert shares.inspections <= inspections
    assert LEAST_BYTES <= shares.child_bytes <= shares.alone_bytes <= child_bytes


def test_with_enough_memory_the_settings_apply() -> None:
    assert share_out(64 * GIB, 4, 2, 4 * GIB, GIB) == Memory(4, 2, 4 * GIB, GIB, 4 * GIB)


def test_with_little_memory_fewer_files_are_read_concurrently() -> None:
    shares = share_out(2 * GIB, 4, 4, 4 * GIB, 512 * MIB)
    assert (shares.children, shares.inspections) == (2, 0)
    assert shares.child_bytes >= 512 * MIB


def test_too_little_memory_is_an_error_that_names_the_setting() -> None:
    with pytest.raises(MemoryTooSmallError, match=r"MEMORY_MAX_BYTES.* at least 896 MiB"):
        share_out(512 * MIB, 1, 0, GIB, GIB)


@pytest.mark.parametrize(
    ("own_group", "files", "limit"),
    [
        ("0::/\n", {"memory.max": "5368709120\n"}, 5 * GIB),
        ("0::/\n", {"memory.max": "max\n"}, None),
        ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/memory.max": "1073741824\n"}, GIB),
        ("0::/of/the/host\n", {"memory.max": "1073741824\n"}, GIB),
        ("4:memory:/docker/x\n", {"memory/memory.limit_in_bytes": "1073741824\n"}, GIB),
        ("4:memory:/docker/x\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("2:cpu,cpuacct:/x\n", {"memory.max": "1\n"}, None),
        ("", {}, None),
    ],
)
def test_the_container_limit_is_the_available_memory(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own_group: str,
    files: dict[str, str],
    limit: int | None,
) -> None:
    class Machine:
        total = 64 * GIB

    monkeypatch.setattr(psutil, "virtual_memory", Machine)
    (tmp_path / "self").write_text(own_group)
    groups = tmp_path / "groups"
    for name, text in files.items():
        (groups / name).parent.mkdir(parents=True, exist_ok=True)
        (groups / name).write_text(text)
    assert memory.available(groups, tmp_path / "self") == (limit or 64 * GIB)
    assert memory.available(groups, tmp_path / "none") == 64 * GIB


class ComposeLoader(yaml.SafeLoader):
    """Ignores Compose's own tags, such as !override."""


ComposeLoader.add_multi_constructor("!", lambda loader, suffix, node: None)


def in_bytes(quantity: str) -> int:
    number = quantity.rstrip("kmgKMGi")
    return int(float(number) * UNITS.get(quantity[len(number) :], 1))


def compose_limits() -> dict[str, tuple[int, dict[str, Any]]]:
    """By file, the memory limit and environment of the validation container.

    Layers override the first file.
    """
    found: dict[str, tuple[int, dict[str, Any]]] = {}
    limit, environment = 0, dict[str, Any]()
    for path in sorted(ROOT.glob("docker-compose*.yml"), key=lambda path: len(path.name)):
        file = yaml.load(path.read_text(encoding="utf-8"), ComposeLoader)  # noqa: S506 - a safe one
        service = (file.get("services") or {}).get("validation", {})
        resources = service.get("deploy", {}).get("resources", {}).get("limits", {})
        if path.name == "docker-compose.yml":
            limit, environment = in_bytes(resources["memory"]), service["environment"]
        own = in_bytes(resources["memory"]) if "memory" in resources else limit
        found[path.name] = own, {**environment, **service.get("environment", {})}
    return found


def chart_limits() -> tuple[int, dict[str, Any]]:
    values = yaml.safe_load((ROOT / "deploy/helm/sluice/values.yaml").read_text(encoding="utf-8"))
    validation = values["validation"]
    return in_bytes(validation["resources"]["limits"]["memory"]), validation["env"]


@pytest.mark.parametrize(
    ("limit", "environment"),
    [*compose_limits().values(), chart_limits()],
    ids=[*compose_limits(), "chart"],
)
def test_every_deployment_fits_into_its_container(limit: int, environment: dict[str, Any]) -> None:
    configured = {
        name: environment[name.upper()] for name in MEMORY_SETTINGS if name.upper() in environment
    }
    required = {
        "aws_access_key_id": "x",
        "aws_secret_access_key": "x",
        "s3_bucket_name": "bucket",
        "bind_addr": "127.0.0.1:1",
    }
    settings = Settings(**{**required, **configured})
    total = settings.memory_max_bytes or limit
    shares = share_out(total, *(getattr(settings, name) for name in MEMORY_SETTINGS[1:]))
    assert total <= limit
    assert sum_of(shares) <= limit
    assert BASE_BYTES + shares.alone_bytes <= limit
    # The settings apply without reduction.
    assert (shares.children, shares.inspections) == (
        settings.max_children,
        settings.max_inspections,
    )
    assert shares.child_bytes >= GIB
    assert shares.alone_bytes == settings.child_memory_bytes
