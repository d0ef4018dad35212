"""`python -m deploy.doctor`, run by `make doctor`. Exits with 1 if there is a fault, else with 0."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable
from pathlib import Path

from deploy.doctor import containers, druid, environment, gateway, postgres, s3
from deploy.doctor.findings import Finding, fault
from deploy.doctor.target import NEEDED, Target, read

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60.0
_MARK = {"ok": "ok     ", "warning": "WARNING", "fault": "FAULT  "}


async def examine(env_file: Path, gateway_url: str) -> list[Finding]:
    """Check all components concurrently; return the findings."""
    found = environment.check(env_file)
    try:
        target = Target(read(env_file), gateway_url)
    except FileNotFoundError:
        return found
    if not all(target.variables.get(name) for name in NEEDED):
        return found
    checks: dict[str, Awaitable[list[Finding]]] = {
        "docker": containers.check(env_file.parent),
        "gateway": gateway.check(gateway_url),
        "postgresql": postgres.check(target.database_url),
        "s3": s3.check(target),
        "druid": druid.check(target.druid_url),
    }
    results = await asyncio.gather(*(_bounded(name, check) for name, check in checks.items()))
    return [*found, *(finding for result in results for finding in result)]


async def _bounded(subject: str, check: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await check
    except TimeoutError:
        return [
            fault(
                subject,
                f"did not answer within {DEADLINE_S:g} s",
                "Check its log and the load of its machine.",
            )
        ]


def render(found: list[Finding]) -> str:
    """Return a line per finding, followed by its action, and a summary as the last line."""
    lines = []
    for finding in found:
        lines.append(f"{_MARK[finding.level]} {finding.subject}: {finding.text}")
        if finding.todo:
            lines.append(f"        {finding.todo}")
    faults = sum(finding.level == "fault" for finding in found)
    warnings = sum(finding.level == "warning" for finding in found)
    lines.append(
        f"{faults} faults, {warnings} warnings" if faults or warnings else "No problems found."
    )
    return "\n".join(lines)


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.doctor", description="Diagnoses a deployment."
    )
    parser.add_argument(
        "--env-file",
        type=Path,
        default=ROOT / "docker.env",
        help="variables of the deployment (default: docker.env)",
    )
    parser.add_argument(
        "--gateway",
        default="http://127.0.0.1:8000",
        help="address of the gateway (default: %(default)s)",
    )
    arguments = parser.parse_args()
    found = asyncio.run(examine(arguments.env_file.resolve(), arguments.gateway))
    print(render(found))
    return 1 if any(finding.level == "fault" for finding in found) else 0


if __name__ == "__main__":
    sys.exit(main())
