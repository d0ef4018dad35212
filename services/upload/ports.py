"""What the upload service requires from outside: object store, tasks and validation."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice.common.v1.errors_pb2 import Problem
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import CreateTaskRequest, Task
from sluice.validation.v1.validation_pb2 import InspectRequest, InspectResponse, Policy, ReadOptions


@dataclass(frozen=True)
class StoredPart:
    """A stored part. `crc32c` is None if the store lists parts without their checksums."""

    number: int
    etag: str
    crc32c: int | None
    size: int


@dataclass(frozen=True)
class FoundObject:
    """Size and ETag of an existing object."""

    size: int
    etag: str


class ObjectStore(Protocol):
    """Objects by s3://bucket/key.

    Every method has a deadline, retries within it, and raises SluiceError STORAGE_UNAVAILABLE.
    """

    def uri(self, key: str) -> str:
        """Return the URI of a key in the configured bucket."""

    async def put(self, uri: str, data: bytearray, crc32c: int) -> None:
        """Write a whole object; the store checks the CRC-32C."""

    async def open_multipart(self, uri: str, *, resumable: bool) -> str:
        """Open a multipart upload and return its id.

        A resumable one can be completed from a list of its parts, without their checksums.
        """

    async def put_part(
        self, uri: str, multipart_id: str, number: int, data: bytearray, crc32c: int
    ) -> StoredPart:
        """Write a part, with a number from 1 to 10,000; the store checks the CRC-32C."""

    async def parts(self, uri: str, multipart_id: str) -> list[StoredPart] | None:
        """Return the stored parts by number; None if the multipart upload does not exist."""

    async def complete_multipart(
        self, uri: str, multipart_id: str, parts: list[StoredPart]
    ) -> None:
        """Create the object from its parts, in order. Idempotent."""

    async def abort_multipart(self, uri: str, multipart_id: str) -> None:
        """Delete a multipart upload and its parts. Idempotent."""

    async def delete(self, uri: str) -> None:
        """Delete an object. Idempotent."""

    async def size(self, uri: str) -> int | None:
        """Return the size of an object in bytes; None if it does not exist."""

    async def find(self, uri: str) -> FoundObject | None:
        """Find an object in any bucket; None if it does not exist or may not be read."""

    async def copy(self, source: str, target: str, found: FoundObject) -> None:
        """Copy an object that has not changed since it was found. Idempotent."""

    async def get(self, uri: str) -> bytes:
        """Read an object that is not larger than a part."""

    async def uris(self, prefix: str) -> list[str]:
        """Return the URIs of all objects below a key prefix of the configured bucket."""

    async def open_multiparts(self, prefix: str) -> list[tuple[str, str]]:
        """Return URI and id of all open multipart uploads below a key prefix."""

    async def check(self) -> None:
        """Return if the configured bucket is available; raise any exception otherwise."""


@dataclass(frozen=True)
class Expected:
    """The policy and read options of a file, known before its first byte arrives."""

    policy: Policy
    options: ReadOptions


class Validation(Protocol):
    """Inspects files as they arrive."""

    def inspect(
        self, messages: AsyncIterator[InspectRequest]
    ) -> AsyncGenerator[InspectResponse, None]:
        """Send the messages of one file and yield the findings.

        Raises:
            SluiceError: INSPECTION_REFUSED, or another failure of the call.
        """


class Tasks(Protocol):
    """The tasks, stored by the status service.

    Every method raises SluiceError with the codes of its RPC, or, when its retry budget is
    exhausted, SERVICE_UNAVAILABLE, DATABASE_UNAVAILABLE or DEADLINE_EXCEEDED.
    """

    async def create(self, request: CreateTaskRequest) -> tuple[Task, bool]:
        """Create a task, or find it by its request id. Return it and whether it is new."""

    async def get(self, task_id: str) -> Task:
        """Return a task."""

    async def begin(self, task_id: str, received: int, multipart_id: str, writer: str) -> Expected:
        """Make `writer` the writer of the upload. Earlier writers then get WRITER_REPLACED."""

    async def report(
        self,
        task_id: str,
        received: int,
        multipart_id: str,
        writer: str,
        rate: float,
        findings: Sequence[Problem] = (),
    ) -> None:
        """Send a heartbeat with the bytes received, the bytes per second and the findings.

        It is not retried, because the next one follows.
        """

    async def keep(self, task_id: str, received: int, multipart_id: str, writer: str) -> None:
        """Record the bytes received before the stream ends. Unlike `report`, it is retried."""

    async def complete(self, task_id: str, size: int, sha256: bytes, writer: str) -> Task:
        """Complete the upload: PENDING -> UPLOADED."""

    async def end(
        self,
        task_id: str,
        state: "TaskState.ValueType",
        problem: Problem,
        writer: str = "",
        *,
        unless_begun: bool = False,
    ) -> Task:
        """End the upload: PENDING -> REJECTED, FAILED or CANCELLED. Return the task.

        A task that is already terminal does not change. With `unless_begun`, neither does a task
        that has a writer. Without `writer`, the upload ends whoever its writer is.
        """

    def pending(self, idle_s: int = 0) -> AsyncIterator[Task]:
        """Yield the PENDING tasks that have not changed for `idle_s` seconds."""
