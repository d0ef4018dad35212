"""State of one stream, and the errors that end it."""

from dataclasses import dataclass, field
from time import perf_counter

from services.common import errors
from services.common.errors import SluiceError
from services.common.timing import Timings
from services.upload.receiving.multipart import PartWriter
from services.upload.receiving.tee import Tee
from services.upload.receiving.writers import Writer
from sluice.common.v1.errors_pb2 import ErrorReason, Problem
from sluice.common.v1.task_pb2 import UploadMode
from sluice.status.v1.status_pb2 import Task

ALREADY_ENDED = {ErrorReason.ERROR_REASON_STATE_CONFLICT, ErrorReason.ERROR_REASON_TASK_NOT_FOUND}
"""Errors of the status service if the task has already ended."""

_NO_FILE = {ErrorReason.ERROR_REASON_FILE_TOO_LARGE, ErrorReason.ERROR_REASON_FILE_EMPTY}


class AbortedError(SluiceError):
    """The sender aborted the upload."""


class WrongFileError(SluiceError):
    """The file differs from its announced size or checksum. Sending it again cannot help."""


def problem_of(failure: Exception) -> Problem:
    """Return the problem of a failure; INTERNAL for one without a code."""
    if isinstance(failure, SluiceError):
        return failure.problem
    message = "An internal error occurred while receiving the file."
    return errors.problem(ErrorReason.ERROR_REASON_INTERNAL, message)


@dataclass
class Stream:
    """State of one stream."""

    task: Task
    writer: Writer
    parts: PartWriter
    tee: Tee
    timings: Timings
    start_size: int
    """Bytes that were stored before this stream."""
    tail: bytes
    """The last of these bytes, which are not in a part yet."""
    started: float = field(default_factory=perf_counter)

    @property
    def resumable(self) -> bool:
        """Whether the stored bytes are kept if the stream breaks."""
        return self.task.upload_mode == UploadMode.UPLOAD_MODE_RESUMABLE

    def survives(self, failure: Exception) -> bool:
        """Whether another stream can resume the upload after `failure`."""
        if not self.resumable or isinstance(failure, AbortedError | WrongFileError):
            return False
        return not (isinstance(failure, SluiceError) and failure.reason in _NO_FILE | ALREADY_ENDED)
