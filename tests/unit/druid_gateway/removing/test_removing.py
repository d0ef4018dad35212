"""Removing a load."""

from collections.abc import Collection, Sequence

import pytest

from services.common.errors import SluiceError
from services.druid_gateway.loads.load import Interval, TaskTarget, UnusedSegment
from services.druid_gateway.removing.removing import Left, Removal, remove
from tests.unit.druid_gateway.fake_druid import AWAY, RUNNING, SUCCESS, FakeDruid, failed

STOPPED = failed("Shutdown request from user")


async def run(druid: FakeDruid, *task_ids: str, wait_s: float = 5.0) -> Left:
    return await remove(druid, Removal("sales", "load", task_ids), wait_s)


async def test_running_tasks_are_stopped_and_waited_for() -> None:
    druid = FakeDruid(polls=[{"a": RUNNING, "b": SUCCESS}, {"a": RUNNING}, {"a": STOPPED}])
    assert await run(druid, "a", "b", "never") == Left(True, 0)
    assert druid.stopped == ["a"]


async def test_a_late_submit_finds_its_id_reserved() -> None:
    druid = FakeDruid(polls=[{"a": SUCCESS}])
    assert await run(druid, "a", "frozen") == Left(True, 0)
    assert [task["id"] for task in druid.specs] == ["frozen"]
    assert await druid.submit({"id": "frozen"}) is False


async def test_a_task_that_does_not_end_is_reported() -> None:
    druid = FakeDruid(polls=[{"a": RUNNING}], segments={"s1": 5, "s2": 2})
    assert await run(druid, "a", wait_s=0.3) == Left(False, 7)
    # Nothing is marked while it may still publish.
    assert druid.marked == []


async def test_segments_are_marked_unused() -> None:
    druid = FakeDruid(segments={OURS: 5, f"{OURS}_1": 2})
    assert await run(druid) == Left(True, 0)
    assert sorted(druid.marked) == [OURS, f"{OURS}_1"]


async def test_segments_that_stay_are_reported() -> None:
    class Stubborn(FakeDruid):
        async def mark_unused(self, datasource: str, segment_ids: Sequence[str]) -> None:
            self.stopped.extend(segment_ids)

    druid = Stubborn(segments={OURS: 5})
    assert await run(druid, wait_s=0.3) == Left(False, 5)
    assert druid.stopped == [OURS]


APPENDED = TaskTarget(Interval(0, 86_400_000), False, "2026-01-01T00:00:00.000Z")
REPLACED = TaskTarget(Interval(0, 86_400_000), True, "2026-01-01T00:00:00.000Z")
CHUNK = "sales_1970-01-01T00:00:00.000Z_1970-01-02T00:00:00.000Z"
OURS = f"{CHUNK}_2026-01-01T00:00:01.000Z"


async def test_waits_for_unavailable_segments() -> None:
    class Loading(FakeDruid):
        """The segment becomes available in the third round."""

        rounds = 0

        async def used_segments(
            self, datasource: str, interval: Interval, *, refresh: bool = True
        ) -> dict[str, bool]:
            self.rounds += 1
            if self.rounds >= 3:
                self.segments[OURS] = 3
            return {OURS: self.rounds >= 3} if OURS not in self.marked else {}

    druid = Loading(polls=[{"a": SUCCESS}], target=APPENDED)
    assert await run(druid, "a") == Left(True, 0)
    assert druid.marked == [OURS]


async def test_replaced_segments_are_restored() -> None:
    before, during, after = (
        "2025-12-31T00:00:00.000Z",
        "2026-01-01T00:00:01.500Z",
        "2026-01-01T00:00:03.000Z",
    )
    druid = FakeDruid(
        polls=[{"a": SUCCESS}],
        target=REPLACED,
        segments={OURS: 3},
        used={OURS: True},
        unused=[
            UnusedSegment(OURS, "2026-01-01T00:00:02.000Z", after),
            UnusedSegment("replaced", before, after),
            UnusedSegment("removed before", before, before),
            UnusedSegment("removed while ours was loaded", before, during),
            UnusedSegment("later", after, after),
        ],
    )
    assert await run(druid, "a") == Left(True, 0)
    assert (druid.marked, druid.brought_back) == ([OURS], ["replaced"])


async def test_segments_that_were_reverted_meanwhile_are_not_restored() -> None:
    undone, after = f"{CHUNK}_2025-01-01T00:00:00.000Z", "2026-01-01T00:00:03.000Z"
    druid = FakeDruid(
        polls=[{"a": SUCCESS}],
        target=REPLACED,
        segments={OURS: 3},
        used={OURS: True},
        unused=[
            UnusedSegment(OURS, "2026-01-01T00:00:02.000Z", after),
            UnusedSegment(undone, "2025", after),
        ],
    )
    removal = Removal("sales", "load", ["a"], undone=frozenset({undone}))
    assert await remove(druid, removal, 5) == Left(True, 0)
    assert (druid.marked, druid.brought_back) == ([OURS], [])


async def test_a_replace_that_never_ran_restores_nothing() -> None:
    unused = [
        UnusedSegment("undone meanwhile", "2025-12-31T00:00:00.000Z", "2026-01-01T00:00:03.000Z")
    ]
    druid = FakeDruid(polls=[{"a": STOPPED}], target=REPLACED, unused=unused)
    assert await run(druid, "a") == Left(True, 0)
    assert druid.brought_back == []


async def test_segments_that_a_later_load_replaced_are_restored_once() -> None:
    class Covered(FakeDruid):
        async def mark_used(self, datasource: str, segment_ids: Sequence[str]) -> None:
            self.stopped.extend(segment_ids)

    unused = [
        UnusedSegment(OURS, "2026-01-01T00:00:02.000Z", "z"),
        UnusedSegment("covered", "2025", "2026-01-01T00:00:03.000Z"),
    ]
    druid = Covered(
        polls=[{"a": SUCCESS}],
        target=REPLACED,
        segments={OURS: 3},
        used={OURS: True},
        unused=unused,
    )
    assert await run(druid, "a") == Left(True, 0)
    assert druid.stopped == ["covered"]


async def test_an_append_restores_nothing() -> None:
    unused = [UnusedSegment("other", "2025-12-31T00:00:00.000Z", "2026-01-01T00:00:03.000Z")]
    druid = FakeDruid(polls=[{"a": SUCCESS}], target=APPENDED, unused=unused)
    assert await run(druid, "a") == Left(True, 0)
    assert druid.brought_back == []


@pytest.mark.parametrize("other", [f"{OURS}_1", f"{OURS}_12"])
async def test_a_replace_under_later_appends_stays(other: str) -> None:
    druid = FakeDruid(
        polls=[{"a": SUCCESS}],
        target=REPLACED,
        segments={OURS: 3},
        used={OURS: True, other: True},
        core={OURS},
        strangers={other: {"later": 2}},
    )
    with pytest.raises(SluiceError) as raised:
        await run(druid, "a")
    assert (raised.value.code, raised.value.metadata) == ("NEWER_LOADS", {"tasks": "later"})
    assert druid.marked == []


async def test_rows_of_others_in_a_compacted_segment_stay() -> None:
    """Druid compacted four loads into one segment."""
    others = {"two": 5, "three": 5, "four": 5, "": 1}
    druid = FakeDruid(segments={OURS: 3}, used={OURS: True}, core={OURS}, strangers={OURS: others})
    with pytest.raises(SluiceError) as raised:
        await remove(druid, undo(restore=frozenset()), 5)
    assert raised.value.code == "SHARED_SEGMENTS"
    assert raised.value.metadata == {"tasks": "four,three,two"}
    assert "3 other loads and of other programs" in raised.value.problem.message
    assert druid.marked == []


async def test_appends_to_a_load_that_was_compacted_alone_stay() -> None:
    """An append that was compacted alone is the core of its chunk, like a replace."""
    druid = FakeDruid(
        segments={OURS: 3},
        used={OURS: True, f"{OURS}_1": True},
        core={OURS},
        strangers={f"{OURS}_1": {"later": 2}},
    )
    with pytest.raises(SluiceError) as raised:
        await remove(druid, undo(restore=frozenset()), 5)
    assert raised.value.code == "NEWER_LOADS"
    assert druid.marked == []


async def test_waits_for_a_task_that_rewrites_the_chunk() -> None:
    """It would publish again what it has read, after the removal was verified."""
    compacting = [["compact_1"]] * 4
    druid = FakeDruid(segments={OURS: 3}, used={OURS: True}, writing=[*compacting, []])
    assert await remove(druid, undo(restore=frozenset()), 5) == Left(True, 0)
    held = FakeDruid(segments={OURS: 3}, used={OURS: True}, writing=[["compact_2"]])
    with pytest.raises(SluiceError) as raised:
        await remove(held, undo(restore=frozenset()), 0.3)
    assert (raised.value.code, raised.value.problem.value) == ("DRUID_LOCKED", "compact_2")
    assert held.marked == []


async def test_segments_published_by_an_earlier_task_are_checked() -> None:
    """The task started between the last check and the removal, and had read the rows."""

    class Racing(FakeDruid):
        async def rewriting_tasks(self, datasource: str, chunks: Collection[Interval]) -> list[str]:
            if not self.marked:
                return []
            self.lines_read += 1
            if self.lines_read == 4:
                new = f"{CHUNK}_2027-01-01T00:00:00.000Z"
                self.used[new], self.segments[new], self.strangers[new] = True, 3, {"two": 5}
            return ["compact_1"] if self.lines_read < 4 else []

    druid = Racing(segments={OURS: 3}, used={OURS: True})
    with pytest.raises(SluiceError) as raised:
        await remove(druid, undo(restore=frozenset()), 5)
    assert raised.value.code == "SHARED_SEGMENTS"


async def test_own_segments_that_others_have_replaced_are_removed() -> None:
    """They would be visible again once the load that replaced them is reverted."""
    druid = FakeDruid(segments={f"{OURS}_1": 3}, used={f"{OURS}_1": True}, overshadowed={OURS})
    removal = Removal("sales", "load", own=frozenset({OURS, f"{OURS}_1"}))
    assert await remove(druid, removal, 5) == Left(True, 0)
    assert sorted(druid.marked) == [OURS, f"{OURS}_1"]


async def test_an_unavailable_own_segment_counts_as_rows() -> None:
    """An unavailable compacted segment may have rows of the load, so a count of 0 proves nothing."""
    druid = FakeDruid(used={f"{CHUNK}_2027-01-01T00:00:00.000Z": False})
    removal = Removal("sales", "load", own=frozenset({OURS}))
    assert await remove(druid, removal, 0.3) == Left(False, 0)


async def test_an_append_under_later_appends_is_removed() -> None:
    druid = FakeDruid(
        polls=[{"a": SUCCESS}],
        target=APPENDED,
        segments={OURS: 3},
        used={OURS: True, f"{OURS}_1": True},
    )
    assert await run(druid, "a") == Left(True, 0)


async def test_an_outage_of_druid_is_an_error() -> None:
    with pytest.raises(SluiceError) as raised:
        await run(FakeDruid(polls=[AWAY]), "a")
    assert raised.value.code == "DRUID_UNAVAILABLE"


OLD = f"{CHUNK}_2025-01-01T00:00:00.000Z"


def undo(restore: frozenset[str] = frozenset({OLD})) -> Removal:
    return Removal("sales", "load", own=frozenset({OURS}), restore=restore)


async def test_recorded_segments_are_restored_before_ours_are_removed() -> None:
    class Ordered(FakeDruid):
        order: list[str]

        async def mark_used(self, datasource: str, segment_ids: Sequence[str]) -> None:
            assert not self.marked
            await super().mark_used(datasource, segment_ids)

    druid = Ordered(
        segments={OURS: 3}, used={OURS: True}, unused=[UnusedSegment(OLD, "2025", "2026")]
    )
    assert await remove(druid, undo(), 5) == Left(True, 0)
    assert (druid.marked, druid.brought_back) == ([OURS], [OLD])


async def test_an_interrupted_call_is_completed() -> None:
    """The load's segments are already unused, but what they had replaced is not restored yet."""
    druid = FakeDruid(
        unused=[UnusedSegment(OLD, "2025", "2026"), UnusedSegment(OURS, "2026", "2026")]
    )
    assert await remove(druid, undo(), 5) == Left(True, 0)
    assert (druid.marked, druid.brought_back) == ([], [OLD])


async def test_replaced_segments_that_are_still_in_use_are_left_alone() -> None:
    druid = FakeDruid(segments={OURS: 3}, used={OURS: True}, overshadowed={OLD})
    assert await remove(druid, undo(), 5) == Left(True, 0)
    assert (druid.marked, druid.brought_back) == ([OURS], [])


async def test_a_replace_stays_if_druid_has_deleted_what_it_replaced() -> None:
    druid = FakeDruid(segments={OURS: 3}, used={OURS: True})
    with pytest.raises(SluiceError) as raised:
        await remove(druid, undo(), 5)
    assert raised.value.code == "REPLACED_ROWS_GONE"
    assert druid.marked == []


async def test_an_unavailable_recorded_segment_is_removed() -> None:
    druid = FakeDruid(used={OURS: False})
    assert await remove(druid, undo(restore=frozenset()), 5) == Left(True, 0)
    assert druid.marked == [OURS]
