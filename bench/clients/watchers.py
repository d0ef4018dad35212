"""Clients that follow tasks through the gateway with SSE or GraphQL subscriptions, and record when
they received each status.
"""

import asyncio
import json
from contextlib import suppress
from dataclasses import dataclass, field
from time import time
from typing import Protocol

import aiohttp

from bench.clients.gateway import TERMINAL

SUBSCRIPTION = """subscription Follow($taskId: ID!) { ingestionTask(taskId: $taskId) {
  taskId status message datasourceName originalFilename fileSize receivedSize rowCount errorMessage updatedAt } }"""


class Watcher(Protocol):
    """A client that follows one task."""

    task_id: str
    received: dict[str, float]
    """Status -> Unix time at which it was first received."""
    following: asyncio.Event
    """Set once the watch is established."""

    async def follow(self) -> None:
        """Follow the task until its end; reconnect and resume after a connection loss."""
        ...

    def drop(self) -> None:
        """Cut the connection."""
        ...


@dataclass(eq=False)
class Sse:
    """Behaves like a browser's EventSource: resumes with Last-Event-ID."""

    http: aiohttp.ClientSession
    task_id: str
    received: dict[str, float] = field(default_factory=dict)
    following: asyncio.Event = field(default_factory=asyncio.Event)
    sequences: list[int] = field(default_factory=list)
    _answer: aiohttp.ClientResponse | None = None

    async def follow(self) -> None:
        """Follow the task until its end."""
        while not TERMINAL & self.received.keys():
            with suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
                await self._read()

    async def _read(self) -> None:
        headers = {"Last-Event-ID": str(self.sequences[-1])} if self.sequences else {}
        async with self.http.get(
            f"/api/ingest/tasks/{self.task_id}/events", headers=headers
        ) as answer:
            self._answer = answer
            answer.raise_for_status()
            self.following.set()
            async for line in answer.content:
                if line.startswith(b"data: "):
                    now, event = time(), json.loads(line[6:])
                    self.sequences.append(event["sequence"])
                    if event["kind"] == "state":
                        self.received.setdefault(event["status"], now)

    def drop(self) -> None:
        """Cut the connection."""
        if self._answer is not None:
            self._answer.close()


@dataclass(eq=False)
class Subscription:
    """Behaves like Apollo's client over graphql-transport-ws: subscribes again after a connection
    loss, and receives the current task.
    """

    http: aiohttp.ClientSession
    task_id: str
    received: dict[str, float] = field(default_factory=dict)
    following: asyncio.Event = field(default_factory=asyncio.Event)
    _socket: "aiohttp.ClientWebSocketResponse | None" = None

    async def follow(self) -> None:
        """Follow the task until its end."""
        while not TERMINAL & self.received.keys():
            with suppress(aiohttp.ClientError, ConnectionError, TimeoutError):
                await self._read()

    async def _read(self) -> None:
        async with self.http.ws_connect("/graphql", protocols=["graphql-transport-ws"]) as socket:
            self._socket = socket
            await socket.send_str('{"type":"connection_init"}')
            payload = {"query": SUBSCRIPTION, "variables": {"taskId": self.task_id}}
            await socket.send_str(json.dumps({"id": "1", "type": "subscribe", "payload": payload}))
            async for message in socket:
                now, data = time(), json.loads(message.data)
                if data["type"] == "next":
                    self.following.set()
                    self.received.setdefault(
                        data["payload"]["data"]["ingestionTask"]["status"], now
                    )
                elif data["type"] in ("complete", "error"):
                    return

    def drop(self) -> None:
        """Cut the connection."""
        if self._socket is not None and self._socket._response.connection is not None:
            self._socket._response.connection.close()
