"""The invariants I1 to I6 that must hold after every run, checked in the event log, the object
store and Druid.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import asyncpg
import httpx

from services.status.tasks.machine import TERMINAL, TRANSITIONS, State
from tests.chaos.plan import GOOD
from tests.chaos.users import Sent

if TYPE_CHECKING:
    from types_aiobotocore_s3.client import S3Client

TRUTH_S = 60.0
"""Time within which Druid must reload its segments after a kill, and the sweeper must run."""

RELATIVE_TOLERANCE = 1e-9

Row = asyncpg.Record


@dataclass
class Verdict:
    """The findings. Each is a sentence that starts with its invariant."""

    tasks: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """All other violations."""
    ends: Counter[str] = field(default_factory=Counter)

    @property
    def findings(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.stuck, *self.broken]


@dataclass(frozen=True)
class Evidence:
    """Connections to the stores, bypassing Sluice and the links."""

    sql: "asyncpg.Connection[Row]"
    objects: "S3Client"
    bucket: str
    druid: httpx.AsyncClient


async def check(evidence: Evidence, sent: Sequence[Sent], stuck_s: float) -> Verdict:
    """Wait until all tasks have ended, and until the stores agree with the table or TRUTH_S have
    passed; return the verdict.
    """
    verdict = Verdict()
    verdict.stuck = await _unended(evidence.sql, stuck_s)
    until = monotonic() + TRUTH_S
    while True:
        tasks = {
            row["task_id"]: row for row in await evidence.sql.fetch("SELECT * FROM ingestion_tasks")
        }
        await _check_stores(evidence, tasks, found := Verdict())
        if not found.findings or monotonic() > until:
            break
        await asyncio.sleep(1)
    verdict.tasks = len(tasks)
    verdict.lost, verdict.doubled, verdict.broken = found.lost, found.doubled, found.broken
    events = await evidence.sql.fetch("SELECT * FROM task_events ORDER BY task_id, sequence")
    _check_uploads(sent, tasks, events, verdict)
    _check_events(events, tasks, verdict)
    for task in tasks.values():
        code = f" {task['problem']['code']}" if task["problem"] else ""
        verdict.ends[f"{task['status']}{code}"] += 1
    return verdict


async def _unended(sql: "asyncpg.Connection[Row]", within_s: float) -> list[str]:
    """I1: every task ends, and every revert."""
    until = monotonic() + within_s
    while True:
        unended = "completed_at IS NULL OR load_state = 'REVERTING'"
        rows = await sql.fetch(
            f"SELECT task_id, status, message FROM ingestion_tasks WHERE {unended}"
        )
        if not rows or monotonic() > until:
            return [
                f"I1 {row['task_id']} is {row['status']} after {within_s:g} s: {row['message']}"
                for row in rows
            ]
        await asyncio.sleep(0.25)


def _check_uploads(
    sent: Sequence[Sent], tasks: dict[str, Row], events: Sequence[Row], verdict: Verdict
) -> None:
    """I1 and I5 for users: each accepted upload has one task, with the right final state."""
    # A revert has further events after the final state.
    ends = {event["task_id"]: event["sequence"] for event in events if event["kind"] == "STATE"}
    by_request = {row["request_id"]: row for row in tasks.values()}
    for each in sent:
        ids = set(each.accepted)
        what = f"upload {each.upload.number} ({each.upload.content})"
        if len(ids) > 1:
            verdict.doubled.append(f"I5 {what}: one request id was accepted as {sorted(ids)}")
        if (
            each.accepted
            and (last := ends.get(each.accepted[0]))
            and each.watched != list(range(1, last + 1))
        ):
            verdict.broken.append(
                f"I1 a watcher of {each.accepted[0]} saw the events {each.watched} of {last}"
            )
        own = {by_request[name]["task_id"] for name in each.request_ids if name in by_request}
        for task_id in ids:
            task = tasks.get(task_id)
            if task is None:
                verdict.lost.append(f"I1 {what} was accepted as {task_id}, which does not exist")
            elif (wrong := _wrong_end(each, task, own)) and not any(
                task_id in stuck for stuck in verdict.stuck
            ):
                verdict.lost.append(f"I1 {what}, {task_id}: {wrong}")


def _wrong_end(sent: Sent, task: Row, own: set[str]) -> str:
    """Return why the final state is wrong for the file; empty if it is right."""
    end, problem = State(task["status"]), task["problem"] or {}
    description = f"ended {end} {problem.get('code', '')} {problem.get('message', '')}"
    if sent.undone and task["load_state"] != "REVERTED":
        return f"was reverted and is {task['load_state']}"
    if sent.cancelled and end in (State.CANCELLED, State.SUCCEEDED, State.REJECTED):
        return ""
    if sent.upload.content not in GOOD:
        return "" if end is State.REJECTED else description
    duplicate = (
        end is State.REJECTED
        and problem.get("code") == "DUPLICATE_CONTENT"
        and task["duplicate_of"] in own
    )
    if end is State.SUCCEEDED:
        return (
            ""
            if task["row_count"] == sent.upload.rows
            else f"ended SUCCEEDED with {task['row_count']} of {sent.upload.rows} rows"
        )
    return "" if duplicate else description


async def _check_stores(evidence: Evidence, tasks: dict[str, Row], verdict: Verdict) -> None:
    await _check_druid(evidence.druid, tasks, verdict)
    await _check_objects(evidence, tasks, verdict)


async def _check_druid(druid: httpx.AsyncClient, tasks: dict[str, Row], verdict: Verdict) -> None:
    """I2: a LIVE load has all its rows and sums once; a PARTLY_REPLACED load has some of its rows, a
    REPLACED load none. I3: all other tasks and reverted loads have no rows and no running Druid
    task.
    """
    seen: dict[str, tuple[int, dict[str, float]]] = {}
    sums: defaultdict[str, set[str]] = defaultdict(set)
    for row in tasks.values():
        sums[row["datasource_name"]] |= set(row["expected_sums"])
    for datasource, columns in sums.items():
        seen |= await _loads_of(druid, datasource, sorted(columns))
    for task_id, task in tasks.items():
        rows, found = seen.get(task_id, (0, {}))
        if task["status"] != "SUCCEEDED":
            if rows:
                verdict.doubled.append(
                    f"I3 {task_id} is {task['status']}, and {rows} of its rows are in Druid"
                )
        elif task["load_state"] == "REVERTED":
            if rows:
                verdict.doubled.append(
                    f"I3 {task_id} was reverted, and {rows} of its rows are in Druid"
                )
        elif task["load_state"] == "REPLACED":
            if rows:
                found_rows = f"{rows} of its {task['row_count']} rows are in Druid"
                verdict.doubled.append(f"I2 {task_id} is REPLACED, and {found_rows}")
        elif task["load_state"] == "PARTLY_REPLACED":
            if not 0 < rows < task["row_count"]:
                found_rows = f"{rows} of its {task['row_count']} rows are in Druid"
                verdict.broken.append(f"I2 {task_id} is PARTLY_REPLACED, and {found_rows}")
        elif task["load_state"] == "LIVE":
            if rows < task["row_count"]:
                verdict.lost.append(f"I2 {task_id} has {rows} of {task['row_count']} rows in Druid")
            elif rows > task["row_count"]:
                verdict.doubled.append(
                    f"I2 {task_id} has {rows} rows in Druid instead of {task['row_count']}"
                )
            for column, expected in task["expected_sums"].items():
                if abs(found.get(column, 0.0) - expected) > RELATIVE_TOLERANCE * max(
                    abs(expected), 1.0
                ):
                    verdict.broken.append(
                        f"I2 {task_id}: the sum of {column} is {found.get(column)} instead of {expected}"
                    )
    for unknown in seen.keys() - tasks.keys():
        verdict.doubled.append(f"I3 rows of {unknown}, which is not a task")
    running = (
        (await druid.get("/druid/indexer/v1/tasks", params={"state": "running"}))
        .raise_for_status()
        .json()
    )
    for each in running:
        owner = next(
            (task_id for task_id in tasks if each["id"].startswith(f"sluice-{task_id}-")), None
        )
        if owner and State(tasks[owner]["status"]) in TERMINAL:
            verdict.doubled.append(f"I3 {owner} has ended, and {each['id']} still runs in Druid")


async def _loads_of(
    druid: httpx.AsyncClient, datasource: str, columns: Sequence[str]
) -> dict[str, tuple[int, dict[str, float]]]:
    """Return the rows and sums of each load in a datasource."""
    figures = ", ".join(f'SUM(CAST("{column}" AS DOUBLE))' for column in columns)
    sql = f'SELECT "__load_id", COUNT(*){", " if figures else ""}{figures} FROM "{datasource}" GROUP BY 1'
    answer = await druid.post(
        "/druid/v2/sql",
        json={"query": sql, "resultFormat": "array", "context": {"useCache": False}},
    )
    if answer.status_code == httpx.codes.BAD_REQUEST and "not found" in answer.text:
        return {}
    rows: list[list[Any]] = answer.raise_for_status().json()
    return {
        row[0]: (
            row[1],
            {name: float(value or 0) for name, value in zip(columns, row[2:], strict=True)},
        )
        for row in rows
    }


async def _check_objects(evidence: Evidence, tasks: dict[str, Row], verdict: Verdict) -> None:
    """I4: every object belongs to a task, every open multipart upload to a PENDING task."""
    keys = await _keys(evidence)
    for key in keys:
        if key.startswith("uploads/"):
            task = next(
                (
                    row
                    for row in tasks.values()
                    if row["file_uri"] == f"s3://{evidence.bucket}/{key}"
                ),
                None,
            )
            if task is None:
                verdict.broken.append(f"I4 {key} belongs to no task")
            elif task["sha256"] == b"" and State(task["status"]) in TERMINAL:
                verdict.broken.append(
                    f"I4 {key} is kept for {task['task_id']}, whose upload was {task['status']}"
                )
        elif key.split("/")[1] not in tasks:
            verdict.broken.append(f"I4 {key} belongs to no task")
    for task_id, task in tasks.items():
        if (
            task["status"] == "SUCCEEDED"
            and task["file_uri"].removeprefix(f"s3://{evidence.bucket}/") not in keys
        ):
            verdict.lost.append(f"I4 the object of {task_id} is gone")
    answer = await evidence.objects.list_multipart_uploads(
        Bucket=evidence.bucket, Prefix="uploads/"
    )
    pending = {row["file_uri"] for row in tasks.values() if row["status"] == "PENDING"}
    for upload in answer.get("Uploads", []):
        if f"s3://{evidence.bucket}/{upload['Key']}" not in pending:
            verdict.broken.append(f"I4 a multipart upload of {upload['Key']} is open")


async def _keys(evidence: Evidence) -> set[str]:
    pages = evidence.objects.get_paginator("list_objects_v2").paginate(Bucket=evidence.bucket)
    return {
        each["Key"] for page in [page async for page in pages] for each in page.get("Contents", [])
    }


def _check_events(events: Sequence[Row], tasks: dict[str, Row], verdict: Verdict) -> None:
    """I5: events follow the state machine, without gaps, with one final state. I6: no write has an
    outdated attempt.
    """
    by_task: dict[str, list[Row]] = defaultdict(list)
    for event in events:
        by_task[event["task_id"]].append(event)
    for task_id, task in tasks.items():
        log = by_task[task_id]
        if [event["sequence"] for event in log] != list(range(1, task["last_sequence"] + 1)):
            verdict.broken.append(f"I5 the events of {task_id} have a gap")
        states = [State(event["state"]) for event in log if event["kind"] == "STATE"]
        for before, after in pairwise(states):
            if after not in TRANSITIONS[before]:
                verdict.broken.append(f"I5 {task_id} went from {before} to {after}")
        if sum(state in TERMINAL for state in states) > 1 or (
            states and states[-1] != task["status"]
        ):
            verdict.broken.append(
                f"I1 {task_id} is {task['status']} and its events end with {states}"
            )
        attempts = [event["attempt"] for event in log]
        if attempts != sorted(attempts):
            verdict.broken.append(f"I6 {task_id} was written to by an old attempt: {attempts}")


def drop_path(datasource: str) -> str:
    """Return the path of Druid's API that drops a datasource."""
    return f"/druid/coordinator/v1/datasources/{quote(datasource)}"
