"""A standstill of a load's segments is reported, with what Druid is waiting for."""

import pytest

from services.status.pipeline import run as runs
from services.status.stages import standstill, verify
from services.status.tasks.machine import State
from sluice.druid.v1.druid_pb2 import VerifyLoadRequest, VerifyLoadResponse
from tests.unit.status.fake_rows import new_task
from tests.unit.status.fakes import ROWS
from tests.unit.status.pipeline.test_stages import World

PACE_S = 3.0
"""Seconds of the clock that a count takes."""


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        for module in (runs, standstill, verify):
            monkeypatch.setattr(module, "monotonic", lambda: self.now)


async def reported(
    monkeypatch: pytest.MonkeyPatch, *seen: tuple[int, int, int]
) -> list[tuple[int, str]]:
    """Returns (seconds since the first count, message) of a load that is counted until it succeeds.
    `seen`: seconds, published segments, available segments.
    """
    clock, world = Clock(monkeypatch), World()
    monkeypatch.setattr(verify, "PACE_S", 0)
    world.rows.task = new_task(
        status=State.VERIFYING, rows_loadable=ROWS, load_attempt=1, druid_task_id="d", in_lane=True
    )
    world.loads.visible["00000000-0000-4000-8000-000000000001"] = {"d": ROWS}
    counts = [count for count in seen for _ in range(int(count[0] / PACE_S))]
    began = clock.now
    messages: list[tuple[int, str]] = []
    progress = world.rows.progress
    counted = world.loads.verify

    async def verified(request: VerifyLoadRequest) -> VerifyLoadResponse:
        clock.now += PACE_S
        if not counts:
            return await counted(request)
        _, published, available = counts.pop(0)
        return VerifyLoadResponse(
            segments_published=published, segments_available=available, segments_loaded_percent=50
        )

    async def noted(*arguments: object) -> bool:
        messages.append((int(clock.now - began - PACE_S), arguments[2].message))  # type: ignore[attr-defined]
        return await progress(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(world.loads, "verify", verified)
    monkeypatch.setattr(world.rows, "progress", noted)
    await world.run()
    assert world.rows.task.status is State.SUCCEEDED
    return messages


async def test_segments_that_stand_still_for_a_minute_are_reported_once_a_minute(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = await reported(monkeypatch, (150, 4, 2))
    assert [seconds for seconds, _ in messages] == [0, 60, 120]
    assert (
        messages[0][1]
        == "The rows are becoming visible to queries; of 4 segments published there 2 are available."
    )
    assert messages[1][1] == (
        "No segment has become available for 1 minute; of 4 segments published there 2 are available. Druid is waiting for a "
        "historical to load 2 of them: an administrator should check that every historical runs, answers and has space."
    )
    assert messages[2][1].startswith("No segment has become available for 2 minutes;")


async def test_segments_that_move_are_not_called_still(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = await reported(monkeypatch, (57, 4, 1), (57, 4, 2), (57, 4, 3))
    assert [message for _, message in messages if "No segment" in message] == []
    assert len(messages) == 3


async def test_a_standstill_ends_with_the_next_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    messages = [message for _, message in await reported(monkeypatch, (63, 4, 1), (63, 4, 2))]
    assert [message.partition(" ")[0] for message in messages] == ["The", "No", "The", "No"]


@pytest.mark.parametrize(
    ("published", "available", "awaited"),
    [
        (0, 0, "its coordinator to find"),
        (3, 2, "a historical to load 1 of them"),
        (3, 3, "its broker to include"),
    ],
)
async def test_it_is_said_what_druid_waits_for(
    monkeypatch: pytest.MonkeyPatch, published: int, available: int, awaited: str
) -> None:
    *_, (_, message) = await reported(monkeypatch, (63, published, available))
    assert f"Druid is waiting for {awaited}" in message
