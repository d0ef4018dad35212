"""From our protobuf messages to the JSON that clients see."""

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
    return moment.ToDatetime(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    """Whether the task is in a final state, even in one that only a newer release knows."""
    return found.state in task_states.TERMINAL or found.HasField("complete_time")


def state_of(name: str) -> "TaskState.ValueType":
    """The state of a name such as PENDING.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    try:
        return task_states.state_of(name)
    except ValueError:
        text = "status must be the name of a status, such as SUCCEEDED."
        raise errors.error(
            errors_pb2.ERROR_REASON_REQUEST_INVALID, text, column="status", value=name
        ) from None


def timestamp(name: str, text: str) -> Timestamp:
    """The time that the argument `name` tells in ISO 8601; UTC where it has no zone.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    stamp = Timestamp()
    try:
        moment = datetime.fromisoformat(text)
        stamp.FromDatetime(
            (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
        )
    except (ValueError, OverflowError):
        message = f"{name} must be a time in ISO 8601, such as 2026-01-31T12:00:00Z."
        raise errors.error(
            errors_pb2.ERROR_REASON_REQUEST_INVALID, message, column=name, value=text
        ) from None
    return stamp


def task(found: status_pb2.Task) -> models.Task:
    def moment(field: str) -> str | None:
        return time(getattr(found, field)) if found.HasField(field) else None  # type: ignore[arg-type]

    def count(field: str) -> int | None:
        return getattr(found, field) if found.HasField(field) else None  # type: ignore[arg-type]

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
        file_size=count("file_size"),
        row_count=count("rows_loaded"),
        rows_read=count("rows_read"),
        rows_rejected=count("rows_rejected"),
        rows_skipped=count("rows_skipped"),
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
        queue_position=count("queue_position"),
        estimated_seconds_left=round(found.estimated_seconds_left, 1)
        if found.HasField("estimated_seconds_left")
        else None,
        files_deleted_at=moment("files_delete_time"),
        timings=[timing(each) for each in found.timings],
        replaced_interval=time_range(found.replace) if found.HasField("replace") else None,
    )


def load_state_name(state: "LoadState.ValueType") -> str:
    """What has become of a load's rows."""
    return enums.short_name(LoadState.DESCRIPTOR, state)


def mode_name(mode: "LoadMode.ValueType") -> str:
    """How a load meets the rows that are there, as clients say it."""
    return enums.short_name(LoadMode.DESCRIPTOR, mode).lower() if mode else "append"


def time_range(found: task_pb2.TimeRange | druid_pb2.Interval) -> str:
    """start/end in ISO 8601, UTC."""
    return f"{millis(found.start_millis)}/{millis(found.end_millis)}"


def millis(since_1970: int) -> str:
    """ISO 8601 in UTC with milliseconds and Z."""
    return (
        (_EPOCH + timedelta(milliseconds=since_1970))
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )


def timing(stage: status_pb2.StageTiming) -> models.StageTiming:
    return models.StageTiming(
        stage=stage.stage,
        seconds=round(stage.seconds, 3),
        started_at=time(stage.start_time) if stage.HasField("start_time") else None,
        completed_at=time(stage.end_time) if stage.HasField("end_time") else None,
    )


def event(happened: status_pb2.TaskEvent) -> models.TaskEvent:
    return models.TaskEvent(
        task_id=happened.task_id,
        sequence=happened.sequence,
        time=time(happened.time) if happened.HasField("time") else None,
        kind=enums.short_name(EventKind.DESCRIPTOR, happened.kind).lower(),
        status=task_states.name_of(happened.state),
        message=happened.message or None,
        attempt=happened.attempt,
        done=happened.done if happened.HasField("done") else None,
        total=happened.total if happened.HasField("total") else None,
        unit=happened.unit or None,
        error=problem(happened.problem) if happened.problem.code else None,
    )


def message(found: Message) -> dict[str, Any]:
    """Any other message, such as the report: snake_case, 64-bit integers as numbers, enums by their
    short name, bytes as hexadecimal digits, null for what is not set or not a finite number.
    """
    return {field.name: _field(found, field) for field in found.DESCRIPTOR.fields}  # type: ignore[arg-type]


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
    """The mode of its name: append, replace, replace_interval or replace_all.

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
    """A stretch of time given as start/end in ISO 8601; without a zone it is UTC.

    Raises:
        SluiceError: REQUEST_INVALID.
    """
    start, slash, end = text.partition("/")
    try:
        moments = [datetime.fromisoformat(each.strip()) for each in (start, end)]
        moments = [
            (each if each.tzinfo else each.replace(tzinfo=UTC)).astimezone(UTC) for each in moments
        ]
    except (ValueError, OverflowError):
        moments = []
    if not slash or not moments:
        message = "interval must be two moments in ISO 8601, such as 2024-01-01/2024-02-01; the second is the first that is not replaced."
        raise errors.error(
            errors_pb2.ERROR_REASON_REQUEST_INVALID, message, column="interval", value=text
        )
    first, last = (each - _EPOCH for each in moments)
    return task_pb2.TimeRange(
        start_millis=first // timedelta(milliseconds=1),
        end_millis=last // timedelta(milliseconds=1),
    )
