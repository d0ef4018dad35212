"""What the upload service needs of the world: an object store and the tasks."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from sluice.common.v1.errors_pb2 import Problem
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import CreateTaskRequest, Task
from sluice.validation.v1.validation_pb2 import InspectRequest, InspectResponse, Policy, ReadOptions


@dataclass(frozen=True)
class StoredPart:
    """A part that the object store has taken. The checksum is None where the store does not tell
    those of parts that it lists.
    """

    number: int
    etag: str
    crc32c: int | None
    size: int


@dataclass(frozen=True)
class FoundObject:
    """An object as it was found."""

    size: int
    etag: str


class ObjectStore(Protocol):
    """Objects by s3://bucket/key. Every method has a deadline, retries within it, and raises
    SluiceError STORAGE_UNAVAILABLE.
    """

    def uri(self, key: str) -> str:
        """The URI of a key in our bucket."""
        ...

    async def put(self, uri: str, data: bytearray, crc32c: int) -> None:
        """Writes a whole object; the store checks the CRC-32C."""
        ...

    async def open_multipart(self, uri: str, *, resumable: bool) -> str:
        """Begins a multipart upload and returns its id. A resumable one can be completed with parts
        that were only listed.
        """
        ...

    async def put_part(
        self, uri: str, multipart_id: str, number: int, data: bytearray, crc32c: int
    ) -> StoredPart:
        """Writes one part, from 1 to 10,000; the store checks the CRC-32C."""
        ...

    async def parts(self, uri: str, multipart_id: str) -> list[StoredPart] | None:
        """The parts that are there, by their number; None where there is no such multipart
        upload.
        """
        ...

    async def complete_multipart(
        self, uri: str, multipart_id: str, parts: list[StoredPart]
    ) -> None:
        """Makes the object of its parts, given in order. Idempotent."""
        ...

    async def abort_multipart(self, uri: str, multipart_id: str) -> None:
        """Frees the parts. Idempotent: one that is not there counts as aborted."""
        ...

    async def delete(self, uri: str) -> None:
        """Deletes an object. Idempotent: one that is not there counts as deleted."""
        ...

    async def size(self, uri: str) -> int | None:
        """Size of an object in bytes; None where there is none."""
        ...

    async def find(self, uri: str) -> FoundObject | None:
        """An object of any bucket; None where there is none, or none that may be read."""
        ...

    async def copy(self, source: str, target: str, found: FoundObject) -> None:
        """Makes `target` of `source`, which must be as it was found. Idempotent."""
        ...

    async def get(self, uri: str) -> bytes:
        """The bytes of an object of at most a part's size."""
        ...

    async def uris(self, prefix: str) -> list[str]:
        """Every object below a key prefix of our bucket."""
        ...

    async def open_multiparts(self, prefix: str) -> list[tuple[str, str]]:
        """URI and id of every multipart upload that is open below a key prefix of our bucket."""
        ...

    async def check(self) -> None:
        """Returns while our bucket answers."""
        ...


@dataclass(frozen=True)
class Expected:
    """What a file has to be and how it is to be read. Known of one of which nothing has arrived
    yet.
    """

    policy: Policy
    options: ReadOptions


class Validation(Protocol):
    """Reads files while they arrive."""

    def inspect(
        self, messages: AsyncIterator[InspectRequest]
    ) -> AsyncGenerator[InspectResponse, None]:
        """Hands over the messages of one file; what is found in it.

        Raises:
            SluiceError: INSPECTION_REFUSED, or whatever else went wrong with the call.
        """
        ...


class Tasks(Protocol):
    """The tasks, kept by the status service.

    Every method raises SluiceError with the code that the rpc names, or SERVICE_UNAVAILABLE,
    DATABASE_UNAVAILABLE or DEADLINE_EXCEEDED after its own budget of retries is used up.
    """

    async def create(self, request: CreateTaskRequest) -> tuple[Task, bool]:
        """The task, new or found by its request id, and whether it is new."""
        ...

    async def get(self, task_id: str) -> Task:
        """One task."""
        ...

    async def begin(self, task_id: str, received: int, multipart_id: str, writer: str) -> Expected:
        """Makes `writer` the one that may write to the task. Earlier ones are refused with
        WRITER_REPLACED from here on.
        """
        ...

    async def report(
        self,
        task_id: str,
        received: int,
        multipart_id: str,
        writer: str,
        rate: float,
        findings: Sequence[Problem] = (),
    ) -> None:
        """A sign of life with the bytes so far, the bytes a second, and what is wrong in them.
        Tried once: the next one follows.
        """
        ...

    async def keep(self, task_id: str, received: int, multipart_id: str, writer: str) -> None:
        """Like `report`, but tried until it is known: what it says must not get lost."""
        ...

    async def complete(self, task_id: str, size: int, sha256: bytes, writer: str) -> Task:
        """PENDING -> UPLOADED."""
        ...

    async def end(
        self,
        task_id: str,
        state: "TaskState.ValueType",
        problem: Problem,
        writer: str = "",
        *,
        unless_begun: bool = False,
    ) -> Task:
        """PENDING -> a bad end. A task that is terminal already stays as it is and is returned so,
        and so is, with `unless_begun`, one of which any writer has begun. Without `writer` whoever
        writes."""
        ...

    def pending(self, idle_s: int = 0) -> AsyncIterator[Task]:
        """All PENDING tasks, or those that nothing has changed for so many seconds."""
        ...
