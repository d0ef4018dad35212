"""Taking a load back: its tasks are stopped, its segments marked unused, what it replaced is
brought back, and what is left is counted.

Nothing is remembered between two calls: each finds out by asking what is still to be done, so a
call that was broken off, at any moment, is simply made again.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from time import monotonic

from services.common import errors, logs
from services.druid_gateway.loads import spec
from services.druid_gateway.loads.load import TaskState, TaskTarget
from services.druid_gateway.ports import Druid
from services.druid_gateway.removing import beside
from services.druid_gateway.removing.segment_ids import hull, interval, intervals
from services.druid_gateway.removing.tombstones import tombstones
from sluice.common.v1.errors_pb2 import ErrorReason

PAUSE_S = 0.1

GONE_AFTER_S = 1.5
"""A segment that Druid lists neither as used nor as unused for so long is called gone: the two
lists are not read in one moment.
"""


@dataclass(frozen=True)
class Removal:
    """What is to be removed. `own`: segments known to hold rows of the load alone, others are found
    by asking; `restore`: segments that have to be in use afterwards; `undone`: segments that others
    took out of use for good.
    """

    datasource: str
    load_id: str
    task_ids: Sequence[str] = ()
    own: frozenset[str] = frozenset()
    restore: frozenset[str] = frozenset()
    undone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Left:
    """What is left of a load, and the segments that were taken out of use."""

    removed: bool
    rows_visible: int
    segments: Sequence[str] = field(default=(), compare=False)


async def remove(druid: Druid, removal: Removal, wait_s: float) -> Left:
    """Removes until nothing is left, or `wait_s` seconds are over. Rows of other loads stay: where
    they would go too nothing is removed.

    Raises:
        SluiceError: DRUID_UNAVAILABLE; SHARED_SEGMENTS and NEWER_LOADS as beside.check_alone;
            DRUID_LOCKED while another Druid task rewrites the chunks; REPLACED_ROWS_GONE.
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
            visible = await druid.rows_by_segment(datasource, load_id)
            return Left(False, sum(visible.values()))
        await asyncio.sleep(PAUSE_S)
    all_targets = [await druid.task_target(task_id) for task_id in task_ids]
    targets = [target for target in all_targets if target]
    known = [interval(datasource, segment) for segment in removal.own | removal.restore]
    where = hull([*known, *(target.interval for target in targets)])
    ours: set[str] = set()
    back: set[str] = set()
    while True:
        # First of all: what has ended by now has published what it read, and is counted.
        chunks = intervals(datasource, removal.own | ours) or {each.interval for each in targets}
        writing = await druid.rewriting_tasks(datasource, chunks) if chunks else []
        # A segment that the broker does not reach yet cannot be asked whose it is: all must be
        # reached before a count of zero means that nothing is left. Asked first, so that the count
        # comes after the loading.
        used = await druid.used_segments(datasource, where) if where else {}
        rows = await druid.rows_by_segment(datasource, load_id)
        fresh = sorted(await _to_go(druid, removal, targets, rows.keys()) - ours)
        holding = (
            await druid.rewriting_tasks(datasource, intervals(datasource, fresh)) if fresh else []
        )
        if holding:
            if monotonic() + PAUSE_S > ends:
                raise _locked(datasource, holding)
            await asyncio.sleep(PAUSE_S)
            continue
        await beside.check_alone(druid, datasource, load_id, fresh)
        missing, gone = await _to_come_back(druid, removal)
        if gone:
            if monotonic() - began >= GONE_AFTER_S:
                raise _gone(removal, gone)
            await asyncio.sleep(PAUSE_S)
            continue
        if missing:
            # Before ours go, so that no query finds neither.
            await druid.mark_used(datasource, missing)
            logs.get().info(
                "load.segments_brought_back", datasource=datasource, segments=len(missing)
            )
        if fresh:
            await druid.mark_unused(datasource, fresh)
            logs.get().info(
                "load.segments_unused",
                datasource=datasource,
                segments=len(fresh),
                rows=sum(rows.values()),
            )
            ours.update(fresh)
        returning = await _bring_back(druid, removal, targets, ours, back)
        changing = rows or fresh or missing or returning or writing
        if not changing and all(used.values()):
            return Left(True, 0, sorted(ours))
        if monotonic() + PAUSE_S > ends:
            return Left(False, sum(rows.values()), sorted(ours))
        await asyncio.sleep(PAUSE_S)


async def _to_go(
    druid: Druid, removal: Removal, targets: Sequence[TaskTarget], holding: Collection[str]
) -> set[str]:
    """Segments that hold rows of the load or hide what it replaced. Its own go also where another
    load has replaced them: they would be seen again when that one goes.
    """
    datasource = removal.datasource
    going = set(holding)
    if where := hull(interval(datasource, segment) for segment in removal.own):
        going |= removal.own & await druid.published_segments(datasource, where)
    for each in targets:
        if each.drops:
            going |= (await tombstones(druid, datasource, each.interval, each.created)).keys()
    return going


def _locked(datasource: str, tasks: Sequence[str]) -> errors.SluiceError:
    logs.get().warning("load.chunks_locked", datasource=datasource, tasks=list(tasks))
    return errors.error(
        ErrorReason.ERROR_REASON_DRUID_LOCKED,
        f"A task of Druid is rewriting the load's time chunks: {tasks[0]}.",
        value=tasks[0],
        action="Wait until it has ended; then undo the load again.",
    )


async def _use_up(druid: Druid, task_ids: Sequence[str]) -> None:
    """Gives every id that Druid does not know to a task that does nothing. A submit that is still
    on its way, from a worker that was frozen or through a slow network, then finds the id taken;
    without this it would load rows after all were counted away.
    """
    known = await druid.task_statuses(task_ids) if task_ids else {}
    for task_id in task_ids:
        if task_id not in known and await druid.submit(spec.placeholder(task_id)):
            logs.get().info("load.id_used_up", druid_task_id=task_id)


async def _running(druid: Druid, task_ids: Sequence[str]) -> list[str]:
    statuses = await druid.task_statuses(task_ids) if task_ids else {}
    return [task_id for task_id, status in statuses.items() if status.state is TaskState.RUNNING]


async def _to_come_back(druid: Druid, removal: Removal) -> tuple[list[str], int]:
    """Those segments that have to come back and are not in use, and the number of those that Druid
    does not know.
    """
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


async def _bring_back(
    druid: Druid, removal: Removal, targets: Sequence[TaskTarget], ours: set[str], back: set[str]
) -> bool:
    """Marks used again what the coordinator has taken out of use because `ours` had replaced it and
    nobody had recorded before; whether there was anything. What an undo took out of use at the same
    time looks alike, so it is named.

    These segments were there before the task, and went after its own came. Each is tried once
    (`back`): one that a later load has replaced too stays where it is.
    """
    datasource = removal.datasource
    replaced: set[str] = set()
    for target in targets:
        if not target.replaces or not ours:
            continue
        unused = await druid.unused_segments(datasource, target.interval)
        came = max((segment.created for segment in unused if segment.id in ours), default=None)
        if came is not None:
            replaced |= {
                each.id
                for each in unused
                if each.created < target.created and each.unused_since >= came
            }
    returning = sorted(replaced - ours - back - removal.undone)
    if returning:
        await druid.mark_used(datasource, returning)
        back.update(returning)
        logs.get().info(
            "load.segments_brought_back", datasource=datasource, segments=len(returning)
        )
    return bool(returning)
