"""Credentials, sockets and the process manager's settings."""

from __future__ import annotations

import configparser
from pathlib import Path

from local.credentials import Credentials
from local.paths import InstancePaths
from local.supervision import sockets
from local.supervision.programs import Program
from local.supervision.supervisor import Supervisor


def test_credentials_are_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    made = Credentials.load_or_create(path)
    assert Credentials.load_or_create(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert made != Credentials.load_or_create(tmp_path / "other.json")


def test_a_deep_clone_has_its_sockets_elsewhere() -> None:
    shallow, deep = Path("/c/.local"), Path("/" + "d" * 120, ".local")
    assert sockets.folder(shallow) == shallow
    assert len(str(sockets.folder(deep) / "supervisor.sock")) < 104
    assert sockets.folder(deep) != sockets.folder(deep / "test")


def test_percent_signs_and_spaces_reach_the_program_unchanged(tmp_path: Path) -> None:
    program = Program(
        name="one",
        group="services",
        command=("run", "a b", "100%"),
        directory=tmp_path,
        ports=(),
        environment={"KEY": "50%"},
    )
    text = Supervisor(InstancePaths(tmp_path)).settings([program])
    parsed = configparser.ConfigParser()
    parsed.read_string(text)
    section = parsed["program:one"]
    assert section["command"] == "run 'a b' 100%"
    assert section["environment"] == 'KEY="50%"'
    assert parsed["group:services"]["programs"] == "one"
