"""Checks of the containers that docker compose runs on this machine."""

import asyncio
import json
from pathlib import Path
from typing import Any

from deploy.doctor.findings import Finding, fault, ok, warning

COMPOSE_MIN = (2, 24)
"""First version with `!override` and optional dependencies."""


async def _output(folder: Path, *command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace").strip()


async def check(folder: Path) -> list[Finding]:
    """Check Docker, Compose and each container of the project."""
    subject = "docker"
    try:
        failed, output = await _output(folder, "docker", "compose", "version", "--short")
    except FileNotFoundError:
        return [
            warning(
                subject,
                "is not installed here, so the containers were not checked",
                "Run this on the machine of the containers.",
            )
        ]
    if failed:
        return [
            fault(subject, "docker compose does not work", "Install the compose plugin of Docker.")
        ]
    version = tuple(int(part) for part in output.lstrip("v").split("-")[0].split(".")[:2])
    found = [
        ok(subject, f"Compose {output}")
        if version >= COMPOSE_MIN
        else fault(
            subject,
            f"Compose {output} is too old",
            f"Install {'.'.join(map(str, COMPOSE_MIN))} or newer.",
        )
    ]
    failed, output = await _output(folder, "docker", "compose", "ps", "--all", "--format", "json")
    if failed:
        return [
            *found,
            fault(
                subject,
                f"its containers cannot be listed: {output[-200:]}",
                "Start Docker, and check your permission to use it.",
            ),
        ]
    containers = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    if not containers:
        return [
            *found,
            warning(subject, "this project has no container", "docker compose up --wait"),
        ]
    return [*found, *(finding for container in containers for finding in _container(container))]


def _container(container: dict[str, Any]) -> list[Finding]:
    name, state, health = container["Service"], container["State"], container.get("Health", "")
    logs = f"docker compose logs {name}"
    if state == "exited" and container.get("ExitCode") == 0:
        return [ok(name, "completed")]
    if state == "restarting":
        return [fault(name, "restarts repeatedly", f"The last lines of `{logs}` say why.")]
    if state != "running":
        return [
            fault(
                name,
                f"is not running ({state}, status {container.get('ExitCode')})",
                f"`{logs}`, then docker compose up --wait",
            )
        ]
    if health == "unhealthy":
        return [
            fault(
                name,
                "is running but unhealthy",
                f"`{logs}`: readiness.changed names the store that does not answer.",
            )
        ]
    if health == "starting":
        return [warning(name, "is starting", "Check again in a minute.")]
    return [ok(name, "is running")]
