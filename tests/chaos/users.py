"""People who send files and do not give up: they ask again under the same request id, and in the
end under a new one.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

import httpx

from tests.chaos.files import File
from tests.chaos.plan import Plan, Upload

PATIENCE_S = 150.0
WATCH_S = 300.0
WATCH_TIMEOUT_S = 30.0
"""Twice the time between two signs of life of a stream of events."""

TRIES_PER_ID = 4
PIECE = 128 * 1024

_BOUNDARY = "chaos-of-sluice"


@dataclass
class Sent:
    """What a person knows in the end."""

    upload: Upload
    file: File
    request_ids: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    """Task ids of the answers 202."""
    refusal: str = ""
    """The last answer that was no 202."""
    cancelled: bool = False
    """Whether a cancel was answered with yes."""
    undone: bool = False
    """Whether an undo was."""
    watched: list[int] = field(default_factory=list)
    """Sequence numbers of the events that were shown of the first accepted task, as they came."""


async def send(http: httpx.AsyncClient, plan: Plan, upload: Upload, file: File, run: str) -> Sent:
    """Sends until it is accepted or refused for what it is."""
    sent = Sent(upload, file)
    until = monotonic() + PATIENCE_S
    leaves_after = upload.leaves_after
    tries = 0
    while monotonic() < until and not sent.accepted:
        if tries % TRIES_PER_ID == 0:
            sent.request_ids.append(f"{run}-{plan.seed}-{upload.number}-{tries // TRIES_PER_ID}")
        tries += 1
        posts = [_post(http, sent, leaves_after) for _ in range(2 if upload.twice else 1)]
        answers = await asyncio.gather(*posts)
        leaves_after = None
        for answer in answers:
            if answer is None:
                continue
            if answer.status_code == httpx.codes.ACCEPTED:
                sent.accepted.append(answer.json()["task_id"])
            else:
                sent.refusal = f"{answer.status_code} {answer.text[:300]}"
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
            sent.cancelled = await _agreed(http, sent.accepted[0], "cancel", until)
        await watching
        if upload.undone:
            sent.undone = await _agreed(http, sent.accepted[0], "revert", monotonic() + PATIENCE_S)
    return sent


async def _watch(http: httpx.AsyncClient, task_id: str, seen: list[int]) -> None:
    """Follows the task to its end, as a page does: a connection that breaks is made again, after
    the last event that came.
    """
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
                        # One after the other: what came before the connection broke counts.
                        seen.append(int(value))
        await asyncio.sleep(0.2)


async def _post(
    http: httpx.AsyncClient, sent: Sent, leaves_after: float | None
) -> httpx.Response | None:
    """The answer; None where there was none."""
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
    """The client went away, as planned."""


async def _body(sent: Sent, leaves_after: float | None) -> AsyncIterator[bytes]:
    yield f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="datasource_name"\r\n\r\n{sent.upload.datasource}\r\n'.encode()
    mode = "replace" if sent.upload.replaces else "append"
    yield f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="mode"\r\n\r\n{mode}\r\n'.encode()
    yield f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{sent.file.name}"\r\n\r\n'.encode()
    data = sent.file.data
    end = len(data) if leaves_after is None else int(len(data) * leaves_after)
    for start in range(0, end, PIECE):
        yield data[start : min(start + PIECE, end)]
        # A network, not a memory: a large file takes a while.
        await asyncio.sleep(0.02)
    if leaves_after is not None:
        raise _LeftError
    yield f"\r\n--{_BOUNDARY}--\r\n".encode()


async def _agreed(http: httpx.AsyncClient, task_id: str, what: str, until: float) -> bool:
    """Whether a cancel or an undo is answered with yes; asked again where there is no answer."""
    while monotonic() < until:
        with suppress(httpx.TransportError):
            answer = await http.post(f"/api/ingest/tasks/{task_id}/{what}", timeout=15)
            if answer.is_success:
                return True
            if answer.status_code == httpx.codes.CONFLICT:
                return False
        await asyncio.sleep(0.3)
    return False
