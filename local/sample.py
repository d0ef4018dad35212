"""Loads the sample file through the gateway if its datasource is empty."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
from rich.console import Console

from local.paths import PROJECT
from local.supervision import loopback
from services.common import task_states

SAMPLE = PROJECT / "examples" / "sales.csv"
DATASOURCE = "sales"
COUNT = "SELECT COUNT(*) FROM sales"
TERMINAL = frozenset(task_states.name_of(state) for state in task_states.TERMINAL)
TIMEOUT_SECONDS = 120.0
_POLL_SECONDS = 0.5


def load_if_new(gateway_url: str, console: Console, sample: Path = SAMPLE) -> None:
    """Upload `sample` and wait for the end of its task. Failures are printed, not raised."""
    if not sample.exists():
        console.print(f"The sample {sample} does not exist and was not loaded.")
        return
    try:
        with loopback.client(30, gateway_url) as client:
            if _rows(client) > 0:
                console.print(f"The datasource {DATASOURCE} already has rows.")
                return
            with console.status(f"Loading {sample.name} into {DATASOURCE}"):
                task = _load(client, sample)
    except httpx.HTTPError as error:
        console.print(f"The sample was not loaded: {error}", style="yellow")
        return
    if task.get("status") == "SUCCEEDED":
        console.print(f"Loaded {task.get('row_count')} rows of {sample.name} into {DATASOURCE}.")
    else:
        console.print(
            f"The sample was not loaded: task {task.get('task_id')} is {task.get('status')}: {task.get('message')}",
            style="yellow",
        )


def _rows(client: httpx.Client) -> int:
    answer = client.post("/api/query", json={"sql": COUNT})
    # The query fails if the datasource does not exist yet.
    if answer.status_code != httpx.codes.OK:
        return 0
    return int(answer.json()["rows"][0][0])


def _load(client: httpx.Client, sample: Path) -> dict[str, object]:
    with sample.open("rb") as file:
        answer = client.post(
            "/api/ingest/upload",
            # The datasource must come first: the server starts before the file has arrived.
            data={"datasource_name": DATASOURCE},
            files={"file": (sample.name, file, "text/csv")},
        ).raise_for_status()
    task_id = answer.json()["task_id"]
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        task: dict[str, object] = (
            client.get(f"/api/ingest/tasks/{task_id}").raise_for_status().json()
        )
        if task.get("status") in TERMINAL or time.monotonic() > deadline:
            return task
        time.sleep(_POLL_SECONDS)
