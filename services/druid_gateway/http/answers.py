"""Parses Druid's JSON responses to domain values and errors."""

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
"""How a broker reports that it lost a process with the data."""
_FAILED = frozenset({500, 502, 504})
"""HTTP statuses of Druid or its router if a query failed. With others, such as 503, no broker has
accepted it."""


def status_of_task(answer: Mapping[str, Any]) -> TaskStatus:
    """Parse a TaskStatus of the overlord."""
    location = answer.get("location") or {}
    return TaskStatus(
        state=TaskState(answer["status"]),
        started=location.get("host") is not None,
        duration_ms=max(0, answer.get("duration") or 0),
        error=clean(answer.get("errorMsg") or ""),
    )


def task_report(answer: Mapping[str, Any]) -> TaskReport | None:
    """Parse the report of an index_parallel task; None for an error object."""
    payload = (answer.get("ingestionStatsAndErrors") or {}).get("payload")
    if payload is None:
        return None
    row_stats = payload.get("rowStats") or {}
    stats = row_stats.get("buildSegments") or row_stats.get("totals", {}).get("buildSegments")
    return TaskReport(
        rows_processed=stats.get("processed") if stats else None,
        error="\n".join(
            filter(None, [clean(payload.get("errorMsg") or ""), clean(_unparseable(payload))])
        ),
    )


def is_core(shard_spec: str) -> bool:
    """Whether queries see nothing of a time chunk's version without the segment with this JSON shard
    spec. True if the spec does not show it.
    """
    spec = json.loads(shard_spec)
    core = spec.get("partitions", spec.get("numCorePartitions"))
    if core is None:
        return bool(spec.get("type") != "linear")
    return bool(spec.get("partitionNum", 0) < core)


def _unparseable(payload: Mapping[str, Any]) -> str:
    """Return where a row is that Druid could not read, without its values."""
    events = (payload.get("unparseableEvents") or {}).get("buildSegments") or []
    details = [
        detail
        for event in events
        if isinstance(event, dict)
        for detail in event.get("details") or []
    ]
    return f"unparseable: {details[0]}" if details else ""


def query_failure(answer: Mapping[str, Any], http_status: int) -> errors.SluiceError:
    """Return the error of a rejected SQL query. Druid's message is about the user's own SQL, so it is
    passed on, redacted and truncated.
    """
    text = error_text(answer)
    context = answer.get("context") or {}
    kind = _kind(answer)
    line = str(context.get("line") or "")
    match answer.get("category"):
        case "TIMEOUT":
            return query_timeout()
        case "CAPACITY_EXCEEDED" if kind != "Query capacity exceeded":
            return _too_large("resources", text)
        case "UNAUTHORIZED" | "FORBIDDEN":
            return errors.error(
                ErrorReason.ERROR_REASON_QUERY_FORBIDDEN,
                "Sluice has no permission in Druid for this query.",
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
            message = f"Druid could not run the query (HTTP status {http_status})."
            return errors.error(ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE, message, value=text)


def user_query_failure(
    answer: Mapping[str, Any], http_status: int, text: str
) -> errors.SluiceError:
    """Return the error of a user's query, which is not retried. `text`: the response if it is not a
    JSON object, such as the router's error page after a broker crashed."""
    failure = query_failure(answer, http_status)
    known = error_text(answer, text)
    if "Resource limit exceeded" in (answer.get("error"), _kind(answer)):
        return _too_large("resources", known)
    if failure.reason != ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE:
        return failure
    if "StackOverflowError" in known:
        message = "The query is nested too deeply or too long for Druid's planner."
        return errors.error(ErrorReason.ERROR_REASON_QUERY_TOO_EXPENSIVE, message)
    if _OUT_OF_MEMORY.search(known):
        return _too_large("memory", known)
    if answer.get("category") == "CAPACITY_EXCEEDED" or http_status not in _FAILED:
        return unavailable("Druid cannot accept the query now.", known if answer else "")
    message = "A Druid process crashed during the query, or was unavailable."
    if answer and not _LOST.search(known):
        message = f"Druid failed to run the query: {_sentence(known)}"
    value = known if answer else ""
    return errors.error(ErrorReason.ERROR_REASON_QUERY_FAILED, message, value=value)


def unavailable(message: str, value: str = "") -> errors.SluiceError:
    """DRUID_UNAVAILABLE for a user's query, which only the user can retry."""
    action = "Run the query again in a moment; GET /readyz shows whether Druid responds."
    reason = ErrorReason.ERROR_REASON_DRUID_UNAVAILABLE
    return errors.error(reason, message, value=value, action=action)


def query_timeout() -> errors.SluiceError:
    """QUERY_TIMEOUT."""
    return errors.error(ErrorReason.ERROR_REASON_QUERY_TIMEOUT, "The query timed out.")


def cut_off(value: str = "") -> errors.SluiceError:
    """QUERY_FAILED for an incomplete result."""
    return errors.error(
        ErrorReason.ERROR_REASON_QUERY_FAILED,
        "Druid closed the connection before the end of the query's result.",
        value=value,
    )


def error_text(answer: Mapping[str, Any], fallback: str = "") -> str:
    """Return the message of an error response, cleaned; `fallback` if there is none."""
    return clean(str(answer.get("errorMessage") or answer.get("error") or fallback))


def _too_large(exceeded: str, text: str) -> errors.SluiceError:
    message = f"The query exceeds its limit on {exceeded}: {_sentence(text)}"
    return errors.error(ErrorReason.ERROR_REASON_QUERY_TOO_LARGE, message)


def _kind(answer: Mapping[str, Any]) -> str:
    context = answer.get("context") or {}
    return str(context.get("legacyErrorCode") or answer.get("error") or "")


def _sentence(text: str) -> str:
    """Remove the parser's list of expected tokens, and truncate."""
    for marker in (" Was expecting one of:", ", acceptable options:"):
        text = text.partition(marker)[0]
    return text[:500] or "Druid gives no reason."
