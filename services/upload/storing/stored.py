"""What the object store holds of an upload that is not finished. It is asked each time, so no
process has to remember anything.

Parts lie at fixed places: part n holds the bytes from (n - 1) x part size on, whichever process
writes it and however often the upload was interrupted. What an interrupted stream leaves of its
last part lies beside it as a tail, an object that is named after the place where it begins; a tail
whose place is covered by parts meanwhile has no meaning any more.
"""

from dataclasses import dataclass

from services.upload.ports import ObjectStore, StoredPart
from services.upload.storing import names
from sluice.status.v1.status_pb2 import Task

TAILS = f"{names.PREFIX}.tails/"
"""No datasource begins with a dot, so no user's file is ever below it."""

_SMALLEST_PART = 5 * 1024 * 1024


@dataclass(frozen=True)
class Stored:
    """Bytes that are safe. `whole` where the object is there already, and only the task does not
    know.
    """

    size: int
    part_size: int
    multipart_id: str = ""
    parts: tuple[StoredPart, ...] = ()
    tail_size: int = 0
    whole: bool = False

    @property
    def parts_size(self) -> int:
        """Bytes in the parts."""
        return self.size - self.tail_size


def tail_key(task_id: str, start: int) -> str:
    """Key of the tail that begins at byte `start`."""
    return f"{TAILS}{task_id}/{start:020d}"


async def stored(store: ObjectStore, task: Task, part_size: int) -> Stored:
    """What there is of the file. `part_size` is the size of its parts where there is none yet.

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
        # Whatever the setting is now: the places of an upload's parts do not change.
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
