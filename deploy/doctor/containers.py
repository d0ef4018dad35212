"""The containers, where docker compose runs them on this machine."""

import asyncio
import json
from pathlib import Path
from typing import Any

from deploy.doctor.findings import Finding, fault, ok, warning

COMPOSE_OLDEST = (2, 24)
"""First version with `!override` and optional dependencies."""


async def _output(folder: Path, *command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode(errors="replace").strip()


async def check(folder: Path) -> list[Finding]:
    """Docker, Compose, and each container of the project."""
    subject = "docker"
    try:
        failed, output = await _output(folder, "docker", "compose", "version", "--short")
    except FileNotFoundError:
        return [
            warning(
                subject,
                "is not installed here, so no container was looked at",
                "Run this where the containers run.",
            )
        ]
    if failed:
        return [
            fault(
                subject, "docker compose does not answer", "Install the compose plugin of Docker."
            )
        ]
    version = tuple(int(part) for part in output.lstrip("v").split("-")[0].split(".")[:2])
    found = [
        ok(subject, f"Compose {output}")
        if version >= COMPOSE_OLDEST
        else fault(
            subject,
            f"Compose {output} is too old",
            f"Install {'.'.join(map(str, COMPOSE_OLDEST))} or newer.",
        )
    ]
    failed, output = await _output(folder, "docker", "compose", "ps", "--all", "--format", "json")
    if failed:
        return [
            *found,
            fault(
                subject,
                f"its containers cannot be listed: {output[-200:]}",
                "Start Docker, and check that you may use it.",
            ),
        ]
    containers = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    if not containers:
        return [
            *found,
            warning(subject, "no container of this project is there", "docker compose up --wait"),
        ]
    return [*found, *(finding for container in containers for finding in _container(container))]


def _container(container: dict[str, Any]) -> list[Finding]:
    name, state, health = container["Service"], container["State"], container.get("Health", "")
    look = f"docker compose logs {name}"
    if state == "exited" and container.get("ExitCode") == 0:
        return [ok(name, "ran and ended")]
    if state == "restarting":
        return [fault(name, "ends again and again", f"The last lines of `{look}` say why.")]
    if state != "running":
        return [
            fault(
                name,
                f"does not run ({state}, status {container.get('ExitCode')})",
                f"`{look}`, then docker compose up --wait",
            )
        ]
    if health == "unhealthy":
        return [
            fault(
                name,
                "runs but is not healthy",
                f"`{look}`: readiness.changed names the store that does not answer.",
            )
        ]
    if health == "starting":
        return [warning(name, "is starting", "Ask again in a minute.")]
    return [ok(name, "runs")]
