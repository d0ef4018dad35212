"""What is released: one version everywhere, a wheel that works by itself, and bills of materials
that say what is in it.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploy import release

ROOT = Path(__file__).parents[3]
UV = Path(sys.executable).with_name("uv")


def output(*command: str | Path) -> str:
    """Of a program that must succeed, outside of our virtual environment."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_one_version_everywhere() -> None:
    version = release.version()
    chart = yaml.safe_load((ROOT / "deploy/helm/sluice/Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (version, version)
    assert set(
        re.findall(r"SLUICE_VERSION:-([^}]+)", (ROOT / "docker-compose.yml").read_text())
    ) == {version}
    for name in ("package.json", "package-lock.json"):
        assert json.loads((ROOT / "frontend" / name).read_text())["version"] == version
    assert f"\n## {version}\n" in (ROOT / "CHANGELOG.md").read_text()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return release.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.mark.parametrize("extra", ["", "[cli]"], ids=["library", "command line"])
def test_the_wheel_works_in_a_clean_environment(wheel: Path, tmp_path: Path, extra: str) -> None:
    python = tmp_path / "venv/bin/python"
    output(UV, "venv", "--quiet", "--python", sys.executable, tmp_path / "venv")
    output(
        UV,
        "pip",
        "install",
        "--quiet",
        "--python",
        python,
        "--constraints",
        ROOT / "requirements.lock",
        f"sluice{extra} @ {wheel.as_uri()}",
    )
    exported = output(
        python, "-I", "-c", "import sluice_client; print(*sorted(sluice_client.__all__))"
    ).split()
    assert "SluiceClient" in exported
    sluice = subprocess.run(
        [tmp_path / "venv/bin/sluice", "--help"], capture_output=True, text=True, check=False
    )
    assert (sluice.returncode, "pip install 'sluice[cli]'" in sluice.stderr) == (
        (0, False) if extra else (1, True)
    )
    modules = output(
        python,
        "-I",
        "-c",
        "import importlib.util as u; print(*(n for n in ('services', 'gateway') if u.find_spec(n)))",
    ).split()
    assert modules == []


@pytest.mark.parametrize(
    ("name", "held", "not_held"),
    [("validation", "polars", "fastapi"), ("client", "typer", "protovalidate")],
)
def test_a_bill_of_materials_names_what_is_shipped(
    tmp_path: Path, name: str, held: str, not_held: str
) -> None:
    bill = json.loads(release.write_sbom(name, tmp_path).read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert (bill["metadata"]["component"]["name"], bill["metadata"]["component"]["version"]) == (
        "sluice",
        release.version(),
    )
    packages = {component["name"]: component for component in bill["components"]}
    assert held in packages
    assert not_held not in packages
    lock = (ROOT / "requirements.lock").read_text()
    for package, component in packages.items():
        assert f"\n{package}=={component['version']}" in lock
        assert component["externalReferences"][0]["hashes"]


def test_the_page_has_its_bill_too(tmp_path: Path) -> None:
    bill = json.loads(release.write_page_sbom(tmp_path).read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == release.version()
    assert {"react", "@apollo/client"} <= {
        f"{part.get('group', '')}/{part['name']}".lstrip("/") for part in bill["components"]
    }
    assert "vitest" not in {part["name"] for part in bill["components"]}
