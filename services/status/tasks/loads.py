"""The id of a load in Druid, and the requests about it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.status.tasks.load_states import OtherLoad
from services.status.tasks.task import Task
from sluice.common.v1.task_pb2 import LoadMode
from sluice.druid.v1.druid_pb2 import (
    CountLoadsRequest,
    ExpectedSum,
    Interval,
    LoadColumn,
    LoadPart,
    PlanIngestionRequest,
    RemoveLoadRequest,
    RowsInTime,
    StorageType,
    SubmitLoadRequest,
    VerifyLoadRequest,
    WatchLoadRequest,
)
from sluice.validation.v1.validation_pb2 import LoadType, Report

_STORAGE = {
    LoadType.LOAD_TYPE_STRING: StorageType.STORAGE_TYPE_STRING,
    LoadType.LOAD_TYPE_LONG: StorageType.STORAGE_TYPE_LONG,
    LoadType.LOAD_TYPE_DOUBLE: StorageType.STORAGE_TYPE_DOUBLE,
}

_NOT_STORED = {LoadType.LOAD_TYPE_UNSPECIFIED, LoadType.LOAD_TYPE_TIME}
"""Skipped columns and __time. Other types must be in _STORAGE, so that no column gets lost."""


Role = Literal["OWN", "REPLACED"]
"""OWN: the segment has rows of the load. REPLACED: the load replaced the segment."""


@dataclass(frozen=True)
class StoredPlan:
    """A serialized PlanIngestionResponse, and the hash by which it is applied."""

    plan_hash: str
    plan: bytes
    created_at: datetime | None = None
    """By the database's clock; None until it is stored."""


@dataclass(frozen=True)
class NewerLoad:
    """A load that prevents the revert of another."""

    task_id: str
    filename: str


def submit_request(task: Task, report: Report, deadline_s: float) -> SubmitLoadRequest:
    """Returns the request that loads a validated file."""
    # The interval to replace beyond the chunks of the rows: the specified one, or the whole
    # datasource according to the plan.
    replaced = {"REPLACE_INTERVAL": (task.replace_start_millis, task.replace_end_millis)}
    replaced["REPLACE_ALL"] = (task.interval_start_millis, task.interval_end_millis)
    start, end = replaced.get(task.load_mode, (None, None))
    return SubmitLoadRequest(
        task_id=task.task_id,
        # The plan is made before the first load attempt.
        attempt=task.load_attempt or 1,
        datasource=task.datasource_name,
        mode=LoadMode.Value(f"LOAD_MODE_{task.load_mode}"),
        columns=[
            LoadColumn(name=column.name, type=_STORAGE[column.load_type])
            for column in report.columns
            if column.load_type not in _NOT_STORED
        ],
        parts=[LoadPart(uri=part.uri, rows=part.rows) for part in report.parts],
        min_millis=report.time.min_millis,
        max_millis=report.time.max_millis,
        rows=report.rows_loadable,
        deadline_s=max(1, math.ceil(deadline_s)),
        replace=None
        if start is None or end is None
        else Interval(start_millis=start, end_millis=end),
    )


def plan_request(task: Task, report: Report, rows_per_second: float = 0.0) -> PlanIngestionRequest:
    """Returns the request for the plan of a validated file. `rows_per_second`: of earlier loads of a
    similar size, 0 if unknown.
    """
    rows = [
        RowsInTime(start_millis=each.start_millis, rows=each.rows)
        for each in report.time.rows_in_time
    ]
    return PlanIngestionRequest(
        load=submit_request(task, report, deadline_s=1), rows=rows, rows_per_second=rows_per_second
    )


def watch_request(task: Task) -> WatchLoadRequest:
    """Returns the request that watches a submitted load."""
    return WatchLoadRequest(druid_task_id=task.druid_task_id or "", datasource=task.datasource_name)


def verify_request(task: Task, wait_ms: int) -> VerifyLoadRequest:
    """Returns the request that verifies a submitted load."""
    return VerifyLoadRequest(
        task_id=task.task_id,
        datasource=task.datasource_name,
        interval=Interval(
            start_millis=task.interval_start_millis or 0, end_millis=task.interval_end_millis or 0
        ),
        expected_rows=task.rows_loadable or 0,
        expected_sums=[
            ExpectedSum(column=column, sum=value) for column, value in task.expected_sums.items()
        ],
        wait_ms=wait_ms,
        mode=LoadMode.Value(f"LOAD_MODE_{task.load_mode}"),
    )


def count_request(datasource: str, others: Sequence[OtherLoad], wait_ms: int) -> CountLoadsRequest:
    """Returns the request that counts the rows of loads, at least one."""
    start = min(each.start_millis for each in others)
    end = max(each.end_millis for each in others)
    return CountLoadsRequest(
        datasource=datasource,
        interval=Interval(start_millis=start, end_millis=end),
        task_ids=[each.task_id for each in others],
        wait_ms=wait_ms,
    )


@dataclass(frozen=True)
class LoadSegments:
    """The segments that the removal of a load affects. `own`: have only its rows; `replaced`: are
    restored; `undone`: are not, as other removals marked them unused since.
    """

    own: Sequence[str] = ()
    replaced: Sequence[str] = ()
    undone: Sequence[str] = ()


def remove_request(task: Task, wait_ms: int, segments: LoadSegments) -> RemoveLoadRequest:
    """Returns the request that removes all loads of the task."""
    return RemoveLoadRequest(
        task_id=task.task_id,
        datasource=task.datasource_name,
        druid_task_ids=task.druid_task_ids,
        wait_ms=wait_ms,
        mode=LoadMode.Value(f"LOAD_MODE_{task.load_mode}"),
        segment_ids=segments.own,
        restore_segment_ids=segments.replaced,
        undone_segment_ids=segments.undone,
    )
