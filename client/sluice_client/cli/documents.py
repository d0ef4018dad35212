"""JSON documents of `--json`, with the names and values of the REST API."""

import json
import math
import re
from datetime import UTC
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sluice.common.v1.errors_pb2 import Problem
from sluice.common.v1.task_pb2 import TaskState
from sluice.status.v1.status_pb2 import EventKind, StageTiming, Task, TaskEvent
from sluice_client.client import QueryResult
from sluice_client.enums import short_name
from sluice_client.errors import SluiceClientError

_TASK_NAMES = {
    "state": "status",
    "datasource": "datasource_name",
    "filename": "original_filename",
    "rows_loaded": "row_count",
    "problem": "error",
    "create_time": "created_at",
    "update_time": "updated_at",
    "start_time": "started_at",
    "complete_time": "completed_at",
    "load_mode": "mode",
}
_STAGE_NAMES = {"start_time": "started_at", "end_time": "completed_at"}
_EVENT_NAMES = {"state": "status", "problem": "error"}
_SURROGATES = re.compile("[\ud800-\udfff]")
_INTERNAL = frozenset({"multipart_id", "report_attempt", "upload_mode", "position"})


def line(document: dict[str, Any]) -> str:
    """Return the document as one line."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    # File names may have undecodable bytes as surrogates, which cannot be written as UTF-8.
    return _SURROGATES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def task(found: Task) -> dict[str, Any]:
    """Return the document of a task, `task_id` and `status` first."""
    document = _renamed(message(found), _TASK_NAMES)
    document["mode"] = (document["mode"] or "append").lower()
    problems = document.pop("validation_errors")
    rejected = found.state == TaskState.TASK_STATE_REJECTED
    return {
        **document,
        "validation_errors": problems if rejected else [],
        "validation_warnings": [] if rejected else problems,
    }


def event(found: TaskEvent) -> dict[str, Any]:
    """Return the document of an event."""
    document = _renamed(message(found), _EVENT_NAMES)
    return {**document, "kind": short_name(EventKind.DESCRIPTOR, found.kind).lower()}


def query_result(result: QueryResult) -> dict[str, Any]:
    """Return the document of a query result."""
    return {
        "columns": [{"name": column.name, "type": column.type} for column in result.columns],
        "rows": result.rows,
        "row_count": result.row_count,
        "truncated": result.truncated,
        "elapsed_ms": result.elapsed_ms,
        "query_id": result.query_id,
    }


def error(failure: SluiceClientError) -> dict[str, Any]:
    """Return the document of an error, in the shape that all interfaces use."""
    return {
        "code": failure.code,
        "message": failure.message,
        "line": failure.line,
        "column": failure.column or None,
        "value": failure.value or None,
        "action": failure.action,
        "actor": failure.actor,
    }


def message(found: Message) -> dict[str, Any]:
    """Return the document of any message: snake_case names, 64-bit integers as numbers, enums as
    short names, bytes as hexadecimal digits, null for values that are unset or not finite.
    """
    return {
        field.name: _field(found, field)  # type: ignore[arg-type]
        for field in found.DESCRIPTOR.fields
        if field.name not in _INTERNAL
    }


def _renamed(document: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in document.items()}


def _field(owner: Message, field: FieldDescriptor) -> Any:
    value = getattr(owner, field.name)
    if field.is_repeated:
        return [_value(each, field) for each in value]
    return _value(value, field) if not field.has_presence or owner.HasField(field.name) else None


def _value(value: Any, field: FieldDescriptor) -> Any:
    match value:
        case Problem():
            return error(SluiceClientError.of_problem(value)) if value.code else None
        case Timestamp():
            return value.ToDatetime(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case StageTiming():
            return {**_renamed(message(value), _STAGE_NAMES), "seconds": round(value.seconds, 3)}
        case Message():
            return message(value)
        case bytes():
            return value.hex() or None
        case float() if not math.isfinite(value):
            return None
        case int() if field.enum_type is not None:
            return short_name(field.enum_type, value) if value else None
        case "":
            return None
        case _:
            return value
