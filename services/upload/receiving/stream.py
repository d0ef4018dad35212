"""One stream on its way, and how it failed."""

from dataclasses import dataclass, field
from time import perf_counter

from services.common.errors import SluiceError
from services.common.timing import Timings
from services.upload.receiving.multipart import PartWriter
from services.upload.receiving.tee import Tee
from services.upload.receiving.writers import Writer
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.common.v1.task_pb2 import UploadMode
from sluice.status.v1.status_pb2 import Task

ENDED_MEANWHILE = {ErrorReason.ERROR_REASON_STATE_CONFLICT, ErrorReason.ERROR_REASON_TASK_NOT_FOUND}
"""What the status service refuses with where the task has ended."""

_NO_FILE = {ErrorReason.ERROR_REASON_FILE_TOO_LARGE, ErrorReason.ERROR_REASON_FILE_EMPTY}


class AbortedError(SluiceError):
    """The sender's own abort."""


class WrongFileError(SluiceError):
    """The file is not the one that was announced: sending the same bytes again cannot help."""


@dataclass
class Stream:
    """What belongs to one stream."""

    task: Task
    writer: Writer
    parts: PartWriter
    tee: Tee
    timings: Timings
    begun_at: int
    """Bytes that were there before it."""
    tail: bytes
    """Those of them that are not in a part yet."""
    started: float = field(default_factory=perf_counter)

    @property
    def resumable(self) -> bool:
        """Whether what has arrived is kept when the stream breaks."""
        return self.task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE

    def survives(self, failure: Exception) -> bool:
        """Whether the upload can go on after `failure` with another stream."""
        if not self.resumable or isinstance(failure, AbortedError | WrongFileError):
            return False
        return not (
            isinstance(failure, SluiceError) and failure.reason in _NO_FILE | ENDED_MEANWHILE
        )
