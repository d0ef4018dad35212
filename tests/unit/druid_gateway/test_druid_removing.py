"""Taking a load back."""

from collections.abc import Sequence

import pytest

from services.common.errors import SluiceError
from services.druid_gateway.loads import Interval
from services.druid_gateway.ports import Value
from services.druid_gateway.removing import Left, remove
from tests.unit.druid_gateway.fake_druid import AWAY, RUNNING, SUCCESS, FakeDruid, failed

STOPPED = failed("Shutdown request from user")


async def run(druid: FakeDruid, *task_ids: str, wait_s: float = 5.0) -> Left:
    return await remove(druid, "sales", "load", task_ids, wait_s)


async def test_running_tasks_are_stopped_and_waited_for() -> None:
    druid = FakeDruid(polls=[{"a": RUNNING, "b": SUCCESS}, {"a": RUNNING}, {"a": STOPPED}])
    assert await run(druid, "a", "b", "never") == Left(True, 0)
    assert druid.stopped == ["a"]


async def test_a_task_that_does_not_end_is_told() -> None:
    druid = FakeDruid(polls=[{"a": RUNNING}], segments={"s1": 5, "s2": 2})
    assert await run(druid, "a", wait_s=0.3) == Left(False, 7)
    # Nothing is marked while it may still publish.
    assert druid.marked == []


async def test_segments_are_marked_unused() -> None:
    druid = FakeDruid(segments={"s1": 5, "s2": 2})
    assert await run(druid) == Left(True, 0)
    assert sorted(druid.marked) == ["s1", "s2"]


async def test_segments_that_stay_are_told() -> None:
    class Stubborn(FakeDruid):
        async def mark_unused(self, datasource: str, segment_ids: Sequence[str]) -> None:
            self.stopped.extend(segment_ids)

    druid = Stubborn(segments={"s1": 5})
    assert await run(druid, wait_s=0.3) == Left(False, 5)
    assert druid.stopped == ["s1"]


async def test_published_segments_that_no_query_reaches_are_waited_for() -> None:
    hidden: list[list[list[Value]]] = [[["s9"]], [["s9"]], []]

    class Loading(FakeDruid):
        """The segment appears when it is loaded."""

        async def sql(self, sql: str, parameters: Sequence[Value]) -> list[list[Value]]:
            assert "sys.segments" in sql
            assert parameters == ["sales", "1970-01-02T00:00:00.000Z", "1970-01-01T00:00:00.000Z"]
            answer: list[list[Value]] = hidden.pop(0) if hidden else []
            if not answer and "s9" not in self.marked:
                self.segments["s9"] = 3
            return answer

    druid = Loading(polls=[{"a": SUCCESS}], interval=Interval(0, 86_400_000))
    assert await run(druid, "a") == Left(True, 0)
    assert druid.marked == ["s9"]


async def test_druid_away_is_an_error() -> None:
    with pytest.raises(SluiceError) as raised:
        await run(FakeDruid(polls=[AWAY]), "a")
    assert raised.value.code == "DRUID_UNAVAILABLE"
