"""Domain objects as protobuf messages."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from services.common import task_states
from services.status.tasks import problems
from services.status.tasks.machine import STAGE_OF, State
from services.status.tasks.queues import QueuePosition
from services.status.tasks.task import Event, Task
from sluice.common.v1 import task_pb2
from sluice.common.v1.errors_pb2 import Problem
from sluice.status.v1 import status_pb2

NOT_QUEUED = QueuePosition()


def state_value(state: State) -> "task_pb2.TaskState.ValueType":
    """Returns the proto value of a state."""
    return task_states.state_of(state)


def state_of(value: "task_pb2.TaskState.ValueType") -> State:
    """Returns the state of a proto value other than UNSPECIFIED."""
    return State(task_states.name_of(value))


def task_message(task: Task, queued: QueuePosition = NOT_QUEUED) -> status_pb2.Task:
    """Returns the task as a message."""
    return status_pb2.Task(
        task_id=task.task_id,
        state=state_value(task.status),
        load_state=task_pb2.LoadState.Value(f"LOAD_STATE_{task.load_state or 'UNSPECIFIED'}"),
        message=task.message,
        datasource=task.datasource_name,
        filename=task.original_filename,
        file_uri=task.file_uri,
        file_size=task.file_size,
        received_size=task.received_size,
        rows_read=task.rows_read,
        rows_loaded=task.row_count,
        rows_rejected=task.rows_rejected,
        rows_skipped=task.rows_skipped,
        problem=_problem(task.problem),
        validation_errors=[problems.from_json(stored) for stored in task.validation_errors or []],
        druid_task_id=task.druid_task_id or "",
        sha256=task.sha256,
        upload_mode=task_pb2.UploadMode.Value(f"UPLOAD_MODE_{task.upload_mode}"),
        load_mode=task_pb2.LoadMode.Value(f"LOAD_MODE_{task.load_mode}"),
        attempt=task.attempt,
        report_attempt=task.report_attempt,
        retry_of=task.retry_of,
        duplicate_of=task.duplicate_of,
        repair_of=task.repair_of,
        last_sequence=task.last_sequence,
        trace_id=task.trace_id,
        timings=timings(task),
        create_time=time_stamp(task.created_at),
        update_time=time_stamp(task.updated_at),
        start_time=time_stamp(task.started_at),
        complete_time=time_stamp(task.completed_at),
        multipart_id=task.multipart_id if task.status is State.PENDING else "",
        allow_duplicate=task.allow_duplicate,
        client=task.client,
        queue_position=queued.position,
        estimated_seconds_left=queued.seconds_left,
        files_delete_time=time_stamp(task.files_delete_requested_at),
        options=task.options,
        client_metadata=task.client_metadata,
        plan_first=task.plan_first,
        replace=time_range(task.replace_start_millis, task.replace_end_millis),
    )


def time_range(start_millis: int | None, end_millis: int | None) -> task_pb2.TimeRange | None:
    """Returns the interval as a message; None if it has no start or no end."""
    if start_millis is None or end_millis is None:
        return None
    return task_pb2.TimeRange(start_millis=start_millis, end_millis=end_millis)


def timings(task: Task) -> list[status_pb2.StageTiming]:
    """Returns the seconds of each stage, by the times at which the task entered its states. The
    current stage lasts until the time of reading.
    """
    found = []
    ends: list[datetime | None] = [time for _, time in task.entered[1:]]
    for (state, start), end in zip(task.entered, [*ends, None], strict=False):
        if stage := STAGE_OF.get(state):
            seconds = ((end or task.now) - start).total_seconds()
            found.append(
                status_pb2.StageTiming(
                    stage=stage,
                    seconds=seconds,
                    start_time=time_stamp(start),
                    end_time=time_stamp(end),
                )
            )
    return found


def event_message(event: Event) -> status_pb2.TaskEvent:
    """Returns the event as a message."""
    progress = event.progress or {}
    return status_pb2.TaskEvent(
        task_id=event.task_id,
        sequence=event.sequence,
        position=event.position,
        time=time_stamp(event.created_at),
        kind=status_pb2.EventKind.Value(f"EVENT_KIND_{event.kind}"),
        state=state_value(event.state),
        message=event.message,
        attempt=event.attempt,
        done=progress.get("done"),
        total=progress.get("total"),
        unit=progress.get("unit", ""),
        problem=_problem(event.problem),
    )


def _problem(stored: dict[str, object] | None) -> Problem | None:
    return problems.from_json(stored) if stored else None


def time_stamp(time: datetime | None) -> Timestamp | None:
    """Returns the time as a message; None stays None."""
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp
