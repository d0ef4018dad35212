"""What Druid's answers mean: JSON objects as domain values and errors. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any

from services.common import errors
from services.druid_gateway.http.failures import clean
from services.druid_gateway.loads.load import TaskReport, TaskState, TaskStatus
from sluice.common.v1.errors_pb2 import ErrorReason

_OUT_OF_MEMORY = re.compile(
    r"OutOfMemory|memory usage|not enough (capacity|space|memory)|heap space", re.IGNORECASE
)
_LOST = re.compile(r"channel|connection|disconnected|EOF|reset by peer", re.IGNORECASE)
"""How a broker says that a process with the data left it."""
_FAILED = frozenset({500, 502, 504})
"""Status codes of Druid, or of its router, when the answer to a query went wrong. 503 and others
mean that nobody took the query."""


def status_of_task(answer: Mapping[str, Any]) -> TaskStatus:
    """A TaskStatus object of the overlord."""
    location = answer.get("location") or {}
    return TaskStatus(
        state=TaskState(answer["status"]),
        started=location.get("host") is not None,
        duration_ms=max(0, answer.get("duration") or 0),
        error=clean(answer.get("errorMsg") or ""),
    )


def task_report(answer: Mapping[str, Any]) -> TaskReport | None:
    """The report of an index_parallel task; None for an error object in its place."""
    payload = (answer.get("ingestionStatsAndErrors") or {}).get("payload")
    if payload is None:
        return None
    stats = (payload.get("rowStats") or {}).get("buildSegments") or (
        payload.get("rowStats") or {}
    ).get("totals", {}).get("buildSegments")
    return TaskReport(
        rows_processed=stats.get("processed") if stats else None,
        error="\n".join(
            filter(None, [clean(payload.get("errorMsg") or ""), clean(_bad_rows(payload))])
        ),
    )


def is_core(shard_spec: str) -> bool:
    """Whether queries see nothing of a chunk's version without a segment of this JSON shard spec.
    Where the spec does not say so it is taken for one.
    """
    spec = json.loads(shard_spec)
    core = spec.get("partitions", spec.get("numCorePartitions"))
    if core is None:
        return bool(spec.get("type") != "linear")
    return bool(spec.get("partitionNum", 0) < core)


def _bad_rows(payload: Mapping[str, Any]) -> str:
    """Where the rows are that Druid could not read; their text stays in Druid."""
    events = (payload.get("unparseableEvents") or {}).get("buildSegments") or []
    details = [
        detail
        for event in events
        if isinstance(event, dict)
        for detail in event.get("details") or []
    ]
    return f"unparseable: {details[0]}" if details else ""


def query_failure(answer: Mapping[str, Any], http_status: int) -> errors.SluiceError:
    """The error of a refused SQL query. Druid's message is the user's own SQL explained, so it is
    handed on, redacted and cut.
    """
    text = clean(str(answer.get("errorMessage") or answer.get("error") or ""))
    context = answer.get("context") or {}
    kind = _kind(answer)
    line = str(context.get("line") or "")
    match answer.get("category"):
        case "TIMEOUT":
            return errors.error(
                ErrorReason.ERROR_REASON_QUERY_TIMEOUT, "The query took longer than it may."
            )
        case "CAPACITY_EXCEEDED" if kind != "Query capacity exceeded":
            return errors.error(
                ErrorReason.ERROR_REASON_QUERY_TOO_LARGE,
                f"The query needs more than it may use: {_sentence(text)}",
            )
        case "UNAUTHORIZED" | "FORBIDDEN":
            return errors.error(
                ErrorReason.ERROR_REASON_QUERY_FORBIDDEN, "Druid does not allow Sluice this query."
            )
        case (
            "INVALID_INPUT"
            | "NOT_FOUND"
            | "UNSUPPORTED"
            | "UNCATEGORIZED"
            | "DEFENSIVE"
            | "CONFLICT"
            | "CANCELED"
        ):
            return errors.error(
                ErrorReason.ERROR_REASON_QUERY_INVALID,
                _sentence(text),
                line=int(line) if line.isdecimal() else None,
            )
        case _:
            message = f"Druid could not answer the query (HTTP status {http_status})."
            return errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, message, value=text)


def user_query_failure(
    answer: Mapping[str, Any], http_status: int, text: str
) -> errors.SluiceError:
    """The error of a user's query, which is not asked again; `text`: the answer where it is no JSON
    object, such as the page of Druid's router when a broker ended while it answered."""
    failure = query_failure(answer, http_status)
    known = clean(str(answer.get("errorMessage") or answer.get("error") or text))
    if "Resource limit exceeded" in (answer.get("error"), _kind(answer)):
        message = f"The query needs more than it may use: {_sentence(known)}"
        return errors.error(ErrorReason.ERROR_REASON_QUERY_TOO_LARGE, message)
    if failure.reason != ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE:
        return failure
    if "StackOverflowError" in known:
        message = "The query is nested too deeply, or too long, for Druid to plan it."
        return errors.error(ErrorReason.ERROR_REASON_QUERY_TOO_EXPENSIVE, message)
    if _OUT_OF_MEMORY.search(known):
        message = f"The query needs more memory than it may use: {_sentence(known)}"
        return errors.error(ErrorReason.ERROR_REASON_QUERY_TOO_LARGE, message)
    if answer.get("category") == "CAPACITY_EXCEEDED" or http_status not in _FAILED:
        return unavailable("Druid cannot take the query now.", known if answer else "")
    message = "A process of Druid ended, or was away, while it was to answer the query."
    if answer and not _LOST.search(known):
        message = f"Druid failed while it ran the query: {_sentence(known)}"
    value = known if answer else ""
    return errors.error(ErrorReason.ERROR_REASON_QUERY_FAILED, message, value=value)


def unavailable(message: str, value: str = "") -> errors.SluiceError:
    """DRUID_UNAVAILABLE for a user's query: nobody but the user asks it again."""
    action = "Run the query again in a moment; GET /readyz shows whether Druid answers."
    reason = ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE
    return errors.error(reason, message, value=value, action=action)


def _kind(answer: Mapping[str, Any]) -> str:
    context = answer.get("context") or {}
    return str(context.get("legacyErrorCode") or answer.get("error") or "")


def _sentence(text: str) -> str:
    """Without the parser's list of everything that might have stood there instead."""
    for marker in (" Was expecting one of:", ", acceptable options:"):
        text = text.partition(marker)[0]
    return text[:500] or "Druid does not say what is wrong with it."
