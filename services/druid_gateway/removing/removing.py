"""Removes a load: stops its tasks, marks its segments unused, restores what it replaced, and counts
what is left.

No state is kept between calls. Each call finds out what is left to do, so an interrupted call can
simply be repeated.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from time import monotonic

from services.common import errors, logs
from services.druid_gateway.loads import spec
from services.druid_gateway.loads.load import TaskState, TaskTarget
from services.druid_gateway.ports import Druid
from services.druid_gateway.removing.other_loads import check_removable
from services.druid_gateway.removing.segment_ids import hull, intervals
from services.druid_gateway.removing.tombstones import tombstones
from sluice.common.v1.errors_pb2 import ErrorReason

PAUSE_S = 0.1

GONE_AFTER_S = 1.5
"""Druid has deleted a segment if it lists it neither as used nor as unused for this long. A shorter
absence means nothing, because the two lists are not read at the same moment.
"""


@dataclass(frozen=True)
class Removal:
    """A load to remove. `own`: segments known to have only its rows, others are found by a query;
    `restore`: segments that must be used afterwards; `undone`: segments that other removals made
    unused for good.
    """

    datasource: str
    load_id: str
    task_ids: Sequence[str] = ()
    own: frozenset[str] = frozenset()
    restore: frozenset[str] = frozenset()
    undone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Left:
    """What is left of a load. `segments`: those that this call marked unused."""

    removed: bool
    rows_visible: int
    segments: Sequence[str] = field(default=(), compare=False)


async def remove(druid: Druid, removal: Removal, wait_s: float) -> Left:
    """Remove a load until nothing is left of it, for at most `wait_s` seconds. If rows of other
    loads would disappear as well, nothing is removed.

    Raises:
        SluiceError: DRUID_UNAVAILABLE; SHARED_SEGMENTS and NEWER_LOADS as check_removable;
            DRUID_LOCKED while another Druid task rewrites the time chunks; REPLACED_ROWS_GONE.
    """
    datasource, load_id = removal.datasource, removal.load_id
    began = monotonic()
    ends = began + wait_s
    if not await _stop_tasks(druid, removal.task_ids, ends):
        visible = await druid.rows_by_segment(datasource, load_id)
        return Left(False, sum(visible.values()))
    targets = [
        target for each in removal.task_ids if (target := await druid.task_target(each)) is not None
    ]
    affected = intervals(datasource, removal.own | removal.restore) | {
        target.interval for target in targets
    }
    removed: set[str] = set()
    restored: set[str] = set()
    while True:
        # Asked first: a rewriting task that has ended by now has published what it read, and that
        # is counted below.
        chunks = intervals(datasource, removal.own | removed) or {each.interval for each in targets}
        rewriting = await druid.rewriting_tasks(datasource, chunks) if chunks else []
        # The broker cannot tell whose rows an unavailable segment has, so a count of 0 means
        # nothing until all are available. Asked before the count, which so includes them.
        used = await druid.used_segments(datasource, hull(affected)) if affected else {}
        rows = await druid.rows_by_segment(datasource, load_id)
        to_remove = sorted(await _to_remove(druid, removal, targets, rows.keys()) - removed)
        locked_by = (
            await druid.rewriting_tasks(datasource, intervals(datasource, to_remove))
            if to_remove
            else []
        )
        if locked_by:
            if monotonic() + PAUSE_S > ends:
                raise _locked(datasource, locked_by)
            await asyncio.sleep(PAUSE_S)
            continue
        await check_removable(druid, datasource, load_id, to_remove)
        to_restore, deleted = await _to_restore(druid, removal)
        if deleted:
            if monotonic() - began >= GONE_AFTER_S:
                raise _deleted(removal, deleted)
            await asyncio.sleep(PAUSE_S)
            continue
        if to_restore:
            # Before the load's own segments go, so that no query misses both.
            await _mark_used(druid, datasource, to_restore)
        if to_remove:
            await druid.mark_unused(datasource, to_remove)
            logs.get().info(
                "load.segments_unused",
                datasource=datasource,
                segments=len(to_remove),
                rows=sum(rows.values()),
            )
            removed.update(to_remove)
        returning = await _restore_replaced(druid, removal, targets, removed, restored)
        changing = rows or to_remove or to_restore or returning or rewriting
        if not changing and all(used.values()):
            return Left(True, 0, sorted(removed))
        if monotonic() + PAUSE_S > ends:
            return Left(False, sum(rows.values()), sorted(removed))
        await asyncio.sleep(PAUSE_S)


async def _stop_tasks(druid: Druid, task_ids: Sequence[str], ends: float) -> bool:
    """Stop the tasks and wait for their ends, because even a task that is being stopped may still
    publish. False if one is still running at `ends`.
    """
    await _reserve_unknown(druid, task_ids)
    for task_id in await _running(druid, task_ids):
        await druid.shut_down(task_id)
    while await _running(druid, task_ids):
        if monotonic() + PAUSE_S > ends:
            return False
        await asyncio.sleep(PAUSE_S)
    return True


async def _reserve_unknown(druid: Druid, task_ids: Sequence[str]) -> None:
    """Reserve each id that Druid does not know with a task that does nothing. Otherwise a late
    submit, from a frozen worker or over a slow network, would load rows after the removal.
    """
    known = await druid.task_statuses(task_ids) if task_ids else {}
    for task_id in task_ids:
        if task_id not in known and await druid.submit(spec.placeholder(task_id)):
            logs.get().info("load.id_used_up", druid_task_id=task_id)


async def _running(druid: Druid, task_ids: Sequence[str]) -> list[str]:
    statuses = await druid.task_statuses(task_ids) if task_ids else {}
    return [task_id for task_id, status in statuses.items() if status.state is TaskState.RUNNING]


async def _to_remove(
    druid: Druid, removal: Removal, targets: Sequence[TaskTarget], with_rows: Collection[str]
) -> set[str]:
    """Return the published segments that have rows of the load or hide what it replaced. Its own
    segments go even if another load has replaced them: they would reappear when that load goes.
    """
    datasource = removal.datasource
    segments = set(with_rows)
    if removal.own:
        interval = hull(intervals(datasource, removal.own))
        segments |= removal.own & await druid.published_segments(datasource, interval)
    for each in targets:
        if each.drops:
            segments |= (await tombstones(druid, datasource, each.interval, each.created)).keys()
    return segments


async def _to_restore(druid: Druid, removal: Removal) -> tuple[list[str], int]:
    """Return the unused segments that must be restored, and the number of those that Druid no
    longer has.
    """
    if not removal.restore:
        return [], 0
    interval = hull(intervals(removal.datasource, removal.restore))
    unused = {segment.id for segment in await druid.unused_segments(removal.datasource, interval)}
    published = await druid.published_segments(removal.datasource, interval)
    return sorted((removal.restore & unused) - published), len(removal.restore - published - unused)


async def _restore_replaced(
    druid: Druid,
    removal: Removal,
    targets: Sequence[TaskTarget],
    removed: set[str],
    restored: set[str],
) -> bool:
    """Restore segments that the removed ones had replaced but that nobody recorded; return whether
    there were any.

    They were created before the task, and became unused after its first segments were created. So
    did segments that other removals made unused at the time, which `removal.undone` excludes. Each
    is restored once (`restored`): it becomes unused again if a later load has replaced it too.
    """
    replaced: set[str] = set()
    for target in targets:
        if not target.replaces or not removed:
            continue
        unused = await druid.unused_segments(removal.datasource, target.interval)
        created = max(
            (segment.created for segment in unused if segment.id in removed), default=None
        )
        if created is not None:
            replaced |= {
                each.id
                for each in unused
                if each.created < target.created and each.unused_since >= created
            }
    returning = sorted(replaced - removed - restored - removal.undone)
    if returning:
        await _mark_used(druid, removal.datasource, returning)
        restored.update(returning)
    return bool(returning)


async def _mark_used(druid: Druid, datasource: str, segments: Sequence[str]) -> None:
    await druid.mark_used(datasource, segments)
    logs.get().info("load.segments_brought_back", datasource=datasource, segments=len(segments))


def _locked(datasource: str, tasks: Sequence[str]) -> errors.SluiceError:
    logs.get().warning("load.chunks_locked", datasource=datasource, tasks=list(tasks))
    return errors.error(
        ErrorReason.ERROR_REASON_DRUID_LOCKED,
        f"A Druid task is rewriting the load's time chunks: {tasks[0]}.",
        value=tasks[0],
        action="Wait until it has ended; then undo the load again.",
    )


def _deleted(removal: Removal, deleted: int) -> errors.SluiceError:
    logs.get().error("load.replaced_segments_gone", datasource=removal.datasource, segments=deleted)
    message = f"Druid has deleted {deleted:,} of the {len(removal.restore):,} segments that this load replaced."
    return errors.error(ErrorReason.ERROR_REASON_REPLACED_ROWS_GONE, message, value=deleted)
