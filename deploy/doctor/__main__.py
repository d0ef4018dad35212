"""`python -m deploy.doctor`: what `make doctor` runs. Status 0 when nothing is wrong, 1 when
something is.
"""

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
    """Everything that is found; the parts are asked at once."""
    found = environment.check(env_file)
    try:
        target = Target(read(env_file), gateway_url)
    except FileNotFoundError:
        return found
    if not all(target.variables.get(name) for name in NEEDED):
        return found
    parts: dict[str, Awaitable[list[Finding]]] = {
        "docker": containers.check(env_file.parent),
        "gateway": gateway.check(gateway_url),
        "postgresql": postgres.check(target.database_url),
        "s3": s3.check(target),
        "druid": druid.check(target.druid_url),
    }
    answers = await asyncio.gather(*(_bounded(name, part) for name, part in parts.items()))
    return [*found, *(finding for answer in answers for finding in answer)]


async def _bounded(subject: str, part: Awaitable[list[Finding]]) -> list[Finding]:
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await part
    except TimeoutError:
        return [
            fault(
                subject,
                f"did not answer within {DEADLINE_S:g} s",
                "Look at its log and at the load of its machine.",
            )
        ]


def shown(found: list[Finding]) -> str:
    """One line a finding, what to do below it, and a last line that sums up."""
    lines = []
    for finding in found:
        lines.append(f"{_MARK[finding.level]} {finding.subject}: {finding.text}")
        if finding.todo:
            lines.append(f"        {finding.todo}")
    faults = sum(finding.level == "fault" for finding in found)
    warnings = sum(finding.level == "warning" for finding in found)
    lines.append(
        f"{faults} faults, {warnings} warnings" if faults or warnings else "Nothing is wrong."
    )
    return "\n".join(lines)


def main() -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.doctor", description="Checks a deployment and says what to do."
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
    print(shown(found))
    return 1 if any(finding.level == "fault" for finding in found) else 0


if __name__ == "__main__":
    sys.exit(main())
