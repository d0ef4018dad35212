"""The command line on the whole stack: upload, task, report and query."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.stack import Stack
from tests.processes import running

ROWS = 10_194


async def sluice(stack: Stack, *arguments: str) -> list[dict[str, Any]]:
    """Run a command that must succeed; return its JSON documents."""
    environment = {
        f"{name.upper()}_ADDR": stack.addresses[name]
        for name in ("upload", "validation", "druid_gateway", "status")
    }
    async with running(["sluice_client.cli", *arguments, "--json"], environment) as process:
        out, err = await process.communicate()
    assert (process.returncode, err) == (0, b"")
    return [json.loads(line) for line in out.decode().splitlines()]


async def test_superstore_by_the_command_line(
    stack: Stack, hard_files: Path, new_datasource: Callable[[str], str]
) -> None:
    datasource = new_datasource("command_line")
    file = str(hard_files / "sales" / "Sample - Superstore.csv")
    [task] = await sluice(stack, "upload", file, "--datasource", datasource, "--watch")
    assert (task["status"], task["row_count"]) == ("SUCCEEDED", ROWS)
    events = await sluice(stack, "watch", task["task_id"])
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["status"] == "SUCCEEDED"
    [report] = await sluice(stack, "report", task["task_id"])
    assert (report["verdict"], report["rows_read"], report["rows_loadable"]) == (
        "PASSED",
        ROWS,
        ROWS,
    )
    [answer] = await sluice(stack, "query", f'SELECT COUNT(*) AS n FROM "{datasource}"')
    assert answer["rows"] == [[ROWS]]
    assert [listed["task_id"] for listed in await sluice(stack, "tasks", "-d", datasource)] == [
        task["task_id"]
    ]
