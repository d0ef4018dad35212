"""An independent REST client: streamed multipart upload, polling."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx

from bench.support.harness import MIB

TERMINAL = {"SUCCEEDED", "REJECTED", "FAILED", "CANCELLED", "TIMEOUT"}


@dataclass
class Gateway:
    """Uploads and polls over REST, without holding files in memory."""

    http: httpx.Client

    def upload(self, path: Path, datasource: str, **fields: str) -> str:
        """Upload the file; return the task id once the file is stored."""
        boundary = secrets.token_hex(16)
        answer = self.http.post(
            "/api/ingest/upload",
            content=_multipart(boundary, path, {"datasource_name": datasource, **fields}),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
            timeout=600,
        )
        answer.raise_for_status()
        return str(answer.json()["task_id"])

    def until_terminal(self, task_id: str, seconds: float, poll_s: float = 0.05) -> dict[str, Any]:
        """Poll the task every `poll_s` until it is in a final state; return it."""
        deadline = monotonic() + seconds
        while True:
            task: dict[str, Any] = (
                self.http.get(f"/api/ingest/tasks/{task_id}").raise_for_status().json()
            )
            if task["status"] in TERMINAL:
                return task
            if monotonic() > deadline:
                raise TimeoutError(f"task {task_id} is still {task['status']} after {seconds:g} s")
            sleep(poll_s)

    def succeeded(self, task_id: str, seconds: float) -> dict[str, Any]:
        """Wait for the task's end; return it, or raise unless it SUCCEEDED."""
        task = self.until_terminal(task_id, seconds)
        if task["status"] != "SUCCEEDED":
            raise RuntimeError(f"task {task_id} ended {task['status']}: {task['message']}")
        return task


def _multipart(boundary: str, path: Path, fields: dict[str, str]) -> Iterator[bytes]:
    for name, value in fields.items():
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    yield f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n\r\n'.encode()
    with path.open("rb") as file:
        while piece := file.read(MIB):
            yield piece
    yield f"\r\n--{boundary}--\r\n".encode()
