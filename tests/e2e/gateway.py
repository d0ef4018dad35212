"""A REST client with the operations that tests repeat."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import httpx

TERMINAL = {"SUCCEEDED", "REJECTED", "FAILED", "CANCELLED", "TIMEOUT"}


@dataclass
class Gateway:
    """Calls the gateway over REST."""

    http: httpx.AsyncClient

    async def post_file(
        self,
        name: str,
        content: bytes,
        datasource: str,
        fields: dict[str, str] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Upload a file as a browser or curl does; return the response."""
        return await self.http.post(
            "/api/ingest/upload",
            data={"datasource_name": datasource, **(fields or {})},
            files={"file": (name, content)},
            headers=headers,
        )

    async def upload(self, name: str, content: bytes | Path, datasource: str, **fields: str) -> str:
        """Upload a file that must be accepted; return the task id."""
        data = await asyncio.to_thread(content.read_bytes) if isinstance(content, Path) else content
        answer = await self.post_file(name, data, datasource, fields)
        assert answer.status_code == 202, answer.text
        body = answer.json()
        assert list(body) == ["task_id", "status"]
        assert body["status"] == "ACCEPTED"
        assert answer.headers["location"] == f"/api/ingest/tasks/{body['task_id']}"
        return str(body["task_id"])

    async def task(self, task_id: str) -> dict[str, Any]:
        """Return the task."""
        answer = await self.http.get(f"/api/ingest/tasks/{task_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def until(self, task_id: str, states: set[str], seconds: float = 120) -> dict[str, Any]:
        """Wait until the task is in one of the states; return it. Another final state fails."""
        deadline = monotonic() + seconds
        while True:
            try:
                answer = await self.http.get(f"/api/ingest/tasks/{task_id}")
                # A test may have stopped the status service or PostgreSQL.
                away = answer.status_code == 503
            except httpx.TransportError:
                away = True
            if not away:
                assert answer.status_code == 200, answer.text
            task = {"status": "unknown"} if away else dict(answer.json())
            if task["status"] in states:
                return task
            assert task["status"] not in TERMINAL, task
            assert monotonic() < deadline, (
                f"still {task['status']} after {seconds:g} s, not in {states}: {task}"
            )
            await asyncio.sleep(0.05)

    async def succeeded(self, task_id: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until the task is SUCCEEDED; return it."""
        return await self.until(task_id, {"SUCCEEDED"}, seconds)

    async def submitted(self, task_id: str, seconds: float = 60) -> None:
        """Wait until Druid has the task's load."""
        deadline = monotonic() + seconds
        while not (await self.task(task_id))["druid_task_id"]:
            assert monotonic() < deadline, f"not submitted after {seconds:g} s"
            await asyncio.sleep(0.02)

    async def ready(self, seconds: float = 60) -> None:
        """Wait until the gateway and all services are ready."""
        deadline = monotonic() + seconds
        while True:
            try:
                answer = await self.http.get("/readyz")
                reason = answer.text
                if answer.status_code == 200:
                    return
            except httpx.TransportError as failure:
                reason = repr(failure)
            assert monotonic() < deadline, reason
            await asyncio.sleep(0.1)

    async def query(self, sql: str) -> list[list[Any]]:
        """Run a query that must succeed; return its rows."""
        answer = await self.http.post("/api/query", json={"sql": sql})
        assert answer.status_code == 200, answer.text
        return list(answer.json()["rows"])

    async def rows_in_druid(self, datasource: str) -> int:
        """Return the number of rows; 0 if Druid does not know the datasource."""
        known = await self.query(
            f"SELECT TABLE_NAME FROM INFORMATION_SCHEMA.TABLES WHERE TABLE_NAME = '{datasource}'"
        )
        return int((await self.query(f'SELECT COUNT(*) FROM "{datasource}"'))[0][0]) if known else 0
