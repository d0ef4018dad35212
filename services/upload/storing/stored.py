"""What the object store has of an unfinished upload. Processes keep no state: it is read each time.

Parts have fixed offsets: part n starts at byte (n - 1) x part size, whichever process writes it and
however often the upload was interrupted. If a stream breaks in the middle of a part, the bytes of
that part are stored as a tail: an object named by its offset. A tail at an offset that parts cover
is ignored.
"""

from dataclasses import dataclass

from services.upload.ports import ObjectStore, StoredPart
from services.upload.storing import names
from sluice.status.v1.status_pb2 import Task

TAILS = f"{names.PREFIX}.tails/"
"""Key prefix of the tails. Datasource names never start with a dot, so no file has this prefix."""

_SMALLEST_PART = 5 * 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """The stored bytes. `whole`: the object already exists, but the task is not UPLOADED yet."""

    size: int
    part_size: int
    multipart_id: str = ""
    parts: tuple[StoredPart, ...] = ()
    tail_size: int = 0
    whole: bool = False

    @property
    def parts_size(self) -> int:
        """Bytes in the parts, without the tail."""
        return self.size - self.tail_size


def tail_key(task_id: str, start: int) -> str:
    """Return the key of the tail that starts at byte `start`."""
    return f"{TAILS}{task_id}/{start:020d}"


async def stored(store: ObjectStore, task: Task, part_size: int) -> Stored:
    """Return what is stored of the task's file. `part_size` applies if no part is stored yet.

    Raises:
        SluiceError: STORAGE_UNAVAILABLE.
    """
    listed = await store.parts(task.file_uri, task.multipart_id) if task.multipart_id else None
    if listed is None:
        whole = await store.size(task.file_uri)
        if whole is not None:
            return Stored(whole, part_size, whole=True)
        listed = []
    if listed and listed[0].size >= _SMALLEST_PART:
        # The part size of an upload never changes, even if the setting has changed.
        part_size = listed[0].size
    parts: list[StoredPart] = []
    size = 0
    for part in listed:
        last = task.HasField("file_size") and size + part.size == task.file_size
        if part.number != len(parts) + 1 or (part.size != part_size and not last):
            break
        parts.append(part)
        size += part.size
    multipart_id = task.multipart_id if listed else ""
    if size % part_size:
        return Stored(size, part_size, multipart_id, tuple(parts))
    tail_size = await store.size(store.uri(tail_key(task.task_id, size))) or 0
    return Stored(size + tail_size, part_size, multipart_id, tuple(parts), tail_size)
