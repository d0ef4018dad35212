"""Taking a load back: its tasks are stopped, its segments marked unused, and what is left is counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from services.common import logs
from services.druid_gateway.granularity import iso
from services.druid_gateway.loads import Interval, TaskState
from services.druid_gateway.ports import Druid

PAUSE_S = 0.1


@dataclass(frozen=True)
class Left:
    """What is left of a load."""

    removed: bool
    rows_visible: int


async def remove(druid: Druid, datasource: str, load_id: str, task_ids: Sequence[str], wait_s: float) -> Left:
    """Removes until nothing is left, or `wait_s` seconds are over. An append's and a replace's segments hold rows of that load alone.

    Raises:
        SluiceError: DRUID_UNAVAILABLE.
    """
    ends = monotonic() + wait_s
    for task_id in await _running(druid, task_ids):
        await druid.shut_down(task_id)
    # A task may publish until it has ended, even one that is being stopped.
    while await _running(druid, task_ids):
        if monotonic() + PAUSE_S > ends:
            return Left(False, sum((await druid.rows_by_segment(datasource, load_id)).values()))
        await asyncio.sleep(PAUSE_S)
    intervals = [interval for interval in [await druid.task_interval(task_id) for task_id in task_ids] if interval]
    marked: set[str] = set()
    while True:
        # A segment that the broker does not reach yet cannot be asked whose it is: where the tasks wrote, all must be reached before
        # a count of zero means that nothing is left. Asked first, so that the count comes after the loading.
        hidden = any([await _some_out_of_reach(druid, datasource, interval) for interval in intervals])
        rows = await druid.rows_by_segment(datasource, load_id)
        if not rows and not hidden:
            return Left(True, 0)
        if fresh := sorted(rows.keys() - marked):
            await druid.mark_unused(datasource, fresh)
            logs.get().info("load.segments_unused", datasource=datasource, segments=len(fresh), rows=sum(rows.values()))
            marked.update(fresh)
        if monotonic() + PAUSE_S > ends:
            return Left(False, sum(rows.values()))
        await asyncio.sleep(PAUSE_S)


async def _some_out_of_reach(druid: Druid, datasource: str, interval: Interval) -> bool:
    """Whether segments of the interval are published and not known to the broker."""
    # Makes the coordinator read its database anew: a segment may have been published a moment ago.
    await druid.loaded_percent(datasource, interval)
    sql = (
        "SELECT segment_id FROM sys.segments WHERE datasource = ? AND is_active = 1 AND is_available = 0 "
        'AND "start" < ? AND "end" > ? LIMIT 1'
    )
    return bool(await druid.sql(sql, [datasource, iso(interval.end_millis), iso(interval.start_millis)]))


async def _running(druid: Druid, task_ids: Sequence[str]) -> list[str]:
    statuses = await druid.task_statuses(task_ids) if task_ids else {}
    return [task_id for task_id, status in statuses.items() if status.state is TaskState.RUNNING]
