"""Requests for a report and for a new reading of a file, from REST and GraphQL alike."""

from gateway.documents.options import read_options
from services.common import task_states
from services.common.errors import error
from sluice.common.v1.errors_pb2 import ErrorReason
from sluice.status.v1.status_pb2 import RetryTaskRequest, Task
from sluice.validation.v1.validation_pb2 import ReadOptions


def retry_request(task_id: str, options: object, request_id: str) -> RetryTaskRequest:
    """The request to read a stored file again.

    Raises:
        SluiceError: REQUEST_INVALID with the field.
    """
    read = read_options(options) or ReadOptions()
    return RetryTaskRequest(
        task_id=task_id, request_id=request_id, options=read.SerializeToString(deterministic=True)
    )


def report_attempt(task: Task) -> int:
    """The attempt that wrote the task's report.

    Raises:
        SluiceError: REPORT_NOT_FOUND.
    """
    if not task.report_attempt:
        text = f"The task has no report; it is {task_states.name_of(task.state)}."
        raise error(ErrorReason.ERROR_REASON_REPORT_NOT_FOUND, text)
    return task.report_attempt
