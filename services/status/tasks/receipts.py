"""The receipt of a load: the ledger of its file with its evidence, from the stored task."""

from services.status.ports import LoadRecords
from services.status.tasks.commands import Commands
from services.status.tasks.machine import State
from services.status.tasks.messages import task_message, time_range
from services.status.tasks.problems import conflict
from sluice.common.v1.task_pb2 import TimeRange
from sluice.status.v1.status_pb2 import GetReceiptResponse, ProvenSum


async def receipt(commands: Commands, records: LoadRecords, task_id: str) -> GetReceiptResponse:
    """Returns the receipt of a SUCCEEDED task.

    Raises:
        SluiceError: TASK_NOT_FOUND, STATE_CONFLICT, DATABASE_UNAVAILABLE.
    """
    task = await commands.get(task_id)
    if task.status is not State.SUCCEEDED:
        raise conflict(task, "has no receipt")
    segments = await records.own_segments(task.task_id)
    message = task_message(task)
    chunks = dict.fromkeys(
        (each.interval.start_millis, each.interval.end_millis) for each in segments
    )
    return GetReceiptResponse(
        task_id=message.task_id,
        state=message.state,
        load_state=message.load_state,
        datasource=message.datasource,
        filename=message.filename,
        file_size=message.file_size,
        sha256=message.sha256,
        load_mode=message.load_mode,
        rows_read=message.rows_read,
        rows_loaded=task.rows_loadable or 0,
        rows_rejected=message.rows_rejected,
        rows_skipped=message.rows_skipped,
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
        create_time=message.create_time,
        start_time=message.start_time,
        complete_time=message.complete_time,
        timings=message.timings,
    )
