"""Users who upload files and retry with the same request id, and finally with a new one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

import httpx

from tests.chaos.files import File
from tests.chaos.plan import Plan, Upload

RETRY_BUDGET_S = 150.0
WATCH_S = 300.0
WATCH_TIMEOUT_S = 30.0
"""Twice the heartbeat interval of an event stream."""

ATTEMPTS_PER_ID = 4
PIECE = 128 * 1024

_BOUNDARY = "chaos-of-sluice"


@dataclass
class Sent:
    """What a user knows about an upload in the end."""

    upload: Upload
    file: File
    request_ids: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    """Task ids of the 202 responses."""
    rejection: str = ""
    """The last response that was not 202."""
    cancelled: bool = False
    """Whether a cancel was accepted."""
    undone: bool = False
    """Whether a revert was accepted."""
    watched: list[int] = field(default_factory=list)
    """Sequence numbers of the received events of the first accepted task, in order."""


async def send(http: httpx.AsyncClient, plan: Plan, upload: Upload, file: File, run: str) -> Sent:
    """Send the upload until it is accepted or rejected permanently."""
    sent = Sent(upload, file)
    until = monotonic() + RETRY_BUDGET_S
    leaves_after = upload.leaves_after
    attempts = 0
    while monotonic() < until and not sent.accepted:
        if attempts % ATTEMPTS_PER_ID == 0:
            number = attempts // ATTEMPTS_PER_ID
            sent.request_ids.append(f"{run}-{plan.seed}-{upload.number}-{number}")
        attempts += 1
        posts = [_post(http, sent, leaves_after) for _ in range(2 if upload.twice else 1)]
        answers = await asyncio.gather(*posts)
        leaves_after = None
        for answer in answers:
            if answer is None:
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                sent.accepted.append(answer.json()["task_id"])
            else:
                sent.rejection = f"{answer.status_code} {answer.text[:300]}"
        if any(
            answer is not None and answer.status_code in (400, 413, 415, 422) for answer in answers
        ):
            break
        if not sent.accepted:
            await asyncio.sleep(0.5)
    if sent.accepted:
        watching = asyncio.create_task(_watch(http, sent.accepted[0], sent.watched))
        if upload.cancel_after_s is not None:
            await asyncio.sleep(upload.cancel_after_s)
            sent.cancelled = await _request(http, sent.accepted[0], "cancel", until)
        await watching
        if upload.undone:
            sent.undone = await _request(
                http, sent.accepted[0], "revert", monotonic() + RETRY_BUDGET_S
            )
    return sent


async def _watch(http: httpx.AsyncClient, task_id: str, seen: list[int]) -> None:
    """Watch the task until its end as the page does: reconnect after the last received event."""
    until = monotonic() + WATCH_S
    while monotonic() < until:
        headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
        with suppress(httpx.TransportError):
            async with http.stream(
                "GET",
                f"/api/ingest/tasks/{task_id}/events",
                headers=headers,
                timeout=WATCH_TIMEOUT_S,
            ) as answer:
                if answer.status_code == httpx.codes.NO_CONTENT:
                    return
                async for line in answer.aiter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        # One by one: events received before a connection loss count.
                        seen.append(int(value))
        await asyncio.sleep(0.2)


async def _post(
    http: httpx.AsyncClient, sent: Sent, leaves_after: float | None
) -> httpx.Response | None:
    """Upload once; return the response, or None if there was none."""
    headers = {
        "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}",
        "Idempotency-Key": sent.request_ids[-1],
    }
    with suppress(httpx.TransportError, _LeftError):
        return await http.post(
            "/api/ingest/upload", content=_body(sent, leaves_after), headers=headers, timeout=40
        )
    return None


class _LeftError(Exception):
    """The client disconnects, as planned."""


async def _body(sent: Sent, leaves_after: float | None) -> AsyncIterator[bytes]:
    yield f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="datasource_name"\r\n\r\n{sent.upload.datasource}\r\n'.encode()
    mode = "replace" if sent.upload.replaces else "append"
    yield f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="mode"\r\n\r\n{mode}\r\n'.encode()
    yield f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{sent.file.name}"\r\n\r\n'.encode()
    data = sent.file.data
    end = len(data) if leaves_after is None else int(len(data) * leaves_after)
    for start in range(0, end, PIECE):
        yield data[start : min(start + PIECE, end)]
        # Simulates a network: a large file takes a while.
        await asyncio.sleep(0.02)
    if leaves_after is not None:
        raise _LeftError
    yield f"\r\n--{_BOUNDARY}--\r\n".encode()


async def _request(http: httpx.AsyncClient, task_id: str, what: str, until: float) -> bool:
    """Request a cancel or revert, retrying without a response; return whether it was accepted."""
    while monotonic() < until:
        with suppress(httpx.TransportError):
            answer = await http.post(f"/api/ingest/tasks/{task_id}/{what}", timeout=15)
            if answer.is_success:
                return True
            if answer.status_code == httpx.codes.CONFLICT:
                return False
        await asyncio.sleep(0.3)
    return False
