"""As much of Druid's HTTP interface as the gateway uses for loads, in memory: a task runs for a few
questions, then its rows are there.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from services.druid_gateway.loads.spec import LOAD_ID_COLUMN, PLACEHOLDER

POLLS = 3
"""Questions after which a task has ended."""

ROWS = 7


@dataclass
class _Task:
    spec: dict[str, Any]
    left: int = POLLS
    status: str = "RUNNING"
    published: bool = False
    used: bool = True


class DruidServer:
    """Tasks by id."""

    def __init__(self) -> None:
        self.tasks: dict[str, _Task] = {}

    def answer(self, request: httpx.Request) -> httpx.Response:
        """What Druid says, after what it does."""
        body: Any = json.loads(request.content) if request.content else None
        *_, last = path = request.url.path.strip("/").split("/")
        answers: dict[str, Callable[[], httpx.Response]] = {
            "taskStatus": lambda: self._statuses(body),
            "sql": lambda: self._sql(body),
            "v2": lambda: self._native(body["queryType"]),
            "activeLocks": lambda: httpx.Response(200, json={"datasourceToLocks": {}}),
            "loadstatus": lambda: httpx.Response(
                200, json={"sales": 100.0} if self._visible() else {}
            ),
            "markUnused": lambda: self._mark_unused(body["segmentIds"]),
            "workers": lambda: httpx.Response(200, json=[]),
        }
        if last in answers:
            return answers[last]()
        if path[3:] == ["task"]:
            return self._submit(body)
        task_id = path[4]
        if task_id not in self.tasks:
            return httpx.Response(404, json={})
        task = self.tasks[task_id]
        match last:
            case "shutdown":
                if task.status == "RUNNING":
                    task.status = "FAILED"
                return httpx.Response(200, json={"task": task_id})
            case "status":
                return httpx.Response(
                    200,
                    json={"task": task_id, "status": {"createdTime": "2026-01-01T00:00:00.000Z"}},
                )
            case "reports":
                return httpx.Response(200, json={})
        return httpx.Response(200, json={"task": task_id, "payload": task.spec})

    def time_passes(self) -> None:
        """Whatever still runs comes to its end."""
        for _ in range(POLLS):
            self._advance()

    def rows(self, load_id: str) -> int:
        """Rows of a load that a query would see."""
        return ROWS * len(self._visible())

    def running(self) -> list[str]:
        """Ids of the tasks that have not ended."""
        return [task_id for task_id, task in self.tasks.items() if task.status == "RUNNING"]

    def _advance(self) -> None:
        for task in self.tasks.values():
            if task.status == "RUNNING":
                task.left -= 1
                if task.left <= 0:
                    task.status, task.published = "SUCCESS", task.spec["type"] != PLACEHOLDER

    def _visible(self) -> list[str]:
        return [
            _segment(task_id)
            for task_id, task in self.tasks.items()
            if task.published and task.used
        ]

    def _loads(self) -> set[str]:
        """Their ids; a task's is `sluice-{load id}-{attempt}`."""
        visible = (task_id for task_id, task in self.tasks.items() if task.published and task.used)
        return {task_id.removeprefix("sluice-").rpartition("-")[0] for task_id in visible}

    def _submit(self, spec: dict[str, Any]) -> httpx.Response:
        if spec["id"] in self.tasks:
            return httpx.Response(
                400, json={"errorCode": "entryAlreadyExists", "errorMessage": "it exists"}
            )
        self.tasks[spec["id"]] = _Task(spec)
        return httpx.Response(200, json={"task": spec["id"]})

    def _statuses(self, task_ids: list[str]) -> httpx.Response:
        self._advance()
        known = {task_id: self.tasks[task_id] for task_id in task_ids if task_id in self.tasks}
        return httpx.Response(
            200,
            json={
                task_id: {"status": task.status, "duration": 5} for task_id, task in known.items()
            },
        )

    def _sql(self, body: dict[str, Any]) -> httpx.Response:
        if "sys.segments" in body["query"]:
            return httpx.Response(200, json=[[segment, 1] for segment in self._visible()])
        rows = ROWS * len(self._visible())
        return httpx.Response(200, json=[[rows, float(rows), float(rows)]])

    def _native(self, kind: str) -> httpx.Response:
        if kind == "groupBy":
            events = [
                {"event": {LOAD_ID_COLUMN: load_id, "rows": ROWS}} for load_id in self._loads()
            ]
            return httpx.Response(200, json=events)
        found = [
            {"result": {"segment": segment, "results": [{"result": {"rows": ROWS}}]}}
            for segment in self._visible()
        ]
        return httpx.Response(200, json=found)

    def _mark_unused(self, segments: list[str]) -> httpx.Response:
        for task_id, task in self.tasks.items():
            task.used = task.used and _segment(task_id) not in segments
        return httpx.Response(200, json={})


def _segment(task_id: str) -> str:
    """One for each task, all in one chunk."""
    return f"sales_1970-01-01T00:00:00.000Z_1970-01-02T00:00:00.000Z_{task_id}"
