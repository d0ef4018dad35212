"""The receipt of a load: what became of every row of its file, and how that was proven. Made from
what the task keeps.
"""

from services.status.ports import LoadRecords
from services.status.tasks.commands import Commands
from services.status.tasks.machine import State
from services.status.tasks.messages import task_message, time_range
from services.status.tasks.problems import conflict
from sluice.common.v1.task_pb2 import TimeRange
from sluice.status.v1.status_pb2 import GetReceiptResponse, ProvenSum


async def receipt(commands: Commands, records: LoadRecords, task_id: str) -> GetReceiptResponse:
    """The receipt of a SUCCEEDED task.

    Raises:
        SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, DATABASE_UNAVAILABLE.
    """
    task = await commands.get(task_id)
    if task.status is not State.SUCCEEDED:
        raise conflict(task, "has no receipt")
    segments = await records.own_segments(task.task_id)
    told = task_message(task)
    chunks = dict.fromkeys(
        (each.interval.start_millis, each.interval.end_millis) for each in segments
    )
    return GetReceiptResponse(
        task_id=told.task_id,
        state=told.state,
        load_state=told.load_state,
        datasource=told.datasource,
        filename=told.filename,
        file_size=told.file_size,
        sha256=told.sha256,
        load_mode=told.load_mode,
        rows_read=told.rows_read,
        rows_loaded=task.rows_loadable or 0,
        rows_rejected=told.rows_rejected,
        rows_skipped=told.rows_skipped,
        rows_counted=task.row_count or 0,
        sums=[
            ProvenSum(column=column, expected=expected, counted=task.counted_sums[column])
            for column, expected in task.expected_sums.items()
            if column in task.counted_sums
        ],
        interval=time_range(task.interval_start_millis, task.interval_end_millis),
        chunks=[TimeRange(start_millis=start, end_millis=end) for start, end in chunks],
        druid_task_ids=task.druid_task_ids,
        segment_ids=[each.id for each in segments],
        create_time=told.create_time,
        start_time=told.start_time,
        complete_time=told.complete_time,
        timings=told.timings,
    )
