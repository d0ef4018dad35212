"""Watching loads: what is reported, when it ends, and how often Druid is polled."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import SluiceError, code_of
from services.druid_gateway.loads.load import SubTasks, TaskReport, TaskStatus
from services.druid_gateway.watching import pacing
from services.druid_gateway.watching import poller as watching
from services.druid_gateway.watching.pacing import pause_s
from services.druid_gateway.watching.poller import Phase, Progress, TaskPoller, watch_load
from tests.unit.druid_gateway.fake_druid import (
    AWAY,
    RUNNING,
    SUCCESS,
    WAITING,
    FakeDruid,
    Polled,
    failed,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "FAST_S", 0.001)
    monkeypatch.setattr(watching, "UNKNOWN_FOR_S", 0.05)


@asynccontextmanager
async def polling(druid: FakeDruid, outage_s: float = 30.0) -> AsyncIterator[TaskPoller]:
    poller = TaskPoller(druid, outage_s)
    task = asyncio.create_task(poller.run())
    try:
        yield poller
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def watch(druid: FakeDruid, task_id: str = "a", outage_s: float = 30.0) -> list[Progress]:
    async with polling(druid, outage_s) as poller:
        return [progress async for progress in watch_load(druid, poller, task_id)]


async def test_every_phase_is_reported_once() -> None:
    druid = FakeDruid(
        polls=[
            {"a": WAITING},
            {"a": WAITING},
            {"a": RUNNING},
            {"a": WAITING},
            {"a": RUNNING},
            {"a": SUCCESS},
        ]
    )
    news = await watch(druid)
    assert [each.phase for each in news] == [Phase.WAITING, Phase.RUNNING, Phase.SUCCEEDED]
    assert news[-1].duration_ms == 900


async def test_rows_and_sub_tasks_are_reported_while_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watching, "PROGRESS_S", 0.0)
    druid = FakeDruid(
        polls=[{"a": RUNNING}, {"a": RUNNING}, {"a": SUCCESS}],
        report=TaskReport(70, ""),
        parallel=SubTasks(3, 1),
    )
    async with polling(druid) as poller:
        news = [progress async for progress in watch_load(druid, poller, "a", "sales")]
    assert [(each.rows_processed, each.sub_tasks) for each in news[:2]] == [
        (None, SubTasks(0, 0)),
        (70, SubTasks(3, 1)),
    ]


async def test_a_success_reports_the_rows_read() -> None:
    assert [
        each.rows_processed
        for each in await watch(FakeDruid(polls=[{"a": SUCCESS}], report=TaskReport(70, "")))
    ] == [70]
    assert [each.rows_processed for each in await watch(FakeDruid(polls=[{"a": SUCCESS}]))] == [
        None
    ]


async def test_a_failure_is_explained_by_the_longer_text() -> None:
    report = TaskReport(
        None, "java.lang.OutOfMemoryError: Java heap space and more words than the status has"
    )
    [end] = await watch(FakeDruid(polls=[{"a": failed("java.lang.OutOfMem...")}], report=report))
    assert end.phase is Phase.FAILED
    assert end.problem is not None
    assert code_of(end.problem.code) == "DRUID_OUT_OF_MEMORY"
    assert "memory" in end.problem.message


async def test_a_failure_without_report_is_explained_by_the_status() -> None:
    [end] = await watch(FakeDruid(polls=[{"a": failed("Shutdown request from user")}]))
    assert end.problem is not None
    assert "stopped" in end.problem.message


async def test_unknown_needs_several_polls_in_a_row() -> None:
    silence: list[Polled] = [{}] * (watching.UNKNOWN_POLLS - 1)
    druid = FakeDruid(polls=[*silence, {"a": RUNNING}, *silence, {"a": SUCCESS}])
    assert [each.phase for each in await watch(druid)] == [Phase.RUNNING, Phase.SUCCEEDED]
    druid = FakeDruid(polls=[{}])
    assert [each.phase for each in await watch(druid)] == [Phase.UNKNOWN]
    assert len(druid.asked_ids) >= watching.UNKNOWN_POLLS


async def test_an_outage_is_not_an_unknown_task() -> None:
    druid = FakeDruid(polls=[{"a": RUNNING}, *[AWAY] * 20, {"a": SUCCESS}])
    assert [each.phase for each in await watch(druid)] == [Phase.RUNNING, Phase.SUCCEEDED]


async def test_a_long_outage_ends_the_watch() -> None:
    druid = FakeDruid(polls=[{"a": RUNNING}, AWAY])
    with pytest.raises(SluiceError) as raised:
        await watch(druid, outage_s=0.02)
    assert raised.value.code == "DRUID_UNAVAILABLE"


class Garbled(FakeDruid):
    """Returns unparsable responses, `times` in a row."""

    times = 3

    async def task_statuses(self, task_ids: Sequence[str]) -> dict[str, TaskStatus]:
        if self.times:
            self.times -= 1
            raise KeyError("status")
        return await super().task_statuses(task_ids)


async def test_polling_survives_any_failure() -> None:
    druid = Garbled(polls=[{"a": RUNNING}, {"a": SUCCESS}])
    async with asyncio.timeout(5):
        assert [each.phase for each in await watch(druid)] == [Phase.RUNNING, Phase.SUCCEEDED]


async def test_a_failure_that_stays_ends_the_watch() -> None:
    druid = Garbled()
    druid.times = 1_000_000
    async with asyncio.timeout(5):
        with pytest.raises(SluiceError) as raised:
            await watch(druid, outage_s=0.02)
    assert raised.value.code == "INTERNAL"


async def test_all_watched_tasks_are_polled_with_one_request() -> None:
    druid = FakeDruid(polls=[*[{"a": RUNNING, "b": RUNNING}] * 5, {"a": SUCCESS, "b": SUCCESS}])
    async with polling(druid) as poller:

        async def end_of(task_id: str) -> Progress:
            return [progress async for progress in watch_load(druid, poller, task_id)][-1]

        ends = await asyncio.gather(end_of("a"), end_of("b"), end_of("a"))
    assert [end.phase for end in ends] == [Phase.SUCCEEDED] * 3
    assert ["a", "b"] in druid.asked_ids


async def test_without_watchers_nothing_is_polled() -> None:
    druid = FakeDruid(polls=[{"a": SUCCESS}])
    async with polling(druid) as poller:
        assert [each.phase async for each in watch_load(druid, poller, "a")] == [Phase.SUCCEEDED]
        asked = len(druid.asked_ids)
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(druid.asked_ids) == asked


async def test_rows_are_reported_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PROGRESS_S", 0.0)
    druid = FakeDruid(
        polls=[{"a": RUNNING}, {"a": RUNNING}, {"a": SUCCESS}], report=TaskReport(7, "")
    )
    assert Progress(Phase.RUNNING, rows_processed=7) in await watch(druid)


@given(st.floats(0, 1e6))
def test_the_pause_is_short_at_first_and_never_long(age_s: float) -> None:
    assert pause_s(age_s) <= pacing.SLOWEST_S
    assert pause_s(age_s) <= pause_s(age_s + 1)
    if age_s >= pacing.FAST_FOR_S:
        assert 0.2 <= pause_s(age_s) <= max(0.2, age_s * 0.04 + 1e-9)
    else:
        assert pause_s(age_s) == pacing.FAST_S
