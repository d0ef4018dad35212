"""Explains Druid's failure texts in plain language. The original text is kept for operators, redacted
and truncated.
"""

import re
from dataclasses import dataclass

from services.common import errors
from services.druid_gateway.http.redaction import redact
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

MAX_TEXT_CHARS = 2000
"""Maximum number of characters of Druid's text that are logged or matched."""

_STACK_FRAMES = re.compile(
    r"\s+at [\w.$/<>]+\([^()]*\)|\s+\.\.\. \d+ (more|common frames omitted)|\s+at [\w.$/<>]+$"
)
"""Stack frames mean nothing to a user, and their words would match as causes."""

_FAILED = ErrorReason.ERROR_REASON_DRUID_TASK_FAILED


@dataclass(frozen=True)
class _Cause:
    """Meaning of a text that matches `pattern`. An empty action is that of the reason."""

    pattern: str
    message: str
    action: str = ""
    reason: "ErrorReason.ValueType" = _FAILED


# The first match applies, so specific patterns come before general ones.
_CAUSES = (
    _Cause(
        r"shutdown request from user|shut ?down by|killed by|task was canceled|cancelled by",
        "The load's Druid task was stopped, by a user or by Sluice.",
        reason=ErrorReason.ERROR_REASON_DRUID_TASK_STOPPED,
    ),
    _Cause(
        r"OutOfMemory|java heap space|GC overhead|direct buffer memory|not enough (direct |heap )?memory|insufficient memory",
        "Druid ran out of memory during the load.",
        reason=ErrorReason.ERROR_REASON_DRUID_OUT_OF_MEMORY,
    ),
    _Cause(
        r"no space left|disk full|not enough (disk )?space|disk quota",
        "A disk of Druid is full.",
        reason=ErrorReason.ERROR_REASON_DRUID_DISK_FULL,
    ),
    _Cause(
        r"unparseable|ParseException|could not (be )?parse|unable to parse|max(imum)? (number of )?parse exceptions",
        "Druid could not read a row that Sluice had validated. This is a bug in Sluice.",
        "Report this with the task id.",
    ),
    _Cause(
        r"response code: 403|\b403\b.{0,20}forbidden|AccessDenied|SignatureDoesNotMatch|request has expired",
        "Druid was not allowed to read the load's files: the presigned URLs had expired, or the machines' clocks differ.",
        "Check the clocks and the object store's keys; then send the file again.",
        reason=ErrorReason.ERROR_REASON_DRUID_CANNOT_READ,
    ),
    _Cause(
        r"FileNotFoundException|NoSuchKey|NoSuchBucket|response code: 404",
        "A file of the load was no longer in the object store when Druid tried to read it.",
        "Check whether another program deletes from the bucket; then send the file again.",
        reason=ErrorReason.ERROR_REASON_DRUID_CANNOT_READ,
    ),
    _Cause(
        r"disappeared|assignment timed out|never ran task|worker.{0,40}(lost|removed|gone|unresponsive)|lost contact|not running on"
        r"|failed to (assign|find|contact).{0,40}worker|task.{0,40}unknown to the worker|could not allocate",
        "The Druid process that ran the load was lost.",
        reason=ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE,
    ),
    _Cause(
        r"ConnectException|connection refused|UnknownHostException|SocketTimeout|connect timed out|NoRouteToHost|response code: 5\d\d",
        "Druid could not reach the object store to read the load's files.",
        reason=ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE,
    ),
    _Cause(
        r"lock.{0,60}(revoked|preempted|not (held|acquired)|timed? ?out)|failed to (get|acquire).{0,20}lock|could not acquire.{0,20}lock",
        "Another Druid task has locked the same time chunks of the datasource.",
        reason=ErrorReason.ERROR_REASON_DRUID_LOCKED,
    ),
    _Cause(
        r"deep storage|failed to push|SegmentLoadingException|segment.{0,30}push",
        "Druid could not store the load's segments.",
        "Check Druid's deep storage; then send the file again.",
        reason=ErrorReason.ERROR_REASON_DRUID_STORE_FAILED,
    ),
    _Cause(
        r"publish|transactional|metadata",
        "Druid could not publish the load's segments.",
        "Check Druid's metadata store; then send the file again.",
        reason=ErrorReason.ERROR_REASON_DRUID_STORE_FAILED,
    ),
)


def problem_of_task(text: str) -> Problem:
    """Explain why a Druid task failed. `value` is Druid's text, redacted and truncated to 200
    characters.
    """
    text = clean(text)
    for cause in _CAUSES:
        if re.search(cause.pattern, text, re.IGNORECASE):
            return errors.problem(cause.reason, cause.message, value=text, action=cause.action)
    message = "The load's Druid task failed" + ("." if text else " without an error message.")
    return errors.problem(_FAILED, message, value=text)


def clean(text: str) -> str:
    """Prepare Druid's text for logs and users: redacted, without stack frames, on one line,
    truncated.
    """
    return " ".join(_STACK_FRAMES.sub("", redact(text)).split())[:MAX_TEXT_CHARS]
