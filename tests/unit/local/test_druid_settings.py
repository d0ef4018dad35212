"""What Druid's coordinator has to be set to, in every Druid that is ours or that is asked for."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from deploy.doctor import druid
from local.druid.roles import roles

ROOT = Path(__file__).parents[3]

Settings = dict[str, str]

NEEDED = {
    "druid.coordinator.loadqueuepeon.http.hostTimeout": "PT5S",
    "druid.coordinator.loadqueuepeon.http.repeatDelay": "PT1S",
    "druid.coordinator.kill.on": "false",
    "druid.manager.segments.pollDuration": "PT1S",
    "druid.indexer.tasklock.batchSegmentAllocation": "false",
}


def local() -> Settings:
    return dict(
        next(
            role.settings
            for role in roles(Path("/d"), Path("/s"))
            if role.druid_name == "coordinator"
        )
    )


def compose() -> Settings:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    return {
        name.replace("_", "."): str(value)
        for name, value in services["coordinator"]["environment"].items()
    }


def chart() -> Settings:
    lines = (
        (ROOT / "deploy/helm/sluice/druid-coordinator.properties")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("deployment", [local, compose, chart])
def test_every_coordinator_has_what_loads_need(deployment: Callable[[], Settings]) -> None:
    settings = deployment()
    assert {name: settings.get(name) for name in NEEDED} == NEEDED


def test_the_chart_shows_what_it_asks_for() -> None:
    notes = (ROOT / "deploy/helm/sluice/templates/NOTES.txt").read_text(encoding="utf-8")
    assert '.Files.Get "druid-coordinator.properties"' in notes


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("PT5S", "ok"),
        ("pt0.5s", "ok"),
        ("PT30S", "ok"),
        ("PT31S", "warning"),
        ("PT5M", "warning"),
        ("P1D", "warning"),
        (None, "warning"),
    ],
)
def test_the_doctor_sees_a_coordinator_that_waits_too_long(value: str | None, level: str) -> None:
    found = druid.host_timeout({} if value is None else {druid.HOST_TIMEOUT: value})
    assert found.level == level
    assert (value or "PT5M") in found.text
