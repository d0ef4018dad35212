"""Converts protobuf messages to JSON documents, and arguments of clients to protobuf values."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from gateway.documents import models
from services.common import enums, errors, task_states
from sluice.common.v1 import errors_pb2, task_pb2
from sluice.common.v1.task_pb2 import LoadMode, LoadState, TaskState
from sluice.druid.v1 import druid_pb2
from sluice.status.v1 import status_pb2
from sluice.status.v1.status_pb2 import EventKind

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time(moment: Timestamp) -> str:
    """ISO 8601 in UTC with milliseconds and Z."""
    return _iso(moment.ToDatetime(UTC))


def millis(since_1970: int) -> str:
    """ISO 8601 in UTC with milliseconds and Z."""
    return _iso(_EPOCH + timedelta(milliseconds=since_1970))


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parse_utc(text: str) -> datetime:
    """Parse ISO 8601; UTC if it has no zone. Raises ValueError or OverflowError."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)


def problem(found: errors_pb2.Problem) -> models.Problem:
    return models.Problem(
        code=errors.code_of(found.code),
        message=found.message,
        line=found.line if found.HasField("line") else None,
        column=found.column or None,
        value=found.value or None,
        action=found.action,
        actor=errors.actor_name(found.actor),
    )


def has_ended(found: status_pb2.Task) -> bool:
    """Whether the task's state is terminal, even if only a newer release knows the state."""
    return found.state in task_states.TERMINAL or found.HasField("complete_time")


def state_of(name: str) -> "TaskState.ValueType":
    """Parse the name of a state, such as PENDING.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    try:
        return task_states.state_of(name)
    except ValueError:
        text = "status must be a task status, such as SUCCEEDED."
        raise errors.error(
            errors_pb2.ERROR_REASON_REQUEST_INVALID, text, column="status", value=name
        ) from None


def timestamp(name: str, text: str) -> Timestamp:
    """Parse the argument `name`, a time in ISO 8601; UTC if it has no zone.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    stamp = Timestamp()
    try:
        stamp.FromDatetime(_parse_utc(text))
    except (ValueError, OverflowError):
        message = f"{name} must be a time in ISO 8601, such as 2026-01-31T12:00:00Z."
        raise errors.error(
            errors_pb2.ERROR_REASON_REQUEST_INVALID, message, column=name, value=text
        ) from None
    return stamp


def task(found: status_pb2.Task) -> models.Task:
    def value(field: str) -> Any:
        return getattr(found, field) if found.HasField(field) else None  # type: ignore[arg-type]

    def moment(field: str) -> str | None:
        return time(stamp) if (stamp := value(field)) is not None else None

    findings = [problem(each) for each in found.validation_errors]
    rejected = found.state == TaskState.TASK_STATE_REJECTED
    failed = found.problem.code != errors_pb2.ERROR_REASON_UNSPECIFIED
    return models.Task(
        task_id=found.task_id,
        status=task_states.name_of(found.state),
        datasource_name=found.datasource,
        original_filename=found.filename,
        file_uri=found.file_uri or None,
        druid_task_id=found.druid_task_id or None,
        created_at=moment("create_time"),
        updated_at=moment("update_time"),
        started_at=moment("start_time"),
        completed_at=moment("complete_time"),
        error_message=found.problem.message if failed else None,
        validation_errors=findings if rejected else [],
        validation_warnings=[] if rejected else findings,
        file_size=value("file_size"),
        row_count=value("rows_loaded"),
        rows_read=value("rows_read"),
        rows_rejected=value("rows_rejected"),
        rows_skipped=value("rows_skipped"),
        message=found.message or None,
        error=problem(found.problem) if failed else None,
        received_size=found.received_size,
        load_state=load_state_name(found.load_state) if found.load_state else None,
        mode=mode_name(found.load_mode),
        allow_duplicate=found.allow_duplicate,
        sha256=found.sha256.hex() or None,
        attempt=found.attempt,
        retry_of=found.retry_of or None,
        duplicate_of=found.duplicate_of or None,
        repair_of=found.repair_of or None,
        last_sequence=found.last_sequence,
        trace_id=found.trace_id or None,
        queue_position=value("queue_position"),
        estimated_seconds_left=round(found.estimated_seconds_left, 1)
        if found.HasField("estimated_seconds_left")
        else None,
        files_deleted_at=moment("files_delete_time"),
        timings=[timing(each) for each in found.timings],
        replaced_interval=time_range(found.replace) if found.HasField("replace") else None,
    )


def load_state_name(state: "LoadState.ValueType") -> str:
    """The short name of a load state, such as LIVE."""
    return enums.short_name(LoadState.DESCRIPTOR, state)


def mode_name(mode: "LoadMode.ValueType") -> str:
    """The name of a load mode in the API, such as replace_all."""
    return enums.short_name(LoadMode.DESCRIPTOR, mode).lower() if mode else "append"


def time_range(found: task_pb2.TimeRange | druid_pb2.Interval) -> str:
    """start/end in ISO 8601, UTC."""
    return f"{millis(found.start_millis)}/{millis(found.end_millis)}"


def timing(stage: status_pb2.StageTiming) -> models.StageTiming:
    return models.StageTiming(
        stage=stage.stage,
        seconds=round(stage.seconds, 3),
        started_at=time(stage.start_time) if stage.HasField("start_time") else None,
        completed_at=time(stage.end_time) if stage.HasField("end_time") else None,
    )


def event(found: status_pb2.TaskEvent) -> models.TaskEvent:
    return models.TaskEvent(
        task_id=found.task_id,
        sequence=found.sequence,
        time=time(found.time) if found.HasField("time") else None,
        kind=enums.short_name(EventKind.DESCRIPTOR, found.kind).lower(),
        status=task_states.name_of(found.state),
        message=found.message or None,
        attempt=found.attempt,
        done=found.done if found.HasField("done") else None,
        total=found.total if found.HasField("total") else None,
        unit=found.unit or None,
        error=problem(found.problem) if found.problem.code else None,
    )


def message(found: Message) -> dict[str, Any]:
    """Convert any other message, such as the report: keys in snake_case, 64-bit integers as
    numbers, enums as short names, bytes in hexadecimal, null for unset fields and for numbers that
    are not finite.
    """
    fields: Any = found.DESCRIPTOR.fields
    return {field.name: _field(found, field) for field in fields}


def _field(owner: Message, field: FieldDescriptor) -> Any:
    value = getattr(owner, field.name)
    if field.is_repeated:
        return [_value(each, field) for each in value]
    return _value(value, field) if not field.has_presence or owner.HasField(field.name) else None


def _value(value: Any, field: FieldDescriptor) -> Any:
    match value:
        case errors_pb2.Problem():
            return problem(value).model_dump()
        case Timestamp():
            return time(value)
        case Message():
            return message(value)
        case bytes():
            return value.hex() or None
        case float() if not math.isfinite(value):
            return None
        case int() if field.enum_type is not None:
            return enums.short_name(field.enum_type, value) if value else None
        case _:
            return value


def load_mode(name: str) -> "LoadMode.ValueType":
    """Parse a load mode: append, replace, replace_interval or replace_all.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    known = {
        each.removeprefix("LOAD_MODE_").lower(): value for each, value in LoadMode.items() if value
    }
    if name not in known:
        raise errors.error(
            errors_pb2.ERROR_REASON_REQUEST_INVALID,
            f"mode must be one of {', '.join(known)}.",
            column="mode",
            value=name,
        )
    return known[name]


def interval(text: str) -> task_pb2.TimeRange:
    """Parse start/end in ISO 8601; UTC if they have no zone.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    try:
        start, end = (_parse_utc(each.strip()) - _EPOCH for each in text.split("/"))
    except (ValueError, OverflowError):
        message = (
            "interval must be start/end in ISO 8601, end exclusive, such as 2024-01-01/2024-02-01."
        )
        raise errors.error(
            errors_pb2.ERROR_REASON_REQUEST_INVALID, message, column="interval", value=text
        ) from None
    return task_pb2.TimeRange(
        start_millis=start // timedelta(milliseconds=1),
        end_millis=end // timedelta(milliseconds=1),
    )
