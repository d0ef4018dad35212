"""Taking a load back: its tasks are stopped, its segments marked unused, what it replaced is brought back, and what is left is counted.

Nothing is remembered between two calls: each finds out by asking what is still to be done, so a call that was broken off, at any moment,
is simply made again.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from services.common import errors, logs
from services.druid_gateway import spec
from services.druid_gateway.loads import TaskState, TaskTarget
from services.druid_gateway.ports import Druid
from services.druid_gateway.segment_ids import chunk, hull, interval
from services.druid_gateway.tombstones import tombstones
from sluice.common.v1.errors_pb2 import ErrorReason

PAUSE_S = 0.1

GONE_AFTER_S = 1.5
"""A segment that Druid lists neither as used nor as unused for so long is called gone: the two lists are not read in one moment."""


@dataclass(frozen=True)
class Removal:
    """What is to be removed. `own`: segments known to be the load's, others are found by asking; `restore`: segments that have to be in
    use afterwards; `replaces`: None where only the load's tasks can tell."""

    datasource: str
    load_id: str
    task_ids: Sequence[str] = ()
    own: frozenset[str] = frozenset()
    restore: frozenset[str] = frozenset()
    replaces: bool | None = None


@dataclass(frozen=True)
class Left:
    """What is left of a load, and the segments that were taken out of use."""

    removed: bool
    rows_visible: int
    segments: Sequence[str] = field(default=(), compare=False)


async def remove(druid: Druid, removal: Removal, wait_s: float) -> Left:
    """Removes until nothing is left, or `wait_s` seconds are over. A segment holds rows of one load alone.

    Raises:
        SluiceError: DRUID_UNAVAILABLE; NEWER_LOADS where others appended to chunks that this load had replaced; REPLACED_ROWS_GONE.
    """
    datasource, load_id, task_ids = removal.datasource, removal.load_id, removal.task_ids
    began = monotonic()
    ends = began + wait_s
    await _use_up(druid, task_ids)
    for task_id in await _running(druid, task_ids):
        await druid.shut_down(task_id)
    # A task may publish until it has ended, even one that is being stopped.
    while await _running(druid, task_ids):
        if monotonic() + PAUSE_S > ends:
            return Left(False, sum((await druid.rows_by_segment(datasource, load_id)).values()))
        await asyncio.sleep(PAUSE_S)
    targets = [target for target in [await druid.task_target(task_id) for task_id in task_ids] if target]
    replaces = removal.replaces if removal.replaces is not None else any(target.replaces for target in targets)
    known = [interval(datasource, segment) for segment in removal.own | removal.restore]
    where = hull([*known, *(target.interval for target in targets)])
    ours: set[str] = set()
    back: set[str] = set()
    while True:
        # A segment that the broker does not reach yet cannot be asked whose it is: where the tasks wrote, all must be reached before
        # a count of zero means that nothing is left. Asked first, so that the count comes after the loading.
        used = await druid.used_segments(datasource, where) if where else {}
        rows = await druid.rows_by_segment(datasource, load_id)
        hiding = [await tombstones(druid, datasource, each.interval, each.created) for each in targets if each.drops]
        fresh = sorted((rows.keys() | (removal.own & used.keys())).union(*hiding) - ours)
        if fresh and replaces:
            _check_nothing_on_top(datasource, used, {*ours, *fresh})
        missing, gone = await _to_come_back(druid, removal)
        if gone:
            if monotonic() - began >= GONE_AFTER_S:
                raise _gone(removal, gone)
            await asyncio.sleep(PAUSE_S)
            continue
        if missing:
            # Before ours go, so that no query finds neither.
            await druid.mark_used(datasource, missing)
            logs.get().info("load.segments_brought_back", datasource=datasource, segments=len(missing))
        if fresh:
            await druid.mark_unused(datasource, fresh)
            logs.get().info("load.segments_unused", datasource=datasource, segments=len(fresh), rows=sum(rows.values()))
            ours.update(fresh)
        waited_for = used if targets else {segment: used[segment] for segment in removal.restore & used.keys()}
        returning = await _bring_back(druid, datasource, targets, ours, back)
        if not rows and not fresh and not missing and not returning and all(waited_for.values()):
            return Left(True, 0, sorted(ours))
        if monotonic() + PAUSE_S > ends:
            return Left(False, sum(rows.values()), sorted(ours))
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


def _check_nothing_on_top(datasource: str, used: dict[str, bool], ours: set[str]) -> None:
    """Raises NEWER_LOADS where segments of others would vanish with ours.

    What is appended to a replaced chunk is only seen together with the segments that replaced it: Druid calls these the core partitions.
    """
    chunks = {chunk(datasource, segment) for segment in ours}
    others = [segment for segment in used if segment not in ours and chunk(datasource, segment) in chunks]
    if others:
        logs.get().warning("load.not_removable", datasource=datasource, others=len(others))
        message = "Other loads were appended to the chunks that this load replaced; without it they would vanish from queries too."
        raise errors.error(ErrorReason.ERROR_REASON_NEWER_LOADS, message)


async def _to_come_back(druid: Druid, removal: Removal) -> tuple[list[str], int]:
    """Those segments that have to come back and are not in use, and the number of those that Druid does not know."""
    where = hull(interval(removal.datasource, segment) for segment in removal.restore)
    if where is None:
        return [], 0
    unused = {segment.id for segment in await druid.unused_segments(removal.datasource, where)}
    published = await druid.published_segments(removal.datasource, where)
    return sorted((removal.restore & unused) - published), len(removal.restore - published - unused)


def _gone(removal: Removal, gone: int) -> errors.SluiceError:
    logs.get().error("load.replaced_segments_gone", datasource=removal.datasource, segments=gone)
    message = f"Druid has deleted {gone:,} of the {len(removal.restore):,} segments that this load replaced."
    return errors.error(ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE, message, value=gone)


async def _bring_back(druid: Druid, datasource: str, targets: Sequence[TaskTarget], ours: set[str], back: set[str]) -> bool:
    """Marks used again what the coordinator has taken out of use because `ours` had replaced it and nobody had recorded before; whether
    there was anything.

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
