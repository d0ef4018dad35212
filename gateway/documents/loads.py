"""JSON documents of plans and receipts, for REST and GraphQL."""

import math

from gateway.documents import models, wire
from services.common import enums, task_states
from sluice.druid.v1.druid_pb2 import ColumnChange
from sluice.status.v1.status_pb2 import GetPlanResponse, GetReceiptResponse


def plan(found: GetPlanResponse) -> models.Plan:
    planned = found.plan
    return models.Plan(
        task_id=found.task_id,
        plan_hash=found.plan_hash,
        created_at=wire.time(found.create_time),
        datasource_name=found.datasource,
        mode=wire.mode_name(found.load_mode),
        interval=wire.time_range(planned.interval),
        segment_granularity=planned.segment_granularity,
        columns=[
            models.PlannedColumn(
                name=each.name,
                change=enums.short_name(ColumnChange.DESCRIPTOR, each.change),
                type=each.type or None,
                existing_type=each.existing_type or None,
            )
            for each in planned.columns
        ],
        chunks=[
            models.PlannedChunk(
                interval=wire.time_range(each.interval),
                rows_added=each.rows_added,
                rows_replaced=each.rows_replaced,
            )
            for each in planned.chunks
        ],
        rows_added=planned.rows_added,
        rows_replaced=planned.rows_replaced,
        replaced_segments=[
            models.PlannedSegment(id=each.id, interval=wire.time_range(each.interval))
            for each in planned.replaced
        ],
        parts=planned.parts,
        sub_tasks=planned.sub_tasks,
        estimated_seconds=round(planned.estimated_seconds, 1),
    )


def receipt(found: GetReceiptResponse) -> models.Receipt:
    return models.Receipt(
        task_id=found.task_id,
        status=task_states.name_of(found.state),
        load_state=wire.load_state_name(found.load_state),
        datasource_name=found.datasource,
        original_filename=found.filename,
        file_size=found.file_size,
        sha256=found.sha256.hex(),
        mode=wire.mode_name(found.load_mode),
        rows_read=found.rows_read,
        rows_loaded=found.rows_loaded,
        rows_rejected=found.rows_rejected,
        rows_skipped=found.rows_skipped,
        rows_counted=found.rows_counted,
        sums=[
            models.ProvenSum(
                column=each.column, expected=_finite(each.expected), counted=_finite(each.counted)
            )
            for each in found.sums
        ],
        interval=wire.time_range(found.interval) if found.HasField("interval") else None,
        chunks=[wire.time_range(each) for each in found.chunks],
        druid_task_ids=list(found.druid_task_ids),
        segment_ids=list(found.segment_ids),
        created_at=wire.time(found.create_time),
        started_at=wire.time(found.start_time) if found.HasField("start_time") else None,
        completed_at=wire.time(found.complete_time),
        timings=[wire.timing(each) for each in found.timings],
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
