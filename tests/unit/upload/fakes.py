"""In-memory fakes of the ports of the upload service, with a plan of which call fails."""

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import crc32c

from services.common import errors
from services.upload.ports import Expected, FoundObject, StoredPart, Validation
from services.upload.receiving.background import Background
from services.upload.receiving.receiver import Receiver
from services.upload.receiving.steps import Step
from services.upload.receiving.tee import Tees
from services.upload.resuming.imports import Imports
from services.upload.resuming.uploads import NewUpload, Uploads
from services.upload.settings import Settings
from services.upload.sweeping.cleanup import Cleanup
from services.upload.sweeping.sweeper import Sweeper
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import LoadMode, TaskState, UploadMode
from sluice.status.v1.status_pb2 import CreateTaskRequest, Task
from sluice.validation.v1.validation_pb2 import Policy, ReadOptions

PART = 5 * 1024 * 1024
"""The minimum part size of the settings."""

Fault = Literal["before", "after", "outage", "leave"]
"""Before: the call fails without effect. After: it has its effect, but the response is lost.
Outage: it and all later ones fail. Leave: the client disconnects during it.
"""


class Faults:
    """Counts the calls and makes number `at` fail; 0: none."""

    def __init__(self, at: int = 0, fault: Fault = "before") -> None:
        self.at = at
        self.fault = fault
        self.calls: list[str] = []
        self.leave = asyncio.Event()

    @property
    def struck(self) -> bool:
        """Whether the planned call was made."""
        return 0 < self.at <= len(self.calls)

    @asynccontextmanager
    async def call(self, name: str, reason: "ErrorReason.ValueType") -> AsyncIterator[None]:
        self.calls.append(name)
        faulty = len(self.calls) == self.at
        await asyncio.sleep(0)
        out = self.fault == "outage" and 0 < self.at <= len(self.calls)
        if out or (faulty and self.fault == "before"):
            raise errors.error(reason, f"{name} failed as planned")
        if faulty and self.fault == "leave":
            self.leave.set()
            await asyncio.sleep(0)
        yield
        if faulty and self.fault == "after":
            raise errors.error(reason, f"the answer of {name} was lost as planned")


class FakeStore:
    """ObjectStore."""

    def __init__(self, faults: Faults) -> None:
        self.objects: dict[str, bytes] = {}
        self.multiparts: dict[tuple[str, str], dict[int, bytes]] = {}
        self.at_once = 0
        self.most_at_once = 0
        self.full_at = 0
        """Parts that must be in flight before the first of them is stored."""
        self._full = asyncio.Event()
        self._faults = faults
        self._next = 0

    def _call(self, name: str) -> Any:
        return self._faults.call(name, ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE)

    def uri(self, key: str) -> str:
        return f"s3://bucket/{key}"

    async def put(self, uri: str, data: bytearray, checksum: int) -> None:
        async with self._call("put"):
            assert crc32c.crc32c(data) == checksum
            self.objects[uri] = bytes(data)

    async def open_multipart(self, uri: str, *, resumable: bool) -> str:
        async with self._call("open_multipart"):
            self._next += 1
            self.multiparts[uri, f"m{self._next}"] = {}
        return f"m{self._next}"

    async def put_part(
        self, uri: str, multipart_id: str, number: int, data: bytearray, checksum: int
    ) -> StoredPart:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.at_once >= self.full_at:
            self._full.set()
        try:
            await self._full.wait()
            async with self._call("put_part"):
                # Later parts may be stored first.
                for _ in range(8 - number % 8):
                    await asyncio.sleep(0)
                assert crc32c.crc32c(data) == checksum
                self.multiparts[uri, multipart_id][number] = bytes(data)
        finally:
            self.at_once -= 1
        return _part(number, bytes(data))

    async def parts(self, uri: str, multipart_id: str) -> list[StoredPart] | None:
        async with self._call("parts"):
            found = self.multiparts.get((uri, multipart_id))
        # A store need not list the checksums of parts.
        return (
            None
            if found is None
            else [
                replace(_part(number, data), crc32c=None) for number, data in sorted(found.items())
            ]
        )

    async def complete_multipart(
        self, uri: str, multipart_id: str, parts: list[StoredPart]
    ) -> None:
        async with self._call("complete_multipart"):
            stored = self.multiparts.pop((uri, multipart_id))
            assert [part.number for part in parts] == list(range(1, len(parts) + 1))
            assert len({part.size for part in parts[:-1]}) <= 1
            assert all(part.etag == _part(part.number, stored[part.number]).etag for part in parts)
            self.objects[uri] = b"".join(stored[part.number] for part in parts)

    async def abort_multipart(self, uri: str, multipart_id: str) -> None:
        async with self._call("abort_multipart"):
            self.multiparts.pop((uri, multipart_id), None)

    async def delete(self, uri: str) -> None:
        async with self._call("delete"):
            self.objects.pop(uri, None)

    async def size(self, uri: str) -> int | None:
        async with self._call("size"):
            return len(self.objects[uri]) if uri in self.objects else None

    async def find(self, uri: str) -> FoundObject | None:
        async with self._call("find"):
            return FoundObject(len(self.objects[uri]), "etag") if uri in self.objects else None

    async def copy(self, source: str, target: str, found: FoundObject) -> None:
        async with self._call("copy"):
            assert len(self.objects[source]) == found.size
            self.objects[target] = self.objects[source]

    async def get(self, uri: str) -> bytes:
        async with self._call("get_object"):
            return self.objects[uri]

    async def uris(self, prefix: str) -> list[str]:
        async with self._call("uris"):
            return [uri for uri in self.objects if uri.startswith(self.uri(prefix))]

    async def open_multiparts(self, prefix: str) -> list[tuple[str, str]]:
        async with self._call("open_multiparts"):
            return [key for key in self.multiparts if key[0].startswith(self.uri(prefix))]

    async def check(self) -> None:
        return


def _part(number: int, data: bytes) -> StoredPart:
    return StoredPart(
        number, hashlib.md5(data, usedforsecurity=False).hexdigest(), crc32c.crc32c(data), len(data)
    )


class FakeTasks:
    """Implements ports.Tasks with the rules of status.proto."""

    def __init__(self, faults: Faults) -> None:
        self.tasks: dict[str, Task] = {}
        self.reports: list[tuple[int, str]] = []
        self.findings: list[Problem] = []
        """The findings of the last report."""
        self.reported = asyncio.Event()
        self.writers: dict[str, str] = {}
        self.idle_s = math.inf
        """Seconds since the last change of all tasks."""
        self._requests: dict[str, str] = {}
        self._faults = faults

    def _call(self, name: str) -> Any:
        return self._faults.call(name, ErrorReason.ERROR_REASON_SERVICE_UNAVAILABLE)

    def _pending(self, task_id: str, writer: str = "") -> Task:
        task = self.tasks[task_id]
        if (
            task.state == TaskState.TASK_STATE_PENDING
            and writer
            and writer != self.writers.get(task_id)
        ):
            raise errors.error(ErrorReason.ERROR_REASON_WRITER_REPLACED, "another writer began")
        if task.state != TaskState.TASK_STATE_PENDING:
            raise errors.error(
                ErrorReason.ERROR_REASON_STATE_CONFLICT, f"it is {TaskState.Name(task.state)}"
            )
        return task

    async def create(self, request: CreateTaskRequest) -> tuple[Task, bool]:
        async with self._call("create"):
            known = self._requests.setdefault(request.request_id, request.task_id)
            if known == request.task_id:
                self.tasks[known] = Task(
                    task_id=request.task_id,
                    state=TaskState.TASK_STATE_PENDING,
                    datasource=request.datasource,
                    filename=request.filename,
                    file_uri=request.file_uri,
                    file_size=request.file_size if request.HasField("file_size") else None,
                    sha256=request.sha256,
                    upload_mode=request.upload_mode,
                    load_mode=request.load_mode,
                    client_metadata=request.client_metadata,
                    client=request.client,
                )
        return self.tasks[known], known == request.task_id

    async def get(self, task_id: str) -> Task:
        async with self._call("get"):
            if task_id not in self.tasks:
                raise errors.error(ErrorReason.ERROR_REASON_TASK_NOT_FOUND, "no such task")
        copy = Task()
        copy.CopyFrom(self.tasks[task_id])
        return copy

    async def begin(self, task_id: str, received: int, multipart_id: str, writer: str) -> Expected:
        async with self._call("begin"):
            task = self._pending(task_id)
            self.writers[task_id] = writer
            task.received_size, task.multipart_id = received, multipart_id
        return Expected(Policy(), ReadOptions())

    async def report(
        self,
        task_id: str,
        received: int,
        multipart_id: str,
        writer: str,
        rate: float,
        findings: Sequence[Problem] = (),
    ) -> None:
        async with self._call("report"):
            self._note(task_id, received, multipart_id, writer)
            self.reports.append((received, multipart_id))
            self.findings = list(findings)
            self.reported.set()

    async def keep(self, task_id: str, received: int, multipart_id: str, writer: str) -> None:
        async with self._call("keep"):
            self._note(task_id, received, multipart_id, writer)

    def _note(self, task_id: str, received: int, multipart_id: str, writer: str) -> None:
        task = self._pending(task_id, writer)
        task.received_size = max(task.received_size, received)
        task.multipart_id = multipart_id or task.multipart_id

    async def complete(self, task_id: str, size: int, sha256: bytes, writer: str) -> Task:
        async with self._call("complete"):
            task = self.tasks[task_id]
            if (task.state, task.file_size, task.sha256) != (
                TaskState.TASK_STATE_UPLOADED,
                size,
                sha256,
            ):
                task = self._pending(task_id, writer)
                task.state, task.file_size, task.sha256 = (
                    TaskState.TASK_STATE_UPLOADED,
                    size,
                    sha256,
                )
        return task

    async def end(
        self,
        task_id: str,
        state: "TaskState.ValueType",
        problem: Problem,
        writer: str = "",
        *,
        unless_begun: bool = False,
    ) -> Task:
        async with self._call("end"):
            if unless_begun and task_id in self.writers:
                return self.tasks[task_id]
            if self.tasks[task_id].state in (
                TaskState.TASK_STATE_REJECTED,
                TaskState.TASK_STATE_FAILED,
                TaskState.TASK_STATE_CANCELLED,
            ):
                return self.tasks[task_id]
            task = self._pending(task_id, writer)
            task.state = state
            task.problem.CopyFrom(problem)
        return task

    async def pending(self, idle_s: int = 0) -> AsyncIterator[Task]:
        async with self._call("pending"):
            found = [
                task for task in self.tasks.values() if task.state == TaskState.TASK_STATE_PENDING
            ]
        if self.idle_s < idle_s:
            return
        for task in found:
            yield task


class World:
    """An upload service with fakes."""

    def __init__(
        self, faults: Faults | None = None, validation: Validation | None = None, **settings: Any
    ) -> None:
        self.settings = Settings(
            bind_addr="127.0.0.1:0",
            status_addr="127.0.0.1:1",
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            s3_bucket_name="bucket",
            **{"part_size_bytes": PART, **settings},
        )
        self.faults = faults or Faults()
        self.store = FakeStore(self.faults)
        self.tasks = FakeTasks(self.faults)
        self.background = Background()
        self.cleanup = Cleanup(self.store)
        self.tees = Tees(validation)
        self.receiver = self.new_receiver()
        self.uploads = Uploads(self.settings, self.store, self.tasks, self.cleanup, self.receiver)
        self.imports = Imports(
            self.settings, self.store, self.tasks, self.cleanup, self.receiver, self.background
        )
        self.sweeper = Sweeper(self.settings, self.store, self.tasks, self.cleanup, self.receiver)

    def new_receiver(self) -> Receiver:
        """Create the receiver of another process."""
        return Receiver(
            self.settings, self.store, self.tasks, self.cleanup, self.background, self.tees
        )

    async def create(self, **changes: Any) -> Task:
        """Create an upload."""
        new = {
            "request_id": "r1",
            "datasource": "sales",
            "filename": "Sales.csv",
            "size": None,
            "sha256": b"",
            "upload_mode": UploadMode.UPLOAD_MODE_ONE_SHOT,
            "load_mode": LoadMode.LOAD_MODE_APPEND,
            "allow_duplicate": False,
        }
        task, _ = await self.uploads.create(NewUpload(**{**new, **changes}))
        return task

    def nothing_is_stored(self) -> bool:
        """Whether there is neither an object nor an open multipart upload."""
        return not self.store.objects and not self.store.multiparts


async def steps(*given: Step) -> AsyncIterator[Step]:
    """A stream that ends after these messages."""
    for step in given:
        yield step


async def silent(*given: Step) -> AsyncIterator[Step]:
    """A stream that stays open after these messages."""
    for step in given:
        yield step
    await asyncio.Event().wait()
