"""Child processes: reuse, limits, kills and retries."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import psutil
import pytest

from services.validation.process.child import Job
from services.validation.process.children import (
    ChildLostError,
    Children,
    Growing,
    InspectionDroppedError,
    Step,
)
from sluice.validation.v1.validation_pb2 import (
    Report,
    ValidateObjectRequest,
    ValidateObjectResponse,
    Verdict,
)
from tests.unit.validation.examining import LENIENT, LIMITS, TASK_ID, new_folder
from tests.unit.validation.workbooks import xlsx

TEXT = b"order date,units\n2024-01-02,3\n2024-01-03,4\n"
MUCH = 1024**3
LITTLE = 1024**2
"""Less than an idle child takes."""


def job_of(
    folder: Path,
    data: bytes = TEXT,
    name: str = "table.csv",
    memory_bytes: int = MUCH,
) -> Job:
    """A job for a file."""
    folder = new_folder(folder)
    source = folder / "source"
    source.write_bytes(data)
    request = ValidateObjectRequest(
        task_id=TASK_ID, filename=name, file_size=len(data), policy=LENIENT
    )
    return Job(request, source, folder, LIMITS, memory_bytes=memory_bytes, timeout_s=60)


async def report_of(steps: AsyncGenerator[Step, None]) -> Report:
    """The report of the last step."""
    async with aclosing(steps):
        done = [step async for step in steps]
    assert isinstance(done[-1], ValidateObjectResponse)
    return done[-1].report


async def read(children: Children, folder: Path, name: str, data: bytes) -> Report:
    """The report of a file."""
    return await report_of(children.examine(job_of(folder, data, name)))


def pids() -> set[int]:
    """Ids of the running children."""
    return {child.pid for child in psutil.Process().children() if _reads_files(child)}


def _reads_files(child: psutil.Process) -> bool:
    try:
        return "services.validation.process.child" in child.cmdline()
    except psutil.Error:
        return False


async def test_a_child_is_reused_after_a_text_file_but_not_after_a_workbook(
    tmp_path: Path,
) -> None:
    children = Children(1024**3)
    await children.start()
    try:
        before = pids()
        for _ in range(3):
            report = await read(children, tmp_path, "table.csv", TEXT)
            assert (report.verdict, report.rows_loadable) == (Verdict.VERDICT_PASSED, 2)
            assert pids() == before
        report = await read(
            children, tmp_path, "table.xlsx", xlsx([["order date", "units"], ["2024-01-02", 3]])
        )
        assert report.rows_read == 1
        assert not pids() & before
        report = await read(children, tmp_path, "table.csv", TEXT)
        assert report.rows_loadable == 2
    finally:
        await children.stop()
    assert not pids()


class Counted(Children):
    """Children that record how many others were running when each of them started."""

    def __init__(self, alone_bytes: int = 0) -> None:
        super().__init__(1024**3, alone_bytes)
        self.others_running: list[int] = []

    async def _examine(
        self,
        job: Job,
        growing: Growing | None = None,
    ) -> AsyncGenerator[Step, None]:
        self.others_running.append(len(self._running))
        async with aclosing(super()._examine(job, growing)) as steps:
            async for step in steps:
                yield step

    @classmethod
    @asynccontextmanager
    async def started(cls, alone_bytes: int = 0) -> AsyncIterator["Counted"]:
        children = cls(alone_bytes)
        await children.start()
        try:
            yield children
        finally:
            await children.stop()
        assert not pids()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - processes set no event
        await asyncio.sleep(0.01)


async def idle_child() -> int:
    # Until exec, a child looks like this process.
    await until(lambda: bool(pids()))
    (idle,) = pids()
    return idle


async def wait_until_stopped_child_has_file(
    children: Counted, work: "asyncio.Task[Report]", idle: int
) -> None:
    """Stops the idle child, and waits until it has the file."""
    begun = len(children.others_running)
    os.kill(idle, signal.SIGSTOP)
    await until(lambda: len(children.others_running) > begun or work.done())


async def test_a_file_whose_child_is_killed_once_is_read_again(tmp_path: Path) -> None:
    async with Counted.started() as children:
        idle = await idle_child()
        job = job_of(tmp_path)
        # Leftovers of a killed child.
        (job.folder / "parts").mkdir()
        (job.folder / "broken.csv").write_bytes(b"half a line")
        reading = asyncio.create_task(report_of(children.examine(job)))
        await wait_until_stopped_child_has_file(children, reading, idle)
        os.kill(idle, signal.SIGKILL)
        report = await reading
        assert (report.verdict, report.rows_loadable) == (Verdict.VERDICT_PASSED, 2)
        assert children.others_running == [0, 0]


async def test_a_file_whose_child_is_killed_twice_fails(
    tmp_path: Path,
) -> None:
    async with Counted.started() as children:
        idle = await idle_child()
        reading = asyncio.create_task(report_of(children.examine(job_of(tmp_path))))
        await wait_until_stopped_child_has_file(children, reading, idle)
        killed: set[int] = set()
        while not reading.done():
            for pid in pids() - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            await asyncio.sleep(0.01)
        with pytest.raises(ChildLostError, match="lack of memory"):
            await reading
        assert children.others_running == [0, 0]
        assert (await read(children, tmp_path, "table.csv", TEXT)).rows_loadable == 2


async def test_the_retry_runs_alone_and_later_files_wait(
    tmp_path: Path,
) -> None:
    async with Counted.started() as children:
        first = await idle_child()
        crowded = asyncio.create_task(report_of(children.examine(job_of(tmp_path))))
        await wait_until_stopped_child_has_file(children, crowded, first)
        other = asyncio.create_task(report_of(children.examine(job_of(tmp_path))))
        await until(lambda: bool(pids() - {first}))
        (second,) = pids() - {first}
        os.kill(second, signal.SIGSTOP)
        os.kill(first, signal.SIGKILL)
        await until(lambda: children._gate.is_wanted_alone)
        late = asyncio.create_task(report_of(children.examine(job_of(tmp_path))))
        done, _ = await asyncio.wait({crowded, other, late}, timeout=0.5)
        assert not done
        assert children.others_running == [0, 1]
        os.kill(second, signal.SIGCONT)
        reports = await asyncio.gather(other, crowded, late)
        assert [report.rows_loadable for report in reports] == [2, 2, 2]
        assert children.others_running == [0, 1, 0, 0]


async def test_a_file_that_needs_more_than_its_share_is_read_alone_with_all_memory(
    tmp_path: Path,
) -> None:
    async with Counted.started(alone_bytes=MUCH) as children:
        report = await report_of(children.examine(job_of(tmp_path, memory_bytes=LITTLE)))
        assert report.rows_loadable == 2
        assert children.others_running == [0, 0]


@pytest.mark.parametrize(("alone_bytes", "tries"), [(0, 1), (LITTLE, 1), (2 * LITTLE, 2)])
async def test_a_file_that_needs_more_than_all_memory_fails(
    tmp_path: Path,
    alone_bytes: int,
    tries: int,
) -> None:
    async with Counted.started(alone_bytes) as children:
        with pytest.raises(ChildLostError, match=f"more than {tries} MiB of memory"):
            await report_of(children.examine(job_of(tmp_path, memory_bytes=LITTLE)))
        assert len(children.others_running) == tries


def arriving(folder: Path) -> Job:
    """A job for a complete file whose child does not know yet that it is complete."""
    job = job_of(folder)
    return Job(**{**job.__dict__, "growing": True})


async def test_an_inspection_is_dropped_when_another_file_must_be_read_alone(
    tmp_path: Path,
) -> None:
    async with Counted.started(alone_bytes=MUCH) as children:
        growing = Growing(MUCH)
        inspecting = asyncio.create_task(report_of(children.examine(arriving(tmp_path), growing)))
        await until(lambda: len(children._running) == 1)
        report = await report_of(children.examine(job_of(tmp_path, memory_bytes=LITTLE)))
        assert report.rows_loadable == 2
        with pytest.raises(InspectionDroppedError):
            await inspecting
        assert children.others_running == [0, 1, 0]


@pytest.mark.parametrize("killed", [False, True])
async def test_an_incomplete_file_never_fails_for_lack_of_memory(
    tmp_path: Path,
    killed: bool,
) -> None:
    async with Counted.started() as children:
        idle = await idle_child()
        growing = Growing(MUCH if killed else LITTLE)
        inspecting = asyncio.create_task(report_of(children.examine(arriving(tmp_path), growing)))
        if killed:
            await wait_until_stopped_child_has_file(children, inspecting, idle)
            os.kill(idle, signal.SIGKILL)
        with pytest.raises(InspectionDroppedError):
            await inspecting
        assert children.others_running == [0]


async def test_a_complete_file_has_the_full_memory_limit(tmp_path: Path) -> None:
    async with Counted.started() as children:
        job = arriving(tmp_path)
        growing = Growing(LITTLE)
        growing.grow(len(TEXT))
        growing.finish(job.request)
        assert (await report_of(children.examine(job, growing))).rows_loadable == 2


async def test_the_kernel_kills_a_child_before_the_service() -> None:
    async with Counted.started():
        idle = await idle_child()
        score = Path(f"/proc/{idle}/oom_score_adj")
        await until(lambda: score.read_text() == "1000\n")
