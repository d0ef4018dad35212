"""Version-specific names of Druid are in one place, and every stack has the same version."""

import re
from pathlib import Path

import pytest

from local.druid.jars import DRUID_VERSION, read_lock
from services.druid_gateway.http import endpoints

ROOT = Path(__file__).parents[4]
NAME = "a/b ?#ä"
QUOTED = "a%2Fb%20%3F%23%C3%A4"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        (endpoints.task(NAME), "/druid/indexer/v1/task/{}"),
        (endpoints.task_status(NAME), "/druid/indexer/v1/task/{}/status"),
        (endpoints.task_reports(NAME), "/druid/indexer/v1/task/{}/reports"),
        (endpoints.task_shutdown(NAME), "/druid/indexer/v1/task/{}/shutdown"),
        (endpoints.load_status(NAME), "/druid/coordinator/v1/datasources/{}/loadstatus"),
        (endpoints.mark_used(NAME), "/druid/coordinator/v1/datasources/{}/markUsed"),
        (endpoints.mark_unused(NAME), "/druid/coordinator/v1/datasources/{}/markUnused"),
        (
            endpoints.unused_segments(NAME),
            "/druid/coordinator/v1/metadata/datasources/{}/unusedSegments",
        ),
        (endpoints.sql_query(NAME), "/druid/v2/sql/{}"),
    ],
)
def test_names_are_escaped_in_paths(address: str, expected: str) -> None:
    assert address == expected.format(QUOTED)


def test_no_other_module_has_a_path_of_druid() -> None:
    modules = [path for path in (ROOT / "services").rglob("*.py") if path.name != "endpoints.py"]
    assert modules
    assert [
        str(path) for path in modules if re.search(r'["\']/(druid|status)/', path.read_text())
    ] == []


def test_one_version_is_the_default_of_every_stack() -> None:
    [compose] = re.findall(
        r"apache/druid:\$\{DRUID_VERSION:-([\d.]+)\}", (ROOT / "docker-compose.yml").read_text()
    )
    [jar] = [
        jar.coordinate
        for jar in read_lock()
        if jar.coordinate.startswith("org.apache.druid:druid-services:")
    ]
    assert compose == DRUID_VERSION == jar.rpartition(":")[2]
