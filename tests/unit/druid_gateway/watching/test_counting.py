"""Counting several loads at once, only while all segments are available."""

from collections.abc import Sequence

from services.druid_gateway.loads.load import Interval
from services.druid_gateway.watching.counting import Counts, count_loads
from tests.unit.druid_gateway.fake_druid import FakeDruid

INTERVAL = Interval(0, 86_400_000)


async def counts(druid: FakeDruid, *loads: str, wait_s: float = 0.0) -> Counts:
    return await count_loads(druid, "sales", INTERVAL, loads, wait_s)


async def test_all_loads_are_counted_by_one_query_and_one_refresh() -> None:
    druid = FakeDruid(
        used={"s1": True, "s2": True},
        strangers={"s1": {"a": 3, "b": 4}, "s2": {"a": 1, "c": 9}},
    )
    assert await counts(druid, "a", "b", "gone") == Counts(True, {"a": 4, "b": 4}, 2, 2)
    assert druid.refreshed == 1


async def test_nothing_is_counted_while_a_segment_is_unavailable() -> None:
    druid = FakeDruid(used={"s1": True, "s2": False}, strangers={"s1": {"a": 3}})
    assert await counts(druid, "a") == Counts(False, {}, 2, 1)


async def test_waits_for_unavailable_segments() -> None:
    class Loading(FakeDruid):
        rounds = 0

        async def used_segments(
            self, datasource: str, interval: Interval, *, refresh: bool = True
        ) -> dict[str, bool]:
            self.rounds += 1
            return {"s1": self.rounds >= 3}

    druid = Loading(used={"s1": True}, strangers={"s1": {"a": 3}})
    assert await counts(druid, "a", wait_s=5) == Counts(True, {"a": 3}, 1, 1)


async def test_a_segment_lost_during_the_query_invalidates_the_count() -> None:
    class Losing(FakeDruid):
        async def rows_by_load(
            self, datasource: str, interval: Interval, load_ids: Sequence[str]
        ) -> dict[str, int]:
            self.used["s2"] = False
            return {"a": 3}

    druid = Losing(used={"s1": True, "s2": True})
    assert await counts(druid, "a") == Counts(False, {}, 2, 1)


async def test_without_segments_there_are_no_rows() -> None:
    assert await counts(FakeDruid(), "a") == Counts(True, {}, 0, 0)
