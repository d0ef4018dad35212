"""Taking a load back: its tasks are stopped, its segments marked unused, what it replaced is brought back, and what is left is counted."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from services.common import errors, logs
from services.druid_gateway import spec
from services.druid_gateway.loads import TaskState, TaskTarget
from services.druid_gateway.ports import Druid
from sluice.common.v1.errors_pb2 import ErrorReason

PAUSE_S = 0.1


@dataclass(frozen=True)
class Left:
    """What is left of a load."""

    removed: bool
    rows_visible: int


async def remove(druid: Druid, datasource: str, load_id: str, task_ids: Sequence[str], wait_s: float) -> Left:
    """Removes until nothing is left, or `wait_s` seconds are over. A segment holds rows of one load alone.

    Raises:
        SluiceError: DRUID_UNAVAILABLE; NEWER_LOADS where others appended to chunks that this load had replaced.
    """
    ends = monotonic() + wait_s
    await _use_up(druid, task_ids)
    for task_id in await _running(druid, task_ids):
        await druid.shut_down(task_id)
    # A task may publish until it has ended, even one that is being stopped.
    while await _running(druid, task_ids):
        if monotonic() + PAUSE_S > ends:
            return Left(False, sum((await druid.rows_by_segment(datasource, load_id)).values()))
        await asyncio.sleep(PAUSE_S)
    targets = [target for target in [await druid.task_target(task_id) for task_id in task_ids] if target]
    ours: set[str] = set()
    back: set[str] = set()
    while True:
        # A segment that the broker does not reach yet cannot be asked whose it is: where the tasks wrote, all must be reached before
        # a count of zero means that nothing is left. Asked first, so that the count comes after the loading.
        used = [await druid.used_segments(datasource, target.interval) for target in targets]
        rows = await druid.rows_by_segment(datasource, load_id)
        if fresh := sorted(rows.keys() - ours):
            _check_nothing_on_top(datasource, targets, used, {*ours, *fresh})
            await druid.mark_unused(datasource, fresh)
            logs.get().info("load.segments_unused", datasource=datasource, segments=len(fresh), rows=sum(rows.values()))
            ours.update(fresh)
        all_reached = all(reached for segments in used for reached in segments.values())
        returning = await _bring_back(druid, datasource, targets, ours, back)
        if not rows and all_reached and not returning:
            return Left(True, 0)
        if monotonic() + PAUSE_S > ends:
            return Left(False, sum(rows.values()))
        await asyncio.sleep(PAUSE_S)


async def _use_up(druid: Druid, task_ids: Sequence[str]) -> None:
    """Gives every id that Druid does not know to a task that does nothing. A submit that is still on its way, from a worker that was
    frozen or through a slow network, then finds the id taken; without this it would load rows after all were counted away."""
    known = await druid.task_statuses(task_ids) if task_ids else {}
    for task_id in task_ids:
        if task_id not in known and await druid.submit(spec.placeholder(task_id)):
            logs.get().info("load.id_used_up", druid_task_id=task_id)


async def _running(druid: Druid, task_ids: Sequence[str]) -> list[str]:
    statuses = await druid.task_statuses(task_ids) if task_ids else {}
    return [task_id for task_id, status in statuses.items() if status.state is TaskState.RUNNING]


def _check_nothing_on_top(datasource: str, targets: Sequence[TaskTarget], used: Sequence[dict[str, bool]], ours: set[str]) -> None:
    """Raises NEWER_LOADS where segments of others would vanish with ours.

    What is appended to a replaced chunk is only seen together with the segments that replaced it: Druid calls these the core partitions.
    """
    for target, segments in zip(targets, used, strict=True):
        chunks = {_chunk(datasource, segment) for segment in ours}
        others = [segment for segment in segments if segment not in ours and _chunk(datasource, segment) in chunks]
        if target.replaces and others:
            logs.get().warning("load.not_removable", datasource=datasource, others=len(others))
            message = "Other loads were appended to the chunks that this load replaced; without it they would vanish from queries too."
            raise errors.error(ErrorReason.ERROR_REASON_NEWER_LOADS, message)


def _chunk(datasource: str, segment_id: str) -> tuple[str, ...]:
    """Start, end and version of a segment, from its id `{datasource}_{start}_{end}_{version}[_{partition}]`."""
    return tuple(segment_id.removeprefix(f"{datasource}_").split("_")[:3])


async def _bring_back(druid: Druid, datasource: str, targets: Sequence[TaskTarget], ours: set[str], back: set[str]) -> bool:
    """Marks used again what the coordinator has taken out of use because `ours` had replaced it; whether there was anything.

    These segments were there before the task, and went after its own came. Each is tried once (`back`): one that a later load has
    replaced too stays where it is.
    """
    replaced: set[str] = set()
    for target in targets:
        if not target.replaces or not ours:
            continue
        unused = await druid.unused_segments(datasource, target.interval)
        came = max((segment.created for segment in unused if segment.id in ours), default=None)
        if came is not None:
            replaced |= {each.id for each in unused if each.created < target.created and each.unused_since >= came}
    returning = sorted(replaced - ours - back)
    if returning:
        await druid.mark_used(datasource, returning)
        back.update(returning)
        logs.get().info("load.segments_brought_back", datasource=datasource, segments=len(returning))
    return bool(returning)
