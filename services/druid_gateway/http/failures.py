"""Druid's texts about failed tasks, in plain language. The raw text is kept, redacted and cut, for
whoever operates Druid.
"""

import re
from dataclasses import dataclass

from services.common import errors
from services.druid_gateway.http.redaction import redact
from sluice.common.v1.errors_pb2 import ErrorReason, Problem

MAX_TEXT_CHARS = 2000
"""Most characters of a text of Druid's that are logged or looked at."""

_STACK_FRAMES = re.compile(
    r"\s+at [\w.$/<>]+\([^()]*\)|\s+\.\.\. \d+ (more|common frames omitted)|\s+at [\w.$/<>]+$"
)
"""Where in Druid's code it happened says nothing to a reader, and its words would be taken for
causes.
"""

_FAILED = ErrorReason.ERROR_REASON_DRUID_TASK_FAILED


@dataclass(frozen=True)
class _Cause:
    """What a text that matches `pattern` means, and what to do; an empty action is the reason's
    own.
    """

    pattern: re.Pattern[str]
    message: str
    action: str = ""
    reason: "ErrorReason.ValueType" = _FAILED


def _cause(
    pattern: str, message: str, action: str = "", reason: "ErrorReason.ValueType" = _FAILED
) -> _Cause:
    return _Cause(re.compile(pattern, re.IGNORECASE), message, action, reason)


# The first that matches is taken: special texts before general ones.
_CAUSES = (
    _cause(
        r"shutdown request from user|shut ?down by|killed by|task was canceled|cancelled by",
        "Somebody, or Sluice itself, stopped the load's Druid task.",
        reason=ErrorReason.ERROR_REASON_DRUID_TASK_STOPPED,
    ),
    _cause(
        r"OutOfMemory|java heap space|GC overhead|direct buffer memory|not enough (direct |heap )?memory|insufficient memory",
        "Druid had too little memory for the load.",
        reason=ErrorReason.ERROR_REASON_DRUID_OUT_OF_MEMORY,
    ),
    _cause(
        r"no space left|disk full|not enough (disk )?space|disk quota",
        "A disk of Druid is full.",
        reason=ErrorReason.ERROR_REASON_DRUID_DISK_FULL,
    ),
    _cause(
        r"unparseable|ParseException|could not (be )?parse|unable to parse|max(imum)? (number of )?parse exceptions",
        "Druid could not read a row that Sluice had checked. This is a fault of Sluice.",
        "Report this with the task id.",
    ),
    _cause(
        r"response code: 403|\b403\b.{0,20}forbidden|AccessDenied|SignatureDoesNotMatch|request has expired",
        "Druid was not allowed to read the load's files: the permission had expired, or the clocks of the machines differ.",
        "Check the clocks and the object store's keys; then send the file again.",
        reason=ErrorReason.ERROR_REASON_DRUID_CANNOT_READ,
    ),
    _cause(
        r"FileNotFoundException|NoSuchKey|NoSuchBucket|response code: 404",
        "A file of the load was no longer in the object store when Druid wanted to read it.",
        "Check the bucket for outside deletions; then send the file again.",
        reason=ErrorReason.ERROR_REASON_DRUID_CANNOT_READ,
    ),
    _cause(
        r"disappeared|assignment timed out|never ran task|worker.{0,40}(lost|removed|gone|unresponsive)|lost contact|not running on"
        r"|failed to (assign|find|contact).{0,40}worker|task.{0,40}unknown to the worker|could not allocate",
        "The Druid process that ran the load went away.",
        reason=ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE,
    ),
    _cause(
        r"ConnectException|connection refused|UnknownHostException|SocketTimeout|connect timed out|NoRouteToHost|response code: 5\d\d",
        "Druid could not reach the object store to read the load's files.",
        reason=ErrorReason.ERROR_REASON_STORAGE_UNAVAILABLE,
    ),
    _cause(
        r"lock.{0,60}(revoked|preempted|not (held|acquired)|timed? ?out)|failed to (get|acquire).{0,20}lock|could not acquire.{0,20}lock",
        "Another Druid task holds the same stretch of the datasource.",
        reason=ErrorReason.ERROR_REASON_DRUID_LOCKED,
    ),
    _cause(
        r"deep storage|failed to push|SegmentLoadingException|segment.{0,30}push",
        "Druid could not store the load's segments.",
        "Check Druid's deep storage; then send the file again.",
        reason=ErrorReason.ERROR_REASON_DRUID_STORE_FAILED,
    ),
    _cause(
        r"publish|transactional|metadata",
        "Druid could not make the load's segments known.",
        "Check Druid's metadata store; then send the file again.",
        reason=ErrorReason.ERROR_REASON_DRUID_STORE_FAILED,
    ),
)


def problem_of_task(text: str) -> Problem:
    """Why a Druid task failed, for a person; `value` is Druid's own text, redacted and cut to 200
    characters.
    """
    text = clean(text)
    for cause in _CAUSES:
        if cause.pattern.search(text):
            return errors.problem(cause.reason, cause.message, value=text, action=cause.action)
    return errors.problem(
        _FAILED,
        "The load's Druid task failed."
        if text
        else "The load's Druid task failed and does not say why.",
        value=text,
    )


def clean(text: str) -> str:
    """A text of Druid's that may be logged and shown: redacted, without stack frames, on one line,
    cut.
    """
    return " ".join(_STACK_FRAMES.sub("", redact(text)).split())[:MAX_TEXT_CHARS]
