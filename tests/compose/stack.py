"""A separate compose project: a copy of the checkout with new secrets, so that a developer's
deployment is not affected.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PROJECT = "sluice-compose-test"
OURS = ("upload", "validation", "druid_gateway", "status", "gateway")
LAYERS = ("grpc", "replicas", "observability", "dev")

PORTS = {
    "POSTGRES_PORT": 5433,
    "S3_PORT": 8333,
    "ZOOKEEPER_PORT": 2181,
    "COORDINATOR_PORT": 8081,
    "BROKER_PORT": 8082,
    "HISTORICAL_PORT": 8083,
    "MIDDLEMANAGER_PORT": 8091,
    "ROUTER_PORT": 8888,
    "GATEWAY_PORT": 8000,
    "PAGE_PORT": 3000,
    "UPLOAD_PORT": 50051,
    "VALIDATION_PORT": 50052,
    "DRUID_GATEWAY_PORT": 50053,
    "STATUS_PORT": 50054,
    "PROMETHEUS_PORT": 9090,
}
"""Variable -> default port in the compose files."""

_COPIED = (
    "pyproject.toml",
    "requirements.lock",
    "README.md",
    "Dockerfile",
    ".dockerignore",
    "docker.env.example",
    "client",
    "services",
    "gateway",
    "deploy",
    "frontend",
)


def free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def choose_ports() -> dict[str, int]:
    """Return the default ports, with free ports instead of those in use."""
    return {
        name: int(os.environ[name]) if name in os.environ else port if free(port) else any_port()
        for name, port in PORTS.items()
    }


def copy_checkout(folder: Path) -> None:
    """Copy the files that a deployment needs, without secrets."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", "node_modules", "dist")
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
        else:
            shutil.copy2(source, folder / name)
    for name in ("sluice", "buf"):
        shutil.copytree(ROOT / "protos" / name, folder / "protos" / name, ignore=ignored)
    (folder / "examples").mkdir()
    shutil.copy2(ROOT / "examples" / "sales.csv", folder / "examples")
    for file in ROOT.glob("docker-compose*.yml"):
        shutil.copy2(file, folder / file.name)


def make_environment_files(folder: Path) -> None:
    """Run `make docker.env` in the copy, without AWS variables."""
    shell = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    subprocess.run(
        [sys.executable, "-m", "deploy.env"], cwd=folder, env=shell, check=True, capture_output=True
    )


@dataclass
class Compose:
    """docker compose in one folder."""

    folder: Path
    ports: Mapping[str, int] = field(default_factory=choose_ports)

    def run(
        self,
        *arguments: str,
        layers: tuple[str, ...] = (),
        timeout: float = 600,
        check: bool = True,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `docker compose ...` with the core file and those of `layers`."""
        files = ["docker-compose.yml", *(f"docker-compose.{layer}.yml" for layer in layers)]
        done = subprocess.run(
            [
                "docker",
                "compose",
                "--progress",
                "quiet",
                "-p",
                PROJECT,
                *(part for file in files for part in ("-f", file)),
                *arguments,
            ],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(
                f"docker compose {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
            )
        return done

    @property
    def environment(self) -> dict[str, str]:
        """The environment of docker compose: ports, and a separate image tag."""
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            **({"DOCKER_HOST": os.environ["DOCKER_HOST"]} if "DOCKER_HOST" in os.environ else {}),
            "SLUICE_VERSION": "test",
            "GATEWAY_PORTS": f"{self.ports['GATEWAY_PORT']}-{self.ports['GATEWAY_PORT'] + 1}",
            **{name: str(port) for name, port in self.ports.items()},
        }

    @property
    def gateway(self) -> str:
        """The address of the gateway."""
        return f"http://127.0.0.1:{self.ports['GATEWAY_PORT']}"

    def containers(self) -> dict[str, dict[str, Any]]:
        """Return service -> output of `docker inspect` for its first container."""
        names = docker(
            "ps", "--all", "--quiet", "--filter", f"label=com.docker.compose.project={PROJECT}"
        ).split()
        inspected = json.loads(docker("inspect", *names)) if names else []
        return {
            item["Config"]["Labels"]["com.docker.compose.service"]: item
            for item in reversed(inspected)
        }

    def secret(self, name: str) -> str:
        """Return a value of docker.env."""
        lines = (self.folder / "docker.env").read_text(encoding="utf-8").splitlines()
        return next(line.partition("=")[2] for line in lines if line.startswith(f"{name}="))

    def logs(self) -> str:
        """Return the ends of all logs, without the secrets of docker.env."""
        text = self.run("logs", "--no-color", "--tail", "40", check=False).stdout
        for name in (
            "AWS_SECRET_ACCESS_KEY",
            "POSTGRES_PASSWORD",
            "SLUICE_DATABASE_PASSWORD",
            "DRUID_METADATA_PASSWORD",
        ):
            text = text.replace(self.secret(name), "***")
        return text


def docker(*arguments: str) -> str:
    """Run docker, which must succeed; return its output."""
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()
